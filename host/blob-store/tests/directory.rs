//! The store in a directory, besides what every store promises: its files, and what is left after a
//! crash.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::Path;

use blob_store::{BlobError, BlobStore, Object, PART_BYTES};
use bytes::Bytes;

const TYPE: &str = "application/octet-stream";

fn store() -> (tempfile::TempDir, BlobStore) {
    let directory = tempfile::tempdir().unwrap();
    let store = BlobStore::directory(&directory.path().join("below/blobs")).unwrap();
    (directory, store)
}

fn root(directory: &tempfile::TempDir) -> std::path::PathBuf {
    directory.path().join("below/blobs")
}

fn metadata() -> Vec<(String, String)> {
    vec![
        ("seq".to_owned(), "17".to_owned()),
        ("session_id".to_owned(), "übung/1".to_owned()),
    ]
}

async fn put(store: &BlobStore, key: &str, content: &'static [u8]) -> Result<(), BlobError> {
    store
        .put(key, Bytes::from_static(content), "audio/L16", &metadata())
        .await
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Whether the file system that holds the tests' files has user attributes.
fn has_attributes(path: &Path) -> bool {
    xattr::set(path, "user.test", b"1").is_ok()
}

#[tokio::test]
async fn people_find_the_objects_as_files() {
    let (directory, store) = store();
    let key = "sessions/s-1/chunks/teacher/00000001.pcm";
    put(&store, key, b"content").await.unwrap();
    assert_eq!(fs::read(root(&directory).join(key)).unwrap(), b"content");
    assert_eq!(store.kind(), "directory");
}

#[tokio::test]
async fn a_key_that_is_none_leaves_nothing() {
    let (directory, store) = store();
    for key in ["../a", "a#1", "a.meta.json"] {
        put(&store, key, b"content").await.unwrap_err();
    }
    assert_eq!(names(&root(&directory)), [""; 0]);
}

#[tokio::test]
async fn an_upload_that_is_given_up_leaves_no_file() {
    let (directory, store) = store();
    for expected in [&[][..], &["result.json"]] {
        let mut upload = store.begin("a/result.json", TYPE, &[]).await.unwrap();
        upload.write(&vec![1; PART_BYTES + 1]).await.unwrap();
        drop(upload);
        // The file is removed on another thread.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
        while names(&root(&directory).join("a")) != expected {
            assert!(std::time::Instant::now() < deadline, "a file is left");
            tokio::task::yield_now().await;
        }
        put(&store, "a/result.json", b"old").await.unwrap();
    }
}

#[tokio::test]
async fn objects_survive_the_store() {
    let (directory, store) = store();
    put(&store, "a/b", b"content").await.unwrap();
    drop(store);
    let store = BlobStore::directory(&root(&directory)).unwrap();
    assert_eq!(
        store.get("a/b").await.unwrap().unwrap().metadata,
        metadata()
    );
}

#[tokio::test]
async fn a_directory_has_the_objects_and_nothing_else() {
    let (directory, store) = store();
    put(&store, "a/1", b"content").await.unwrap();
    put(&store, "a/2", b"content").await.unwrap();
    let folder = root(&directory).join("a");
    if has_attributes(&folder.join("1")) {
        assert_eq!(names(&folder), ["1", "2"]);
        let attribute = xattr::get(folder.join("1"), "user.object")
            .unwrap()
            .unwrap();
        let shown: serde_json::Value = serde_json::from_slice(&attribute).unwrap();
        assert_eq!(shown["content_type"], "audio/L16");
        assert_eq!(shown["metadata"]["seq"], "17");
    }
}

#[tokio::test]
async fn lost_metadata_leave_a_readable_object() {
    let (directory, store) = store();
    put(&store, "a", b"content").await.unwrap();
    // As after a crash before the attribute was set, and after a copy without attributes.
    let path = root(&directory).join("a");
    fs::remove_file(&path).unwrap();
    fs::write(&path, b"content").unwrap();
    let lost = Object {
        content: Bytes::from_static(b"content"),
        content_type: TYPE.to_owned(),
        metadata: Vec::new(),
    };
    assert_eq!(store.get("a").await.unwrap(), Some(lost.clone()));
    if has_attributes(&path) {
        xattr::set(&path, "user.object", b"{ no json").unwrap();
        assert_eq!(store.get("a").await.unwrap(), Some(lost));
    }
}

#[tokio::test]
async fn metadata_in_a_file_are_read_and_removed_with_the_object() {
    let (directory, store) = store();
    // As a file system without attributes has it.
    let root = root(&directory);
    fs::write(root.join("a"), b"content").unwrap();
    fs::write(
        root.join("a.meta.json"),
        r#"{"content_type":"audio/L16","metadata":{"seq":"17"}}"#,
    )
    .unwrap();
    let object = store.get("a").await.unwrap().unwrap();
    assert_eq!(object.content_type, "audio/L16");
    assert_eq!(object.metadata, [("seq".to_owned(), "17".to_owned())]);
    fs::write(root.join("a.meta.json"), "[]").unwrap();
    assert_eq!(store.get("a").await.unwrap().unwrap().content_type, TYPE);
    store.delete("a").await.unwrap();
    assert_eq!(names(&root), [""; 0]);
}

#[tokio::test]
async fn what_a_crash_left_behind_is_in_nobodys_way() {
    let (directory, store) = store();
    fs::write(root(&directory).join("a#1"), b"half").unwrap();
    assert!(!store.exists("a").await.unwrap());
    put(&store, "a", b"content").await.unwrap();
    assert_eq!(store.get_content("a").await.unwrap().unwrap(), "content");
}

#[tokio::test]
async fn a_prefix_is_removed_with_all_that_is_below_it() {
    let (directory, store) = store();
    for key in [
        "sessions/a/result.json",
        "sessions/a/chunks/00000001.pcm",
        "sessions/a/chunks/teacher/00000001.pcm",
        "sessions/a/chunks/teacher/00000002.pcm",
    ] {
        put(&store, key, b"content").await.unwrap();
    }
    let siblings = [
        "sessions/ab/result.json",
        "sessions/a~1/result.json",
        "sessions/A/x",
        "other/a/x",
    ];
    for key in siblings {
        put(&store, key, b"content").await.unwrap();
    }
    let root = root(&directory);
    let below = root.join("sessions/a");
    // A metadata file, what a crash left, and a folder that lost its objects one by one.
    fs::write(below.join("chunks/00000001.pcm.meta.json"), b"{}").unwrap();
    fs::write(below.join("chunks/00000003.pcm#1"), b"half").unwrap();
    fs::create_dir_all(below.join("chunks/students")).unwrap();

    assert_eq!(store.delete_prefix("sessions/a/").await.unwrap(), 4);
    assert_eq!(names(&root.join("sessions")), ["A", "ab", "a~1"]);
    for key in siblings {
        assert!(store.exists(key).await.unwrap(), "{key}");
    }
    assert_eq!(store.delete_prefix("sessions/a/").await.unwrap(), 0);
    put(&store, "sessions/a/result.json", b"content")
        .await
        .unwrap();
    assert!(store.exists("sessions/a/result.json").await.unwrap());
}

#[cfg(unix)]
#[tokio::test]
async fn a_link_is_removed_and_what_it_leads_to_stays() {
    let (directory, store) = store();
    put(&store, "sessions/a/x", b"content").await.unwrap();
    put(&store, "kept/y", b"content").await.unwrap();
    let root = root(&directory);
    std::os::unix::fs::symlink(root.join("kept"), root.join("sessions/a/link")).unwrap();
    store.delete_prefix("sessions/a/").await.unwrap();
    assert_eq!(names(&root.join("sessions")), [""; 0]);
    assert!(store.exists("kept/y").await.unwrap());
}

#[tokio::test]
async fn a_key_below_another_object_is_refused_and_holds_nothing() {
    let (_directory, store) = store();
    put(&store, "a/b", b"content").await.unwrap();
    for key in ["a", "a/b/c"] {
        let error = put(&store, key, b"content").await.unwrap_err();
        assert!(matches!(error, BlobError::Refused(_)), "{key}: {error}");
        assert_eq!(store.get(key).await.unwrap(), None);
        assert_eq!(store.get_content(key).await.unwrap(), None);
        assert!(!store.exists(key).await.unwrap());
    }
    store.delete("a/b/c").await.unwrap();
    assert!(store.exists("a/b").await.unwrap());
}

#[tokio::test]
async fn a_root_that_is_no_directory_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, b"").unwrap();
    for root in [file.clone(), file.join("below")] {
        let error = BlobStore::directory(&root).unwrap_err().to_string();
        assert!(error.contains("file"), "{error}");
    }
}

#[tokio::test]
async fn a_root_that_disappeared_comes_back() {
    let (directory, store) = store();
    fs::remove_dir_all(root(&directory)).unwrap();
    assert_eq!(store.get("a").await.unwrap(), None);
    put(&store, "a", b"content").await.unwrap();
    assert!(store.exists("a").await.unwrap());
}
