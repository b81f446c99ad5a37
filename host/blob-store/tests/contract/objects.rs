//! Objects that are put and read as a whole, and prefixes that are removed.

use blob_store::{BlobError, BlobStore, MAX_METADATA_BYTES, MAX_OBJECT_BYTES, Object};
use bytes::Bytes;

const TYPE: &str = "application/octet-stream";

crate::for_every_store!(
    objects_are_stored_read_replaced_and_removed,
    metadata_are_kept_whatever_is_in_them,
    empty_and_large_objects_are_kept_and_too_large_ones_refused,
    a_prefix_is_removed_with_all_that_is_below_it,
    more_objects_than_one_page_has_are_removed,
    prefixes_that_are_none_are_refused_and_remove_nothing,
    a_prefix_can_be_removed_while_others_put_into_it,
    keys_that_are_none_are_refused_by_every_call,
    unusual_keys_stay_apart,
    readers_see_whole_objects_while_they_are_replaced,
    the_store_can_be_used_and_says_what_it_is,
);

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

async fn objects_are_stored_read_replaced_and_removed(store: BlobStore) {
    let key = "sessions/s-1/chunks/teacher/00000001.pcm";
    assert_eq!(store.get(key).await.unwrap(), None);
    assert_eq!(store.get_content(key).await.unwrap(), None);
    assert!(!store.exists(key).await.unwrap());
    put(&store, key, b"old").await.unwrap();
    put(&store, key, b"content").await.unwrap();
    let object = Object {
        content: Bytes::from_static(b"content"),
        content_type: "audio/L16".to_owned(),
        metadata: metadata(),
    };
    assert_eq!(store.get(key).await.unwrap(), Some(object));
    assert_eq!(store.get_content(key).await.unwrap().unwrap(), "content");
    assert!(store.exists(key).await.unwrap());
    // Again, with what is there.
    put(&store, key, b"content").await.unwrap();
    assert_eq!(store.get_content(key).await.unwrap().unwrap(), "content");
    store.delete(key).await.unwrap();
    store.delete(key).await.unwrap();
    assert!(!store.exists(key).await.unwrap());
}

async fn metadata_are_kept_whatever_is_in_them(store: BlobStore) {
    let odd: Vec<(String, String)> = [
        ("a", ""),
        ("b", "two  spaces"),
        ("c_d", "100% \"quoted\", a=b; c"),
        ("e-f", "line\nend\r\t"),
        ("g", "访谈 ü"),
        ("h", "%41"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    let content = Bytes::from_static(b"x");
    store
        .put("odd", content.clone(), "audio/L16; rate=16000", &odd)
        .await
        .unwrap();
    let object = store.get("odd").await.unwrap().unwrap();
    assert_eq!(object.content_type, "audio/L16; rate=16000");
    assert_eq!(object.metadata, odd);
    // The content is worth more than they are.
    let large = [("n".to_owned(), "v".repeat(MAX_METADATA_BYTES))];
    store.put("odd", content, TYPE, &large).await.unwrap();
    assert_eq!(store.get("odd").await.unwrap().unwrap().metadata, []);
}

async fn empty_and_large_objects_are_kept_and_too_large_ones_refused(store: BlobStore) {
    put(&store, "empty", b"").await.unwrap();
    assert_eq!(store.get_content("empty").await.unwrap().unwrap(), "");
    let large = Bytes::from(vec![7; 3 << 20]);
    store.put("large", large.clone(), TYPE, &[]).await.unwrap();
    assert_eq!(store.get_content("large").await.unwrap().unwrap(), large);
    let too_large = Bytes::from(vec![0; MAX_OBJECT_BYTES + 1]);
    let error = store
        .put("too-large", too_large, TYPE, &[])
        .await
        .unwrap_err();
    assert!(matches!(error, BlobError::Refused(_)), "{error}");
    assert!(!store.exists("too-large").await.unwrap());
}

async fn a_prefix_is_removed_with_all_that_is_below_it(store: BlobStore) {
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
    assert_eq!(store.delete_prefix("sessions/a/").await.unwrap(), 4);
    for key in siblings {
        assert!(store.exists(key).await.unwrap(), "{key}");
    }
    assert_eq!(store.delete_prefix("sessions/a/").await.unwrap(), 0);
    put(&store, "sessions/a/result.json", b"content")
        .await
        .unwrap();
    assert!(store.exists("sessions/a/result.json").await.unwrap());
}

async fn more_objects_than_one_page_has_are_removed(store: BlobStore) {
    let puts = (0..1205).map(|n| {
        let store = store.clone();
        async move { put(&store, &format!("many/{n:05}"), b"x").await.unwrap() }
    });
    let puts = futures::stream::iter(puts);
    futures::StreamExt::for_each_concurrent(puts, 16, |put| put).await;
    put(&store, "many-more", b"x").await.unwrap();
    assert_eq!(store.delete_prefix("many/").await.unwrap(), 1205);
    assert!(!store.exists("many/00000").await.unwrap());
    assert!(!store.exists("many/01204").await.unwrap());
    assert!(store.exists("many-more").await.unwrap());
}

async fn prefixes_that_are_none_are_refused_and_remove_nothing(store: BlobStore) {
    put(&store, "a/b", b"content").await.unwrap();
    for prefix in [
        "", "/", "a", "a/b", "./", "../", "a/../", "/a/", "a//", "a\\/", "a#1/",
    ] {
        let result = store.delete_prefix(prefix).await;
        assert!(matches!(result, Err(BlobError::Refused(_))), "{prefix:?}");
    }
    // An object is no prefix.
    assert_eq!(store.delete_prefix("a/b/").await, Ok(0));
    assert!(store.exists("a/b").await.unwrap());
}

async fn a_prefix_can_be_removed_while_others_put_into_it(store: BlobStore) {
    let writer = {
        let store = store.clone();
        tokio::spawn(async move {
            for n in 0..200 {
                // One that is caught half-written fails, and can be put again.
                match put(&store, &format!("a/chunks/{n}"), b"content").await {
                    Ok(()) | Err(BlobError::Unavailable(_)) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        })
    };
    for _ in 0..50 {
        store.delete_prefix("a/").await.unwrap();
        tokio::task::yield_now().await;
    }
    writer.await.unwrap();
    store.delete_prefix("a/").await.unwrap();
    assert_eq!(store.get_content("a/chunks/199").await.unwrap(), None);
}

async fn keys_that_are_none_are_refused_by_every_call(store: BlobStore) {
    for key in [
        "",
        "/etc/passwd",
        "../a",
        "a//b",
        "a\\b",
        "a\0b",
        "a#1",
        "a.meta.json",
    ] {
        let refused = |result: Result<(), BlobError>| matches!(result, Err(BlobError::Refused(_)));
        assert!(refused(put(&store, key, b"content").await), "{key:?}");
        assert!(refused(store.get(key).await.map(drop)), "{key:?}");
        assert!(refused(store.get_content(key).await.map(drop)), "{key:?}");
        assert!(refused(store.head(key).await.map(drop)), "{key:?}");
        assert!(
            refused(store.get_range(key, "", 0, 1).await.map(drop)),
            "{key:?}"
        );
        assert!(refused(store.delete(key).await), "{key:?}");
        assert!(refused(store.exists(key).await.map(drop)), "{key:?}");
    }
    assert!(matches!(
        store.put("a", Bytes::new(), "no\ntype", &[]).await,
        Err(BlobError::Refused(_))
    ));
    assert!(!store.exists("a").await.unwrap());
}

async fn unusual_keys_stay_apart(store: BlobStore) {
    let keys = [
        "a%2fb", "a/b", "a b", "a%20b", "a+b", "%2e%2e", "ü", "%C3%BC", "a?b", "a&b=c", "a:b", "~",
        "a.", "A", "'\"<>",
    ];
    for key in keys {
        store
            .put(key, Bytes::copy_from_slice(key.as_bytes()), TYPE, &[])
            .await
            .unwrap();
    }
    for key in keys {
        assert_eq!(store.get_content(key).await.unwrap().unwrap(), key);
    }
    for key in keys {
        store.delete(key).await.unwrap();
        assert!(!store.exists(key).await.unwrap(), "{key}");
    }
}

async fn readers_see_whole_objects_while_they_are_replaced(store: BlobStore) {
    let size = 64 * 1024;
    let whole = move |byte: u8| Bytes::from(vec![byte; size]);
    store.put("a", whole(0), TYPE, &[]).await.unwrap();
    let writers: Vec<_> = (1..4u8)
        .map(|byte| {
            let store = store.clone();
            tokio::spawn(async move {
                for _ in 0..20 {
                    match store.put("a", whole(byte), TYPE, &[]).await {
                        // The others were quicker again and again.
                        Ok(()) | Err(BlobError::Unavailable(_)) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            })
        })
        .collect();
    for _ in 0..60 {
        let content = store.get_content("a").await.unwrap().unwrap();
        assert_eq!(content.len(), size);
        assert!(content.iter().all(|byte| *byte == content[0]));
    }
    for writer in writers {
        writer.await.unwrap();
    }
}

async fn the_store_can_be_used_and_says_what_it_is(store: BlobStore) {
    store.check().await.unwrap();
    assert!(["directory", "s3"].contains(&store.kind()));
    assert!(!store.place().is_empty());
    let shown = format!("{store:?} {}", store.place());
    assert!(!shown.contains(s3_simulator::SECRET_ACCESS_KEY), "{shown}");
}
