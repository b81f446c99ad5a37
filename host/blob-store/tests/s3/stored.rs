//! What is in the bucket, and who may put it there.

use bytes::Bytes;

use crate::{BUCKET, KEY, PREFIX, World, refused, store};

#[tokio::test]
async fn people_find_the_objects_by_their_keys() {
    let world = World::new();
    let metadata = [
        ("seq", "17"),
        ("session_id", "übung 1"),
        ("Meeting-Id", "m"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let content = Bytes::from_static(b"content");
    let put = world.store.put(KEY, content, "audio/L16", &metadata).await;
    put.unwrap();
    let object = world.server.object(BUCKET, &format!("{PREFIX}/{KEY}"));
    let object = object.unwrap();
    assert_eq!(object.content, "content");
    assert_eq!(object.content_type.as_deref(), Some("audio/L16"));
    let kept: Vec<_> = object.metadata.iter().collect();
    let expected = [
        ("meeting-id", "m"),
        ("seq", "17"),
        ("session_id", "übung 1"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(
        kept,
        expected.iter().map(|(n, v)| (n, v)).collect::<Vec<_>>()
    );
    assert_eq!(
        world.store.place(),
        format!("{}/{BUCKET}/{PREFIX}/", world.server.endpoint())
    );
}

#[tokio::test]
async fn two_prefixes_do_not_meet() {
    let world = World::new();
    let endpoint = world.server.endpoint();
    let other = store(&endpoint, &[("S3_PREFIX", "gateway/on")]);
    let whole = store(&endpoint, &[("S3_PREFIX", "")]);
    world.put(b"content").await.unwrap();
    assert_eq!(other.get_content(KEY).await.unwrap(), None);
    assert_eq!(other.delete_prefix("sessions/").await.unwrap(), 0);
    let below = format!("{PREFIX}/{KEY}");
    assert_eq!(whole.get_content(&below).await.unwrap().unwrap(), "content");
    assert_eq!(world.store.delete_prefix("sessions/").await.unwrap(), 1);
    assert_eq!(world.server.keys(BUCKET, ""), [""; 0]);
}

#[tokio::test]
async fn a_key_and_its_prefix_share_the_longest_key() {
    let world = World::new();
    let longest = 1024 - PREFIX.len() - 1;
    let mut key = "k/".repeat(longest / 2 + 1);
    key.truncate(longest - 1);
    key.push('k');
    let put = |key: String| {
        let store = world.store.clone();
        async move { store.put(&key, Bytes::new(), "a/b", &[]).await }
    };
    put(key.clone()).await.unwrap();
    refused(put(key + "k").await, "with the prefix it has 1025 bytes");
}

#[tokio::test]
async fn a_wrong_key_is_refused_by_the_first_question() {
    let world = World::new();
    let endpoint = world.server.endpoint();
    let wrong = store(&endpoint, &[("S3_SECRET_ACCESS_KEY", "another")]);
    refused(wrong.check().await, "check the access key");
    let error = wrong.get_content(KEY).await.unwrap_err().to_string();
    assert!(error.contains("SignatureDoesNotMatch"), "{error}");
    assert!(
        !error.contains("another") && !error.contains(KEY),
        "{error}"
    );
    let unknown = store(&endpoint, &[("S3_ACCESS_KEY_ID", "nobody")]);
    refused(unknown.check().await, "check the access key");
}

#[tokio::test]
async fn a_bucket_that_is_not_there_is_no_empty_one() {
    let world = World::new();
    world.server.remove_bucket(BUCKET);
    refused(world.store.check().await, "check the bucket's name");
    refused(world.put(b"content").await, "NoSuchBucket");
    refused(world.store.get_content(KEY).await, "NoSuchBucket");
    refused(world.store.delete_prefix("sessions/").await, "NoSuchBucket");
}
