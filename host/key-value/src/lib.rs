//! The key-value store: Spin's SQLite file and schema.
