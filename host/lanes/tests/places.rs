//! Which places sockets take: those that nobody knows take none from others and are hardly read, those of
//! an account are counted over all lanes; and a socket that is paused is not read. What there was no place
//! for is counted by what it was over.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::atomic::Ordering;
use std::time::Duration;

use common::{PATIENCE, Server, eventually, server, text};
use futures::{SinkExt, StreamExt};
use lanes::{Account, Event, Limits, Over, SocketError, Standing};
use tokio::io::{AsyncWriteExt, DuplexStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

type Pipe = WebSocketStream<DuplexStream>;

/// A client of a lane; its bytes go through memory.
async fn client(server: &Server, lane: &'static str, standing: Standing) -> Pipe {
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let config = Some(Limits::default().websocket_config());
    let ws = WebSocketStream::from_raw_socket(ours, Role::Server, config).await;
    let lanes = server.lanes.clone();
    tokio::spawn(async move { lanes.serve_as(ws, lane, "", &standing).await });
    WebSocketStream::from_raw_socket(theirs, Role::Client, config).await
}

/// The code with which it is refused or closed.
async fn refused(mut client: Pipe) -> u16 {
    let end = tokio::time::timeout(PATIENCE, client.next()).await.unwrap();
    match end {
        Some(Ok(Message::Close(Some(frame)))) => frame.code.into(),
        other => panic!("it is not refused: {other:?}"),
    }
}

fn account(group: &str) -> Account {
    Account {
        name: "one".into(),
        max_sockets: 2,
        group: group.into(),
        max_groups: 1,
    }
}

/// Tokens of the lane's sockets, in the order in which they came.
fn accepted(server: &Server, lane: &str) -> Vec<String> {
    let events = server.recorder.events(lane);
    let token = |event: &Event| match event {
        Event::Accepted { socket, .. } => Some(socket.to_string()),
        _ => None,
    };
    events.iter().filter_map(token).collect()
}

async fn sockets(server: &Server, count: u64) {
    eventually("so many sockets are there", || {
        server.lanes.stats().sockets_in == count
    })
    .await;
}

#[tokio::test]
async fn unknown_sockets_have_places_of_their_own() {
    let limits = Limits {
        client_sockets_per_lane: 1,
        unknown_sockets_per_lane: 2,
        ..Limits::default()
    };
    let server = server(limits, |_, _, _| Ok(())).await;
    let one = client(&server, "lane", Standing::Unknown).await;
    let other = client(&server, "lane", Standing::Unknown).await;
    sockets(&server, 2).await;
    assert_eq!(
        refused(client(&server, "lane", Standing::Unknown).await).await,
        1013
    );
    assert_eq!(server.lanes.over(Over::UnknownPlaces), 1);
    // They keep nobody out who is known.
    let known = client(&server, "lane", Standing::Plain).await;
    sockets(&server, 3).await;
    eventually("all are told of", || accepted(&server, "lane").len() == 3).await;
    let tokens = accepted(&server, "lane");
    let settled = server.lanes.settle(&tokens[0], None);
    assert_eq!(settled, Err(SocketError::TooMany), "there is one place");
    drop(known);
    sockets(&server, 2).await;
    assert_eq!(server.lanes.settle(&tokens[0], None), Ok(()));
    assert_eq!(server.lanes.settle(&tokens[0], None), Ok(()), "again");
    // Its old place is free, its new one is not.
    let third = client(&server, "lane", Standing::Unknown).await;
    sockets(&server, 3).await;
    assert_eq!(
        refused(client(&server, "lane", Standing::Plain).await).await,
        1013
    );
    assert_eq!(server.lanes.over(Over::LanePlaces), 2);
    assert_eq!(server.lanes.over(Over::UnknownPlaces), 1);
    assert_eq!(server.lanes.over(Over::AccountPlaces), 0);
    drop((one, other, third));
    eventually("the lane is gone", || server.lanes.stats().lanes == 0).await;
}

#[tokio::test]
async fn an_account_is_counted_over_all_lanes() {
    let server = server(Limits::default(), |_, _, _| Ok(())).await;
    let counted = |group| Standing::Counted(account(group));
    let a = client(&server, "a", counted("s")).await;
    sockets(&server, 1).await;
    assert_eq!(
        refused(client(&server, "b", counted("t")).await).await,
        1013
    );
    let b = client(&server, "b", counted("s")).await;
    sockets(&server, 2).await;
    assert_eq!(
        refused(client(&server, "c", counted("s")).await).await,
        1013
    );

    let unknown = client(&server, "c", Standing::Unknown).await;
    eventually("it is told of", || accepted(&server, "c").len() == 1).await;
    let token = accepted(&server, "c").remove(0);
    let settle = |group| server.lanes.settle(&token, Some(&account(group)));
    assert_eq!(settle("s"), Err(SocketError::TooMany));
    drop((a, b));
    sockets(&server, 1).await;
    assert_eq!(settle("t"), Ok(()));
    assert_eq!(
        refused(client(&server, "d", counted("s")).await).await,
        1013
    );
    assert_eq!(server.lanes.over(Over::AccountPlaces), 4);
    assert_eq!(server.lanes.over(Over::LanePlaces), 0);
    drop(unknown);
    sockets(&server, 0).await;
    let again = client(&server, "d", counted("s")).await;
    sockets(&server, 1).await;
    drop(again);
}

/// What has come of the lane's frames.
fn texts(server: &Server, lane: &str) -> Vec<String> {
    let events = server.recorder.events(lane);
    events.iter().flat_map(text).collect()
}

#[tokio::test]
async fn an_unknown_socket_that_sends_much_is_closed_before_it_is_held() {
    let server = server(Limits::default(), |_, _, _| Ok(())).await;
    let large = || Message::text("x".repeat(lanes::limits::UNKNOWN_BYTES));
    let mut whole = client(&server, "lane", Standing::Unknown).await;
    whole.send(large()).await.unwrap();
    assert_eq!(refused(whole).await, 1009);
    // A text of a permitted size is announced, and its beginning sent: nobody waits for the rest.
    let mut begun = client(&server, "lane", Standing::Unknown).await;
    let mut beginning = vec![0x81, 0xff];
    beginning.extend(500_000_u64.to_be_bytes());
    beginning.extend([0; 4]);
    beginning.extend([b'x'; 10_000]);
    begun.get_mut().write_all(&beginning).await.unwrap();
    assert_eq!(refused(begun).await, 1009);
    // In parts, and in control frames.
    let mut pinging = client(&server, "lane", Standing::Unknown).await;
    for _ in 0..100 {
        pinging
            .feed(Message::Ping(vec![b'x'; 125].into()))
            .await
            .unwrap();
    }
    pinging.flush().await.unwrap();
    let end = loop {
        match tokio::time::timeout(PATIENCE, pinging.next())
            .await
            .unwrap()
        {
            Some(Ok(Message::Pong(_))) => {}
            end => break end,
        }
    };
    assert!(
        matches!(&end, Some(Ok(Message::Close(Some(frame)))) if u16::from(frame.code) == 1009),
        "{end:?}"
    );
    assert_eq!(server.lanes.over(Over::UnknownBytes), 3);
    // Who is known sends what it likes.
    let mut known = client(&server, "lane", Standing::Plain).await;
    known.send(large()).await.unwrap();
    eventually("it has come", || texts(&server, "lane").len() == 1).await;
    drop(known);
    sockets(&server, 0).await;
}

#[tokio::test]
async fn the_second_message_of_an_unknown_socket_is_read_when_it_is_settled() {
    let server = server(Limits::default(), |_, _, _| Ok(())).await;
    let mut unknown = client(&server, "lane", Standing::Unknown).await;
    eventually("it is told of", || accepted(&server, "lane").len() == 1).await;
    // More than is read of it before, but that comes after its first message.
    let more = "x".repeat(lanes::limits::UNKNOWN_BYTES);
    unknown.send(Message::text("first")).await.unwrap();
    unknown.send(Message::text("second")).await.unwrap();
    unknown.send(Message::text(more.clone())).await.unwrap();
    eventually("the first has come", || texts(&server, "lane") == ["first"]).await;
    let mut known = client(&server, "lane", Standing::Plain).await;
    for number in 0..50 {
        known
            .send(Message::text(format!("known {number}")))
            .await
            .unwrap();
    }
    eventually("others are read", || texts(&server, "lane").len() >= 51).await;
    let seen = texts(&server, "lane");
    assert!(!seen.contains(&"second".to_owned()), "{seen:?}");
    let token = accepted(&server, "lane").remove(0);
    server.lanes.settle(&token, None).unwrap();
    eventually("the rest comes, in order", || {
        texts(&server, "lane").ends_with(&["second".to_owned(), more.clone()])
    })
    .await;
    assert_eq!(server.lanes.over(Over::UnknownBytes), 0);
    drop((unknown, known));
    sockets(&server, 0).await;
}

#[tokio::test]
async fn an_unknown_socket_that_nobody_settles_is_silent() {
    let limits = Limits {
        silence: Duration::from_millis(300),
        ..Limits::default()
    };
    let server = server(limits, |_, _, _| Ok(())).await;
    let mut unknown = client(&server, "lane", Standing::Unknown).await;
    unknown.send(Message::text("first")).await.unwrap();
    assert_eq!(refused(unknown).await, 1008);
    assert_eq!(server.lanes.over(Over::Silence), 1);
}

#[tokio::test]
async fn a_lane_too_many_counts_as_one() {
    let limits = Limits {
        lanes: 1,
        ..Limits::default()
    };
    let server = server(limits, |_, _, _| Ok(())).await;
    let held = client(&server, "a", Standing::Plain).await;
    sockets(&server, 1).await;
    assert_eq!(
        refused(client(&server, "b", Standing::Plain).await).await,
        1013
    );
    assert_eq!(server.lanes.over(Over::Lanes), 1);
    assert_eq!(server.lanes.over(Over::LanePlaces), 0);
    drop(held);
}

#[tokio::test]
async fn what_a_paused_peer_sends_waits_and_nothing_is_lost() {
    const FRAMES: usize = 400;
    // The first frame pauses its socket for so long.
    const PAUSE: Duration = Duration::from_millis(600);
    let server = server(Limits::default(), |lanes, _, events| {
        for event in events {
            if let Event::Frames {
                socket, first: 1, ..
            } = event
            {
                lanes.pause(socket, PAUSE).unwrap();
                // It makes no pause shorter.
                lanes.pause(socket, Duration::ZERO).unwrap();
            }
        }
        Ok(())
    })
    .await;
    let mut client = client(&server, "lane", Standing::Plain).await;
    let since = tokio::time::Instant::now();
    let sending = async {
        for number in 0..FRAMES {
            // More than all buffers on the way hold.
            let frame = format!("{number} {}", "x".repeat(4096));
            client.send(Message::text(frame)).await.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, sending).await.unwrap();
    assert!(since.elapsed() >= PAUSE, "{:?}", since.elapsed());
    let seen = || -> Vec<String> {
        let events = server.recorder.events("lane");
        events.iter().flat_map(text).collect()
    };
    eventually("all have come", || seen().len() == FRAMES).await;
    for (number, frame) in seen().iter().enumerate() {
        assert!(frame.starts_with(&format!("{number} ")), "{number}");
    }
    // A socket that is being closed is not waited for.
    let token = accepted(&server, "lane").remove(0);
    server.lanes.pause(&token, Duration::from_secs(60)).unwrap();
    server.lanes.close(&token, 1000, "").unwrap();
    drop(client);
    sockets(&server, 0).await;
}

#[tokio::test]
async fn what_strangers_do_is_told_apart_until_they_are_known() {
    let server = server(Limits::default(), |_, _, _| Ok(())).await;
    let of_strangers = || server.recorder.of_strangers.load(Ordering::SeqCst);
    let batches = || server.recorder.batches.lock().unwrap().len();
    let mut one = client(&server, "lane", Standing::Unknown).await;
    eventually("it is told of", || batches() == 1).await;
    one.send(Message::text("who am I")).await.unwrap();
    eventually("it is heard", || batches() == 2).await;
    server
        .lanes
        .set_timer("lane", "patience", Duration::ZERO)
        .unwrap();
    eventually("a timer rings", || batches() == 3).await;
    let silent = client(&server, "lane", Standing::Unknown).await;
    eventually("it is told of", || batches() == 4).await;
    drop(silent);
    eventually("its end is told", || batches() == 5).await;
    // Who has said something is not read before it is settled, so only we can end it.
    let token = accepted(&server, "lane").remove(0);
    server.lanes.close(&token, 1008, "").unwrap();
    drop(one);
    eventually("its end is told", || batches() == 6).await;
    assert_eq!(of_strangers(), 6);

    let mut other = client(&server, "lane", Standing::Unknown).await;
    eventually("it is told of", || batches() == 7).await;
    assert_eq!(of_strangers(), 7);
    let token = accepted(&server, "lane").remove(2);
    server.lanes.settle(&token, Some(&account("s"))).unwrap();
    other.send(Message::text("it is me")).await.unwrap();
    eventually("it is heard", || batches() == 8).await;
    let third = client(&server, "lane", Standing::Unknown).await;
    eventually("it is told of", || batches() == 9).await;
    drop((other, third));
    eventually("the ends are told", || server.lanes.stats().lanes == 0).await;
    server.lanes.post("lane", vec![1].into()).unwrap();
    eventually("a message is heard", || server.lanes.stats().lanes == 0).await;
    let known = batches() - of_strangers();
    assert!(
        known >= 3,
        "a known one, who comes beside it, and a message: {known}"
    );
}

/// Reads, and so answers pings, until it is dropped.
struct Alive(tokio::task::JoinHandle<()>);

impl Alive {
    fn new(mut client: Pipe) -> Self {
        Self(tokio::spawn(async move {
            while let Some(Ok(_)) = client.next().await {}
        }))
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// How many of the lane's sockets have ended, as it was told.
fn closed(server: &Server, lane: &str) -> usize {
    let is_end = |event: &&Event| matches!(event, Event::Closed { .. });
    server.recorder.events(lane).iter().filter(is_end).count()
}

fn crowded(sockets: usize) -> Limits {
    Limits {
        client_sockets_per_lane: sockets,
        displace_after: Duration::from_millis(100),
        ..Limits::default()
    }
}

/// Comes again and again until there is a place.
async fn comes_in(server: &Server, lane: &'static str, standing: Standing) -> Pipe {
    let coming = async {
        loop {
            let mut newcomer = client(server, lane, standing.clone()).await;
            newcomer.send(Message::text("newcomer")).await.unwrap();
            let refused = async {
                loop {
                    match newcomer.next().await {
                        Some(Ok(Message::Close(_))) | None => return,
                        other => drop(other),
                    }
                }
            };
            let taken = async {
                while !texts(server, lane).contains(&"newcomer".to_owned()) {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            tokio::select! {
                () = refused => tokio::time::sleep(Duration::from_millis(20)).await,
                () = taken => return newcomer,
            }
        }
    };
    tokio::time::timeout(PATIENCE, coming).await.unwrap()
}

#[tokio::test]
async fn a_client_that_vanished_gives_its_place_to_one_that_comes() {
    let server = server(crowded(2), |_, _, _| Ok(())).await;
    let alive = Alive::new(client(&server, "lane", Standing::Plain).await);
    sockets(&server, 1).await;
    // Nobody reads it, so no ping is answered.
    let mut vanished = client(&server, "lane", Standing::Plain).await;
    sockets(&server, 2).await;
    let newcomer = comes_in(&server, "lane", Standing::Plain).await;
    assert_eq!(server.lanes.over(Over::Displaced), 1);
    assert!(
        server.lanes.over(Over::LanePlaces) >= 1,
        "it was asked first"
    );
    // The app is told at once; the vanished one, if it comes back, why.
    assert_eq!(closed(&server, "lane"), 1);
    let reason = loop {
        match tokio::time::timeout(PATIENCE, vanished.next())
            .await
            .unwrap()
        {
            Some(Ok(Message::Close(Some(frame)))) => {
                assert_eq!(u16::from(frame.code), 1008);
                break frame.reason.to_string();
            }
            Some(Ok(_)) => {}
            other => panic!("{other:?}"),
        }
    };
    assert!(reason.ends_with("answer pings, and reconnect"), "{reason}");
    sockets(&server, 2).await;
    drop((alive, newcomer, vanished));
    eventually("the lane is gone", || server.lanes.stats().lanes == 0).await;
    assert_eq!(closed(&server, "lane"), 3, "each ends once");
}

#[tokio::test]
async fn clients_that_are_alive_keep_their_places() {
    let server = server(crowded(2), |_, _, _| Ok(())).await;
    let one = Alive::new(client(&server, "lane", Standing::Plain).await);
    let other = Alive::new(client(&server, "lane", Standing::Plain).await);
    sockets(&server, 2).await;
    for attempt in 1..=4 {
        let newcomer = client(&server, "lane", Standing::Plain).await;
        assert_eq!(refused(newcomer).await, 1013);
        assert_eq!(server.lanes.over(Over::LanePlaces), attempt);
        // Longer than a vanished one would be waited for.
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    assert_eq!(server.lanes.over(Over::Displaced), 0);
    drop((one, other));
}

#[tokio::test]
async fn who_is_unknown_displaces_nobody_until_it_is_known() {
    let server = server(crowded(1), |_, _, _| Ok(())).await;
    let vanished = client(&server, "lane", Standing::Plain).await;
    sockets(&server, 1).await;
    let unknown = Alive::new(client(&server, "lane", Standing::Unknown).await);
    eventually("both are told of", || accepted(&server, "lane").len() == 2).await;
    let token = accepted(&server, "lane").remove(1);
    let first = server.lanes.settle(&token, None);
    assert_eq!(
        first,
        Err(SocketError::TooMany),
        "only now is anybody asked"
    );
    eventually("it gets the place", || {
        server.lanes.settle(&token, None).is_ok()
    })
    .await;
    assert_eq!(server.lanes.over(Over::Displaced), 1);
    drop((vanished, unknown));
}

#[tokio::test]
async fn a_place_of_an_account_is_given_up_in_whatever_lane_and_a_group_as_a_whole() {
    let server = server(crowded(16), |_, _, _| Ok(())).await;
    let counted = |group| Standing::Counted(account(group));
    let vanished = [
        client(&server, "a", counted("s")).await,
        client(&server, "b", counted("s")).await,
    ];
    sockets(&server, 2).await;
    // There are two sockets, and one group: both have to go for one of another.
    let newcomer = comes_in(&server, "c", counted("t")).await;
    assert_eq!(server.lanes.over(Over::Displaced), 2);
    eventually("both lanes are told", || {
        closed(&server, "a") == 1 && closed(&server, "b") == 1
    })
    .await;
    drop((vanished, newcomer));
    sockets(&server, 0).await;
}
