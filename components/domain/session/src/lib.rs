//! What a session is: ids, roles, client frames, ingest, capture, config.
