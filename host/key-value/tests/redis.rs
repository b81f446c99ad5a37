//! The Redis store when the server, the network or another host is not as it should be. What it promises
//! as any store does is in `contract.rs`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::wire::{Way, Wire};
use common::{entry, eventually, keys, open_redis, settings};
use key_value_store::{IN_FLIGHT, KeyValue, KvError, Lost, RedisSettings, RedisStore, Swap};
use redis_server::{RedisServer, TlsFiles};

/// What a test asks of the server behind the store's back.
async fn ask<T: redis::FromRedisValue>(server: &RedisServer, words: &[&str]) -> T {
    let client = redis::Client::open(server.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut command = redis::cmd(words[0]);
    for word in &words[1..] {
        command.arg(*word);
    }
    command.query_async(&mut connection).await.unwrap()
}

/// A store that does not wait long.
async fn impatient(url: &str) -> RedisStore {
    let settings = RedisSettings {
        connect_timeout: Duration::from_secs(2),
        response_timeout: Duration::from_millis(500),
        ..settings(url)
    };
    eventually("it connects", async || {
        RedisStore::open(&settings).await.is_ok()
    })
    .await;
    RedisStore::open(&settings).await.unwrap()
}

async fn text(store: &dyn KeyValue, key: &str) -> Option<String> {
    let value = store.get(key).await.unwrap();
    value.map(|value| String::from_utf8(value).unwrap())
}

#[tokio::test]
async fn an_apps_keys_begin_with_its_prefix_and_nothing_else_is_seen() {
    let server = RedisServer::start();
    let one = open_redis(&server.url()).await;
    let other = RedisSettings {
        prefix: "other*:".to_owned(),
        ..settings(&server.url())
    };
    let other = RedisStore::open(&other).await.unwrap();
    one.set("a", b"1").await.unwrap();
    other.set("a", b"2").await.unwrap();
    other.claim("a lane").await.unwrap();
    assert_eq!(text(&one, "a").await.as_deref(), Some("1"));
    assert_eq!(ask::<String>(&server, &["GET", "app:a"]).await, "1");
    assert_eq!(ask::<String>(&server, &["GET", "other*:a"]).await, "2");
    ask::<()>(&server, &["SET", "otherwise:b", "3"]).await;
    assert_eq!(one.list_keys(None).await.unwrap().keys, ["a"]);
    assert_eq!(other.list_keys(None).await.unwrap().keys, ["a"]);
    let all: Vec<String> = ask(&server, &["KEYS", "*"]).await;
    let hidden = all.iter().filter(|key| key.starts_with('#')).count();
    assert_eq!((all.len(), hidden), (6, 3), "{all:?}");
    assert!(!all.iter().any(|key| key.contains("lane")), "{all:?}");
}

#[tokio::test]
async fn a_password_is_asked_for_and_not_told() {
    let server = RedisServer::with_password("hush-1");
    let address = server.address();
    let store = open_redis(&format!("redis://:hush-1@{address}")).await;
    store.set("a", b"1").await.unwrap();
    let store = open_redis(&format!("redis://default:hush-1@{address}/1")).await;
    assert_eq!(store.get("a").await.unwrap(), None, "another database");
    for url in [
        format!("redis://:hush-2@{address}"),
        format!("redis://nobody:hush-1@{address}"),
        server.url(),
    ] {
        // It does not wait for what will not come.
        let Err(error) = RedisStore::open(&settings(&url)).await else {
            panic!("{url}")
        };
        assert!(matches!(error, KvError::Unavailable { .. }), "{error}");
        let said = format!("{error} {error:?}");
        assert!(
            !said.contains("hush") && said.contains(&address.to_string()),
            "{said}"
        );
    }
}

#[tokio::test]
async fn tls_trusts_the_named_authority_only() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let files = tempfile::tempdir().unwrap();
    let certificate = files.path().join("server.pem");
    let key = files.path().join("server.key");
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let server = RedisServer::with_tls(&TlsFiles {
        certificate: &certificate,
        key: &key,
    });
    let port = server.address().port();
    let with = |url: String, ca_file| RedisSettings {
        ca_file,
        ..settings(&url)
    };
    let url = format!("rediss://localhost:{port}");
    let store = RedisStore::open(&with(url.clone(), Some(certificate.clone()))).await;
    let store = store.unwrap();
    store.set("a", b"1").await.unwrap();
    assert_eq!(text(&store, "a").await.as_deref(), Some("1"));

    let other_name = format!("rediss://127.0.0.1:{port}");
    for (settings, why) in [
        (with(url.clone(), None), "certificate"),
        (with(other_name, Some(certificate)), "certificate"),
        (with(url, Some(key)), "certificate"),
    ] {
        let Err(error) = RedisStore::open(&settings).await else {
            panic!("{settings:?}")
        };
        assert!(error.to_string().contains(why), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named() {
    let mut server = RedisServer::start();
    let url = server.url();
    server.stop();
    let settings = RedisSettings {
        connect_timeout: Duration::from_millis(200),
        ..settings(&url)
    };
    let Err(error) = RedisStore::open(&settings).await else {
        panic!("there is nobody")
    };
    let said = error.to_string();
    assert!(said.contains(&url) && said.contains("refused"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_restart_is_waited_for_and_nothing_is_done_twice() {
    let mut server = RedisServer::start();
    let store = Arc::new(open_redis(&server.url()).await);
    let ends = Arc::new(AtomicBool::new(false));
    let writer = |number: usize| {
        let (store, ends) = (Arc::clone(&store), Arc::clone(&ends));
        tokio::spawn(async move {
            let (key, mut round) = (format!("writer-{number}"), 0_u64);
            while !ends.load(Ordering::Relaxed) {
                round += 1;
                let value = format!("{round}");
                // Both, or none; and never an error: there is time to come back.
                let pair = [entry(&key, &value), entry(&format!("{key}-too"), &value)];
                store.set_many(&pair).await.unwrap();
                assert_eq!(text(store.as_ref(), &key).await, Some(value));
            }
            round
        })
    };
    let counter = {
        let (store, ends) = (Arc::clone(&store), Arc::clone(&ends));
        tokio::spawn(async move {
            let (mut done, mut unknown) = (0_i64, 0_i64);
            while !ends.load(Ordering::Relaxed) {
                match store.increment("n", 1).await {
                    Ok(_) => done += 1,
                    Err(KvError::Unanswered { .. }) => unknown += 1,
                    Err(error) => panic!("{error}"),
                }
            }
            (done, unknown)
        })
    };
    let writers = [writer(1), writer(2)];
    for round in 0..4 {
        let before = text(store.as_ref(), "writer-1").await;
        match round % 2 {
            0 => server.stop(),
            _ => server.kill(),
        }
        server.restart();
        eventually("the writers go on", async || {
            text(store.as_ref(), "writer-1").await != before
        })
        .await;
    }
    ends.store(true, Ordering::Relaxed);
    for (number, writer) in writers.into_iter().enumerate() {
        let last = writer.await.unwrap().to_string();
        let key = format!("writer-{}", number + 1);
        assert_eq!(text(store.as_ref(), &key).await.as_ref(), Some(&last));
        assert_eq!(
            text(store.as_ref(), &format!("{key}-too")).await,
            Some(last)
        );
    }
    let (done, unknown) = counter.await.unwrap();
    let sum = store.increment("n", 0).await.unwrap();
    assert!(
        (done..=done + unknown).contains(&sum),
        "{done} {unknown} {sum}"
    );
}

#[tokio::test]
async fn a_server_that_stands_still_is_given_up_in_time_and_used_again() {
    let server = RedisServer::start();
    let store = impatient(&server.url()).await;
    store.set("a", b"before").await.unwrap();
    server.freeze();
    let read = store.get("a").await.unwrap_err();
    assert!(matches!(read, KvError::Unavailable { .. }), "{read}");
    let written = store.set("a", b"meanwhile").await.unwrap_err();
    assert!(matches!(written, KvError::Unanswered { .. }), "{written}");
    let swapped = store.compare_and_swap("b", None, b"meanwhile").await;
    assert!(
        matches!(swapped, Err(KvError::Unanswered { .. })),
        "{swapped:?}"
    );
    // Its connection is given up, and nothing is sent any more.
    eventually("nothing is sent", async || {
        matches!(store.set("c", b"1").await, Err(KvError::Unavailable { .. }))
    })
    .await;
    server.thaw();
    eventually("it goes on", async || {
        store.set("a", b"after").await.is_ok()
    })
    .await;
    for _ in 0..50 {
        assert_eq!(text(&store, "a").await.as_deref(), Some("after"));
    }
}

#[tokio::test]
async fn a_pause_that_is_short_is_not_noticed() {
    let server = RedisServer::start();
    let store = open_redis(&server.url()).await;
    ask::<()>(&server, &["CLIENT", "PAUSE", "300", "ALL"]).await;
    store.set("a", b"1").await.unwrap();
    let swap = store.compare_and_swap("a", Some(b"1"), b"2").await.unwrap();
    assert_eq!(swap, Swap::Swapped);
}

#[tokio::test]
async fn what_an_old_connection_left_on_its_way_is_not_done() {
    let server = RedisServer::start();
    let wire = Wire::to(server.address()).await;
    let store = impatient(&wire.url()).await;
    let claim = store.claim("a lane").await.unwrap();
    let under = store.under(&claim).unwrap();
    under.set("a", b"before").await.unwrap();
    let old = wire.newest();
    old.to_server.send_replace(Way::Held);
    for error in [
        under.set("a", b"late").await.unwrap_err(),
        store.set("b", b"late").await.unwrap_err(),
        store.delete("a").await.unwrap_err(),
        store.increment("n", 1).await.map(drop).unwrap_err(),
        store
            .compare_and_swap("s", None, b"late")
            .await
            .map(drop)
            .unwrap_err(),
    ] {
        assert!(matches!(error, KvError::Unanswered { .. }), "{error}");
    }
    // A new connection is made when the old one shows no life.
    eventually("it goes on", async || {
        under.set("a", b"after").await.is_ok()
    })
    .await;
    let before: u64 = commands(&server).await;
    old.to_server.send_replace(Way::Open);
    eventually("what was held arrives", async || {
        commands(&server).await > before + 4
    })
    .await;
    assert_eq!(text(&store, "a").await.as_deref(), Some("after"));
    for key in ["b", "n", "s"] {
        assert_eq!(store.get(key).await.unwrap(), None, "{key}");
    }
}

/// Scripts that the server was asked for so far.
async fn commands(server: &RedisServer) -> u64 {
    let info: String = ask(server, &["INFO", "commandstats"]).await;
    let calls = info.lines().find_map(|line| {
        let line = line.strip_prefix("cmdstat_evalsha:calls=")?;
        line.split(',').next()?.parse().ok()
    });
    calls.unwrap_or_default()
}

/// Makes a call of which the server sees to it that a key has this value, and ends the connection before
/// the answer comes.
async fn losing<T>(
    wire: &Wire,
    server: &RedisServer,
    call: impl Future<Output = Result<T, KvError>>,
    (key, value): (&str, &str),
) -> Result<T, KvError> {
    let ways = wire.newest();
    ways.to_client.send_replace(Way::Held);
    let lose = async {
        eventually("the server does it", async || {
            let is: Option<String> = ask(server, &["GET", key]).await;
            is.unwrap_or_default() == value
        })
        .await;
        ways.to_client.send_replace(Way::Cut);
    };
    let (done, ()) = tokio::join!(call, lose);
    done
}

#[tokio::test]
async fn an_answer_that_is_lost_leaves_plain_writes_done_and_others_told() {
    let server = RedisServer::start();
    let wire = Wire::to(server.address()).await;
    let store = open_redis(&wire.url()).await;
    store.set("b", b"1").await.unwrap();
    let done = losing(&wire, &server, store.set("a", b"1"), ("app:a", "1"));
    done.await.unwrap();
    let done = losing(&wire, &server, store.delete("b"), ("app:b", ""));
    done.await.unwrap();
    let done = losing(&wire, &server, store.increment("n", 1), ("app:n", "1"));
    let error = done.await.unwrap_err();
    assert!(error.to_string().contains("may have been done"), "{error}");
    // There is a connection again.
    store.get("s").await.unwrap();
    let swap = store.compare_and_swap("s", None, b"1");
    let error = losing(&wire, &server, swap, ("app:s", "1")).await;
    let error = error.unwrap_err();
    assert!(matches!(error, KvError::Unanswered { .. }), "{error}");
    // What it says: read, then go on from there.
    assert_eq!(store.increment("n", 0).await.unwrap(), 1);
    let seen = store.get("s").await.unwrap();
    assert_eq!(seen.as_deref(), Some(&b"1"[..]));
    let swap = store
        .compare_and_swap("s", seen.as_deref(), b"2")
        .await
        .unwrap();
    assert_eq!(swap, Swap::Swapped);
}

#[tokio::test]
async fn a_server_that_forgets_scripts_or_presence_is_told_again() {
    let server = RedisServer::start();
    let store = open_redis(&server.url()).await;
    ask::<()>(&server, &["SCRIPT", "FLUSH"]).await;
    store.set("a", b"1").await.unwrap();
    store.increment("n", 1).await.unwrap();
    // As when nobody could show life for long.
    let all: Vec<String> = ask(&server, &["KEYS", "#app:host/*"]).await;
    ask::<()>(&server, &["DEL", &all[0]]).await;
    assert_eq!(store.increment("n", 1).await.unwrap(), 2);
    ask::<()>(&server, &["DEL", &all[0]]).await;
    store.set("a", b"2").await.unwrap();
    assert_eq!(text(&store, "a").await.as_deref(), Some("2"));
}

#[tokio::test]
async fn a_full_server_and_another_programs_key_are_told_apart() {
    let server = RedisServer::with_options("maxmemory 4mb\n");
    let store = open_redis(&server.url()).await;
    store.set("a", b"old").await.unwrap();
    let large = vec![0; 1 << 20];
    let mut full = false;
    for number in 0..16 {
        let pair = [
            ("a".to_owned(), format!("{number}").into_bytes()),
            (format!("large-{number}"), large.clone()),
        ];
        match store.set_many(&pair).await {
            Ok(()) => {}
            Err(KvError::Full { .. }) => {
                full = true;
                assert_eq!(store.get(&pair[1].0).await.unwrap(), None);
                let before = format!("{}", number - 1);
                assert_eq!(text(&store, "a").await, Some(before), "all or none");
                break;
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(full);
    // A connection that breaks now can be made again, and what makes room works.
    ask::<()>(&server, &["CONFIG", "SET", "maxmemory", "1"]).await;
    ask::<i64>(&server, &["CLIENT", "KILL", "TYPE", "normal"]).await;
    assert!(store.get("large-0").await.unwrap().is_some());
    let claim = store.claim("lane").await.unwrap();
    let lost = store.lost(std::slice::from_ref(&claim)).await.unwrap();
    assert_eq!(lost, []);
    let written = store.set("b", b"1").await;
    assert!(matches!(written, Err(KvError::Full { .. })), "{written:?}");
    let under_claim = store.under(&claim).unwrap();
    under_claim.delete("large-0").await.unwrap();
    ask::<()>(&server, &["CONFIG", "SET", "maxmemory", "4mb"]).await;
    store.set("a", b"new").await.unwrap();

    ask::<()>(&server, &["LPUSH", "app:list", "x"]).await;
    let error = store.get("list").await.unwrap_err();
    assert!(matches!(error, KvError::Damaged { .. }), "{error}");
    let error = store
        .compare_and_swap("list", None, b"1")
        .await
        .unwrap_err();
    assert!(matches!(error, KvError::Damaged { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn more_callers_than_may_wait_for_the_server_get_their_turn() {
    let server = RedisServer::start();
    let store = Arc::new(open_redis(&server.url()).await);
    let calls: Vec<_> = (0..4 * IN_FLIGHT)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.increment("n", 1).await.unwrap() })
        })
        .collect();
    let mut sums = BTreeSet::new();
    for call in calls {
        sums.insert(call.await.unwrap());
    }
    assert_eq!(sums, (1..=4 * IN_FLIGHT as i64).collect());
}

#[tokio::test]
async fn nothing_is_written_under_a_claim_that_another_host_has_taken() {
    let server = RedisServer::start();
    let (one, other) = (
        open_redis(&server.url()).await,
        open_redis(&server.url()).await,
    );
    let mine = one.claim("a lane").await.unwrap();
    let under = one.under(&mine).unwrap();
    under
        .set_many(&[entry("a", "1"), entry("b", "1")])
        .await
        .unwrap();
    let theirs = other.claim("a lane").await.unwrap();
    for refused in [
        under.set("a", b"2").await,
        under.set_many(&[entry("a", "2"), entry("c", "2")]).await,
        under.delete("a").await,
        under.delete_many(&keys(&["a", "b"])).await,
    ] {
        assert!(matches!(refused, Err(KvError::ClaimLost)), "{refused:?}");
    }
    let found = other.get_many(&keys(&["a", "b", "c"])).await.unwrap();
    let found: Vec<_> = found.into_iter().map(|(_, value)| value).collect();
    assert_eq!(found, [Some(b"1".to_vec()), Some(b"1".to_vec()), None]);
    // What is right whoever does it goes on.
    assert_eq!(under.increment("n", 1).await.unwrap(), 1);
    let swap = under.compare_and_swap("a", Some(b"1"), b"3").await.unwrap();
    assert_eq!(swap, Swap::Swapped);
    other.under(&theirs).unwrap().set("a", b"4").await.unwrap();
    one.set("d", b"1").await.unwrap();
    let lost = Lost {
        claim: mine.clone(),
        is_vacant: false,
    };
    assert_eq!(
        one.lost(&[mine.clone(), theirs.clone()]).await.unwrap(),
        [lost]
    );
    // It can be taken back, which is not the same claim.
    let again = one.claim("a lane").await.unwrap();
    assert!(under.set("a", b"5").await.is_err());
    one.under(&again).unwrap().set("a", b"5").await.unwrap();
    one.release(&[mine]).await.unwrap();
    one.under(&again).unwrap().set("a", b"6").await.unwrap();
    one.release(std::slice::from_ref(&again)).await.unwrap();
    assert!(one.under(&again).unwrap().set("a", b"7").await.is_err());
    assert!(one.lost(&[again]).await.unwrap()[0].is_vacant);
}

#[tokio::test]
async fn what_a_dead_host_had_can_be_taken_and_what_a_living_one_has_cannot() {
    let server = RedisServer::start();
    let (one, other) = (
        open_redis(&server.url()).await,
        open_redis(&server.url()).await,
    );
    one.claim("a").await.unwrap();
    one.claim("b").await.unwrap();
    let own = other.claim("own").await.unwrap();
    assert_eq!(other.claim_abandoned("a").await.unwrap(), None);
    assert!(other.claim_abandoned("nobody's").await.unwrap().is_some());
    assert_eq!(other.dead_holders().await.unwrap(), BTreeSet::new());
    one.leave().await.unwrap();
    drop(one);
    let dead = other.dead_holders().await.unwrap();
    assert_eq!(dead.len(), 1);
    let taken = other.claim_abandoned("a").await.unwrap().expect("it is");
    other.forget(&dead).await.unwrap();
    assert_eq!(other.dead_holders().await.unwrap(), BTreeSet::new());
    let claims: u64 = ask(&server, &["HLEN", "#app:claims"]).await;
    assert_eq!(claims, 3, "what the dead host still had is forgotten");
    assert_eq!(other.lost(&[taken, own]).await.unwrap(), []);
}

#[tokio::test]
async fn an_earlier_run_of_the_same_host_holds_nothing_back() {
    let server = RedisServer::start();
    let same = settings(&server.url());
    let earlier = RedisStore::open(&same).await.unwrap();
    let claim = earlier.claim("a").await.unwrap();
    let under = earlier.under(&claim).unwrap();
    let later = RedisStore::open(&same).await.unwrap();
    let taken = later.claim_abandoned("a").await.unwrap().expect("it is");
    later.under(&taken).unwrap().set("a", b"1").await.unwrap();
    assert!(matches!(
        under.set("a", b"2").await,
        Err(KvError::ClaimLost)
    ));
}

#[tokio::test]
async fn what_a_host_has_that_shows_life_again_is_not_forgotten() {
    let server = RedisServer::start();
    let (one, other) = (
        open_redis(&server.url()).await,
        open_redis(&server.url()).await,
    );
    one.claim("before").await.unwrap();
    one.leave().await.unwrap();
    let dead = other.dead_holders().await.unwrap();
    assert_eq!(dead.len(), 1);
    // Any write connects it again.
    let after = one.claim("after").await.unwrap();
    other.forget(&dead).await.unwrap();
    assert_eq!(one.lost(&[after]).await.unwrap(), []);
    let claims: u64 = ask(&server, &["HLEN", "#app:claims"]).await;
    assert_eq!(claims, 2);
}

#[tokio::test]
async fn a_run_leaves_its_own_claims_alone_and_clears_what_earlier_ones_left() {
    let server = RedisServer::start();
    let same = settings(&server.url());
    let earlier = RedisStore::open(&same).await.unwrap();
    earlier.claim("a").await.unwrap();
    earlier.claim("b").await.unwrap();
    drop(earlier);
    let later = RedisStore::open(&same).await.unwrap();
    let own = later.claim("own").await.unwrap();
    assert_eq!(later.claim_abandoned("own").await.unwrap(), None);
    let taken = later.claim_abandoned("a").await.unwrap().expect("it is");
    later.forget_earlier_runs().await.unwrap();
    assert_eq!(later.lost(&[own, taken]).await.unwrap(), []);
    let claims: u64 = ask(&server, &["HLEN", "#app:claims"]).await;
    assert_eq!(claims, 2);
}

#[tokio::test]
async fn two_hosts_with_one_name_work_side_by_side_and_find_out() {
    let server = RedisServer::start();
    let same = settings(&server.url());
    let one = RedisStore::open(&same).await.unwrap();
    let other = RedisStore::open(&same).await.unwrap();
    for round in 0..8_u8 {
        one.set("one", &[round]).await.unwrap();
        other.set("other", &[round]).await.unwrap();
    }
    let connections: String = ask(&server, &["INFO", "stats"]).await;
    let count = connections
        .lines()
        .find_map(|line| line.strip_prefix("total_connections_received:"))
        .and_then(|count| count.parse::<u64>().ok());
    assert!(count.unwrap() < 8, "they throw each other out: {count:?}");
    assert_eq!(one.namesake().await.unwrap(), None);
    assert_eq!(other.namesake().await.unwrap().as_deref(), Some(one.run()));
    let claim = one.claim("a").await.unwrap();
    other.has_namesake();
    assert_eq!(other.claim_abandoned("a").await.unwrap(), None);
    other.forget_earlier_runs().await.unwrap();
    assert_eq!(one.lost(&[claim]).await.unwrap(), []);
    one.leave().await.unwrap();
    assert_eq!(other.namesake().await.unwrap(), None, "it is alone now");
}
