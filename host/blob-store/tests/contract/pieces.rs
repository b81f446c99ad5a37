//! Objects that are written and read in pieces.

use blob_store::{BlobError, BlobStore, MAX_OBJECT_BYTES, PART_BYTES};
use bytes::Bytes;

const KEY: &str = "sessions/s-1/result.json";

crate::for_every_store!(
    pieces_become_one_object_when_they_are_finished_and_not_before,
    an_object_of_few_pieces_replaces_what_is_there,
    an_object_of_exactly_one_part_is_whole,
    an_empty_object_can_be_written_in_no_pieces,
    what_is_given_up_leaves_the_old_object,
    what_no_store_keeps_is_refused_before_the_first_piece,
    a_range_is_of_the_version_that_was_looked_at_or_nothing,
);

fn metadata() -> Vec<(String, String)> {
    vec![("seq".to_owned(), "17".to_owned())]
}

async fn pieces_become_one_object_when_they_are_finished_and_not_before(store: BlobStore) {
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

async fn an_object_of_few_pieces_replaces_what_is_there(store: BlobStore) {
    for text in ["first", "second", "second"] {
        let mut upload = store.begin(KEY, "a/b", &metadata()).await.unwrap();
        upload.write(&text.as_bytes()[..3]).await.unwrap();
        upload.write(&text.as_bytes()[3..]).await.unwrap();
        upload.finish().await.unwrap();
        let object = store.get(KEY).await.unwrap().unwrap();
        assert_eq!((object.content, object.metadata), (text.into(), metadata()));
    }
}

async fn an_object_of_exactly_one_part_is_whole(store: BlobStore) {
    for size in [PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 2 * PART_BYTES] {
        let mut upload = store.begin(KEY, "a/b", &[]).await.unwrap();
        upload.write(&vec![3; size]).await.unwrap();
        upload.finish().await.unwrap();
        assert_eq!(store.head(KEY).await.unwrap().unwrap().size, size as u64);
    }
}

async fn an_empty_object_can_be_written_in_no_pieces(store: BlobStore) {
    let upload = store.begin(KEY, "a/b", &[]).await.unwrap();
    upload.finish().await.unwrap();
    assert_eq!(store.get_content(KEY).await.unwrap(), Some(Bytes::new()));
    assert_eq!(store.head(KEY).await.unwrap().unwrap().size, 0);
}

async fn what_is_given_up_leaves_the_old_object(store: BlobStore) {
    for old in [None, Some(Bytes::from_static(b"old"))] {
        if let Some(old) = &old {
            store.put(KEY, old.clone(), "a/b", &[]).await.unwrap();
        }
        let mut upload = store.begin(KEY, "a/b", &[]).await.unwrap();
        upload.write(&vec![1; PART_BYTES + 1]).await.unwrap();
        drop(upload);
        assert_eq!(store.get_content(KEY).await.unwrap(), old);
    }
}

async fn what_no_store_keeps_is_refused_before_the_first_piece(store: BlobStore) {
    for (key, content_type) in [("../x", "a/b"), ("", "a/b"), (KEY, "a\nb")] {
        let refused = store.begin(key, content_type, &[]).await;
        assert!(matches!(refused, Err(BlobError::Refused(_))), "{key}");
    }
}

async fn a_range_is_of_the_version_that_was_looked_at_or_nothing(store: BlobStore) {
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
    assert!(matches!(beyond, Err(BlobError::Refused(_))), "{beyond:?}");
    let too_much = u32::try_from(MAX_OBJECT_BYTES + 1).unwrap();
    let refused = store.get_range(KEY, &stored.version, 0, too_much).await;
    assert!(matches!(refused, Err(BlobError::Refused(_))), "{refused:?}");

    store
        .put(KEY, Bytes::from_static(b"another one"), "a/b", &[])
        .await
        .unwrap();
    assert_eq!(range(0, 4).await, None);
    store.delete(KEY).await.unwrap();
    assert_eq!(range(0, 4).await, None);
}
