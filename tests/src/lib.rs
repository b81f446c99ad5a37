//! The real host, real components, real sockets, real stores.
