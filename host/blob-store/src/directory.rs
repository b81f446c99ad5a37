//! The store in a directory.
use crate::{BlobError, Object};
use bytes::Bytes;
use object_store::local::LocalFileSystem;
use std::path::Path;
use std::sync::Arc;

#[derive(Clone, Debug)]
pub(crate) struct Directory {
    store: Arc<LocalFileSystem>,
}

impl Directory {
    pub(crate) fn open(root: &Path) -> Result<Self, BlobError> {
        std::fs::create_dir_all(root).map_err(|error| BlobError::Unavailable(error.to_string()))?;
        let store = LocalFileSystem::new_with_prefix(root)
            .map_err(|error| BlobError::Unavailable(error.to_string()))?;
        Ok(Self {
            store: Arc::new(store),
        })
    }
    pub(crate) async fn put(
        &self,
        _key: &str,
        _content: Bytes,
        _content_type: &str,
        _metadata: &[(String, String)],
    ) -> Result<(), BlobError> {
        let _ = &self.store;
        Err(BlobError::Unavailable("not yet".to_owned()))
    }
    pub(crate) async fn get(&self, _key: &str) -> Result<Option<Object>, BlobError> {
        Ok(None)
    }
    pub(crate) async fn get_content(&self, _key: &str) -> Result<Option<Bytes>, BlobError> {
        Ok(None)
    }
    pub(crate) async fn delete(&self, _key: &str) -> Result<(), BlobError> {
        Ok(())
    }
    pub(crate) async fn exists(&self, _key: &str) -> Result<bool, BlobError> {
        Ok(false)
    }
}
