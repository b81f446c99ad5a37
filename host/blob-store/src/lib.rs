//! Blobs with metadata in a directory (later S3), over object_store.
