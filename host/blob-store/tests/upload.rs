//! Objects that are written and read in pieces.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use blob_store::{BlobError, BlobStore, MAX_OBJECT_BYTES, PART_BYTES};
use bytes::Bytes;

const KEY: &str = "sessions/s-1/result.json";

fn store() -> (tempfile::TempDir, BlobStore) {
    let directory = tempfile::tempdir().unwrap();
    let store = BlobStore::directory(directory.path()).unwrap();
    (directory, store)
}

fn metadata() -> Vec<(String, String)> {
    vec![("seq".to_owned(), "17".to_owned())]
}

fn files(directory: &tempfile::TempDir) -> usize {
    let folder = directory.path().join("sessions/s-1");
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}

#[tokio::test]
async fn pieces_become_one_object_when_they_are_finished_and_not_before() {
    let (_directory, store) = store();
    let old = Bytes::from_static(b"old");
    store.put(KEY, old.clone(), "a/b", &[]).await.unwrap();
    let mut upload = store.begin(KEY, "c/d", &metadata()).await.unwrap();
    // Over the size of a part, in pieces that do not fit into it.
    let piece = vec![7_u8; PART_BYTES / 3 + 1];
    for n in 0..7 {
        upload.write(&piece).await.unwrap();
        upload.write(&[n]).await.unwrap();
    }
    upload.write(b"").await.unwrap();
    assert_eq!(store.get_content(KEY).await.unwrap(), Some(old));
    upload.finish().await.unwrap();

    let object = store.get(KEY).await.unwrap().unwrap();
    let mut expected = Vec::new();
    for n in 0..7 {
        expected.extend_from_slice(&piece);
        expected.push(n);
    }
    assert!(object.content == expected, "{} bytes", object.content.len());
    assert_eq!(
        (object.content_type.as_str(), object.metadata),
        ("c/d", metadata())
    );
}

#[tokio::test]
async fn an_empty_object_can_be_written_in_no_pieces() {
    let (_directory, store) = store();
    let upload = store.begin(KEY, "a/b", &[]).await.unwrap();
    upload.finish().await.unwrap();
    assert_eq!(store.get_content(KEY).await.unwrap(), Some(Bytes::new()));
    assert_eq!(store.head(KEY).await.unwrap().unwrap().size, 0);
}

#[tokio::test]
async fn what_is_given_up_leaves_the_old_object_and_no_file() {
    let (directory, store) = store();
    for old in [None, Some(Bytes::from_static(b"old"))] {
        if let Some(old) = &old {
            store.put(KEY, old.clone(), "a/b", &[]).await.unwrap();
        }
        let before = files(&directory);
        let mut upload = store.begin(KEY, "a/b", &[]).await.unwrap();
        upload.write(&vec![1; PART_BYTES + 1]).await.unwrap();
        drop(upload);
        // The file is removed on another thread.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
        while files(&directory) != before {
            assert!(std::time::Instant::now() < deadline, "a file is left");
            tokio::task::yield_now().await;
        }
        assert_eq!(store.get_content(KEY).await.unwrap(), old);
    }
}

#[tokio::test]
async fn what_no_store_keeps_is_refused_before_the_first_piece() {
    let (_directory, store) = store();
    for (key, content_type) in [("../x", "a/b"), ("", "a/b"), (KEY, "a\nb")] {
        let refused = store.begin(key, content_type, &[]).await;
        assert!(matches!(refused, Err(BlobError::Refused(_))), "{key}");
    }
}

#[tokio::test]
async fn a_range_is_of_the_version_that_was_looked_at_or_nothing() {
    let (_directory, store) = store();
    assert_eq!(store.head(KEY).await.unwrap(), None);
    assert_eq!(store.get_range(KEY, "", 0, 1).await.unwrap(), None);
    let content = Bytes::from_static(b"0123456789");
    store.put(KEY, content, "a/b", &[]).await.unwrap();
    let stored = store.head(KEY).await.unwrap().unwrap();
    assert_eq!(stored.size, 10);
    let range = async |offset, length| {
        let read = store.get_range(KEY, &stored.version, offset, length).await;
        read.unwrap().map(|bytes| bytes.to_vec())
    };
    assert_eq!(range(0, 4).await.unwrap(), b"0123");
    assert_eq!(range(4, 4).await.unwrap(), b"4567");
    assert_eq!(range(8, 4).await.unwrap(), b"89", "as far as it goes");
    let beyond = store.get_range(KEY, &stored.version, 11, 1).await;
    assert!(beyond.is_err(), "{beyond:?}");
    let too_much = u32::try_from(MAX_OBJECT_BYTES + 1).unwrap();
    let refused = store.get_range(KEY, &stored.version, 0, too_much).await;
    assert!(matches!(refused, Err(BlobError::Refused(_))), "{refused:?}");

    store
        .put(KEY, Bytes::from_static(b"another one"), "a/b", &[])
        .await
        .unwrap();
    assert_eq!(range(0, 4).await, None);
}
