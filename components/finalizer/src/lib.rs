//! Leaf component: chunks and result.json in the blob store.
