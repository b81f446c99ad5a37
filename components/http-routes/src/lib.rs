//! Entry component: the HTTP API.
