//! Client sockets over loopback: what is sent arrives, in order, once, within the limits.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::Duration;

use common::{close_frame, echo, eventually, is_closed, next, server, text};
use futures::{SinkExt, StreamExt};
use lanes::{Event, Limits, Payload, SocketError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::{Message, protocol::CloseFrame};

#[tokio::test]
async fn frames_are_answered_in_order_and_the_end_is_told() {
    let server = server(Limits::default(), echo).await;
    let mut client = server.client().await;
    for number in 0..300 {
        client
            .send(Message::text(format!("{number}")))
            .await
            .unwrap();
    }
    for number in 0..300 {
        assert_eq!(
            next(&mut client).await.unwrap(),
            Message::text(format!("{number}"))
        );
    }
    client
        .close(Some(CloseFrame {
            code: 4001.into(),
            reason: "done".into(),
        }))
        .await
        .unwrap();
    assert_eq!(u16::from(close_frame(&mut client).await.code), 4001);
    server
        .wait_for("closed", |events| events.iter().any(is_closed))
        .await;

    let events = server.recorder.events("lane");
    assert!(matches!(&events[0], Event::Accepted { context, .. } if &**context == "context"));
    let mut expected = 1;
    for event in &events[1..events.len() - 1] {
        let Event::Frames {
            first, payloads, ..
        } = event
        else {
            panic!("{event:?}")
        };
        assert_eq!(*first, expected);
        assert!(payloads.len() <= Limits::default().batch_events);
        expected += payloads.len() as u64;
    }
    assert_eq!(expected, 301);
    let Some(Event::Closed {
        code,
        reason,
        clean,
        ..
    }) = events.last()
    else {
        panic!("{events:?}")
    };
    assert_eq!((*code, &**reason, *clean), (4001, "done", true));
    eventually("the lane is gone", || server.lanes.stats().lanes == 0).await;
    let stats = server.lanes.stats();
    assert_eq!((stats.queued_events, stats.queued_bytes), (0, 0));
    assert_eq!((stats.frames_in, stats.frames_out), (300, 300));
}

#[tokio::test]
async fn a_client_that_does_not_read_is_not_read_either_and_gets_all_answers_later() {
    let limits = Limits::default();
    let server = server(limits.clone(), echo).await;
    let client = server.client().await;
    let (mut sending, mut receiving) = client.split();
    // Far more than the lane, the outbox and the kernel's buffers hold.
    let (count, length) = (3000, 20_000);
    let sender = tokio::spawn(async move {
        for number in 0..count {
            let mut payload = format!("{number} ");
            payload.extend(std::iter::repeat_n('x', length));
            sending.send(Message::text(payload)).await.unwrap();
        }
        sending
    });
    // It comes to a standstill, far from the end.
    let mut last = (0, 0);
    let mut same = 0;
    while same < 20 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let stats = server.lanes.stats();
        assert!(stats.queued_events <= limits.queue_events as u64);
        assert!(stats.queued_bytes <= limits.queue_bytes as u64);
        let now = (stats.frames_in, stats.frames_out);
        same = if now == last && now.0 > 0 {
            same + 1
        } else {
            0
        };
        last = now;
    }
    assert!(last.0 < count, "everything was read: {last:?}");
    for number in 0..count {
        let message = tokio::time::timeout(common::PATIENCE, receiving.next())
            .await
            .unwrap();
        let Some(Ok(Message::Text(answer))) = message else {
            panic!("{message:?}")
        };
        assert!(answer.starts_with(&format!("{number} ")));
    }
    drop(sender.await.unwrap());
    assert_eq!(server.lanes.stats().retries, 0);
}

#[tokio::test]
async fn a_full_lane_stops_reading_and_keeps_no_other_out() {
    let limits = Limits {
        queue_events: 8,
        queue_bytes: 1000,
        ..Limits::default()
    };
    let server = server(limits, |_, _, _| Ok(())).await;
    server.recorder.gate.forget_permits(1000);
    let mut client = server.client().await;
    for number in 0..50 {
        client
            .send(Message::binary(vec![number; 200]))
            .await
            .unwrap();
    }
    eventually("the lane is full", || {
        server.lanes.stats().queued_bytes >= 800
    })
    .await;
    assert!(server.lanes.stats().queued_bytes <= 1000);
    // A message still gets in.
    server.lanes.post("lane", "hello".into()).unwrap();
    server.recorder.gate.add_permits(1);
    server
        .wait_for("all frames", |events| {
            events.iter().flat_map(text).count() == 50
        })
        .await;
    server
        .wait_for("the message", |events| {
            events
                .iter()
                .any(|event| matches!(event, Event::Message { .. }))
        })
        .await;
}

#[tokio::test]
async fn a_message_over_the_limit_closes_with_1009_and_the_client_reads_why() {
    let server = server(Limits::default(), echo).await;
    let mut client = server.client().await;
    client.send(Message::text("before")).await.unwrap();
    assert_eq!(next(&mut client).await.unwrap(), Message::text("before"));
    // 33 MiB, none of which is read as a message.
    let (mut sending, mut receiving) = client.split();
    let sender = tokio::spawn(async move {
        let sent = sending.send(Message::binary(vec![0; 33 << 20])).await;
        (sent.is_ok(), sending)
    });
    let frame = match tokio::time::timeout(common::PATIENCE, receiving.next()).await {
        Ok(Some(Ok(Message::Close(Some(frame))))) => frame,
        other => panic!("{other:?}"),
    };
    assert_eq!(u16::from(frame.code), 1009);
    assert_eq!(
        frame.reason.as_str(),
        "message is larger than 1 MiB: send smaller messages"
    );
    assert!(sender.await.unwrap().0, "the whole message was taken");
    server
        .wait_for("closed", |events| {
            matches!(
                events.last(),
                Some(Event::Closed {
                    code: 1009,
                    clean: false,
                    ..
                })
            )
        })
        .await;
}

#[tokio::test]
async fn a_message_of_exactly_the_limit_is_taken() {
    let server = server(Limits::default(), echo).await;
    let mut client = server.client().await;
    client
        .send(Message::binary(vec![7; 1 << 20]))
        .await
        .unwrap();
    assert_eq!(next(&mut client).await.unwrap().len(), 1 << 20);
}

/// A connection after its handshake, for bytes that no client library would send.
async fn raw(server: &common::Server) -> tokio::net::TcpStream {
    let mut tcp = tokio::net::TcpStream::connect(server.address)
        .await
        .unwrap();
    tcp.write_all(
        b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
          Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    )
    .await
    .unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(tcp.read_u8().await.unwrap());
    }
    tcp
}

/// The code of the close frame that is the answer to these bytes.
async fn answer_to_raw(bytes: &[u8]) -> u16 {
    let server = server(Limits::default(), echo).await;
    let mut tcp = raw(&server).await;
    tcp.write_all(bytes).await.unwrap();
    let mut rest = Vec::new();
    tokio::time::timeout(common::PATIENCE, tcp.read_to_end(&mut rest))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(rest[0], 0x88, "a close frame: {rest:?}");
    server
        .wait_for("closed", |events| events.iter().any(is_closed))
        .await;
    u16::from_be_bytes([rest[2], rest[3]])
}

#[tokio::test]
async fn breaches_of_the_protocol_are_told_by_their_code() {
    // Text that is not UTF-8.
    assert_eq!(answer_to_raw(&[0x81, 0x81, 0, 0, 0, 0, 0xff]).await, 1007);
    // Not masked.
    assert_eq!(answer_to_raw(&[0x81, 0x01, b'x']).await, 1002);
    // An extension that was not agreed on.
    assert_eq!(answer_to_raw(&[0xc1, 0x81, 0, 0, 0, 0, b'x']).await, 1002);
    // A close frame with one byte.
    assert_eq!(answer_to_raw(&[0x88, 0x81, 0, 0, 0, 0, 3]).await, 1002);
}

#[tokio::test]
async fn a_peer_that_is_silent_is_closed() {
    let limits = Limits {
        silence: Duration::from_millis(200),
        ping_interval: Duration::from_millis(50),
        close_handshake: Duration::from_millis(100),
        discard_time: Duration::from_millis(100),
        ..Limits::default()
    };
    let server = server(limits, echo).await;
    // It does not read, so it does not answer pings.
    let client = server.client().await;
    server
        .wait_for("closed", |events| {
            matches!(
                events.last(),
                Some(Event::Closed {
                    code: 1006,
                    clean: false,
                    ..
                })
            )
        })
        .await;
    drop(client);
}

#[tokio::test]
async fn a_message_that_comes_byte_by_byte_is_not_waited_for_without_end() {
    let limits = Limits {
        silence: Duration::from_millis(200),
        ..Limits::default()
    };
    let server = server(limits, echo).await;
    let (mut receiving, mut sending) = raw(&server).await.into_split();
    let dribble = tokio::spawn(async move {
        // The head of a message of 65000 bytes, then one byte after the other.
        sending.write_all(&[0x82, 0xfe, 0xfd, 0xe8]).await.unwrap();
        while sending.write_all(&[0]).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let mut answer = Vec::new();
    let reading = receiving.read_to_end(&mut answer);
    tokio::time::timeout(common::PATIENCE, reading)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(answer[0], 0x88, "a close frame: {answer:?}");
    assert_eq!(u16::from_be_bytes([answer[2], answer[3]]), 1008);
    dribble.abort();
}

#[tokio::test]
async fn a_connection_that_its_owner_drops_still_ends_in_its_lane() {
    let server = server(Limits::default(), echo).await;
    let (ours, _theirs) = tokio::io::duplex(1024);
    let role = tokio_tungstenite::tungstenite::protocol::Role::Server;
    let ws = tokio_tungstenite::WebSocketStream::from_raw_socket(ours, role, None).await;
    let lanes = server.lanes.clone();
    let serving = tokio::spawn(async move { lanes.serve(ws, "lane", "").await });
    server
        .wait_for("accepted", |events| !events.is_empty())
        .await;
    serving.abort();
    server
        .wait_for("closed", |events| events.iter().any(is_closed))
        .await;
}

#[tokio::test]
async fn a_peer_that_answers_pings_stays() {
    let limits = Limits {
        silence: Duration::from_millis(400),
        ping_interval: Duration::from_millis(20),
        ..Limits::default()
    };
    let server = server(limits, echo).await;
    let mut client = server.client().await;
    let mut pings = 0;
    // Far longer than the silence that is permitted.
    while pings < 60 {
        if let Message::Ping(_) = client.next().await.unwrap().unwrap() {
            pings += 1;
        }
    }
    client.send(Message::text("still here")).await.unwrap();
    assert_eq!(
        next(&mut client).await.unwrap(),
        Message::text("still here")
    );
}

#[tokio::test]
async fn a_peer_that_takes_nothing_is_given_up() {
    let limits = Limits {
        write_stall: Duration::from_millis(200),
        ..Limits::default()
    };
    let server = server(limits.clone(), |lanes, _, events| {
        for event in events {
            if let Event::Accepted { socket, .. } = event {
                let payload = Payload::Binary(vec![0; 64 * 1024].into());
                let _ = lanes.send(socket, vec![payload; 32]);
            }
            if let Event::Frames { socket, .. } = event {
                let payload = Payload::Binary(vec![0; 64 * 1024].into());
                let _ = lanes.send(socket, vec![payload; 32]);
            }
        }
        Ok(())
    })
    .await;
    let mut client = server.client().await;
    // Until more is under way than the kernel's buffers hold.
    for _ in 0..20 {
        if client.send(Message::text("more")).await.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    server
        .wait_for("closed", |events| {
            matches!(
                events.last(),
                Some(Event::Closed {
                    code: 1006,
                    clean: false,
                    ..
                })
            )
        })
        .await;
}

#[tokio::test]
async fn close_sends_what_is_queued_then_the_code_and_the_cut_reason() {
    let server = server(Limits::default(), |lanes, _, events| {
        for event in events {
            if let Event::Frames { socket, .. } = event {
                lanes
                    .send(socket, vec![Payload::Text("bye".into())])
                    .unwrap();
                lanes.close(socket, 1005, &"é".repeat(100)).unwrap();
                let again = lanes.close(socket, 1000, "");
                assert_eq!(again, Err(SocketError::UnknownSocket));
                let late = lanes.send(socket, vec![Payload::Text("late".into())]);
                assert_eq!(late, Err(SocketError::UnknownSocket));
                assert_eq!(lanes.room(socket), Err(SocketError::UnknownSocket));
            }
        }
        Ok(())
    })
    .await;
    let mut client = server.client().await;
    client.send(Message::text("go")).await.unwrap();
    assert_eq!(next(&mut client).await.unwrap(), Message::text("bye"));
    let frame = close_frame(&mut client).await;
    assert_eq!(u16::from(frame.code), 1000);
    assert_eq!(frame.reason.as_str(), "é".repeat(61));
    assert!(next(&mut client).await.is_none());
    server
        .wait_for("closed", |events| {
            matches!(events.last(), Some(Event::Closed { clean: true, .. }))
        })
        .await;
}

#[tokio::test]
async fn a_lost_connection_is_told_as_1006() {
    let server = server(Limits::default(), echo).await;
    let mut client = server.client().await;
    client.send(Message::text("x")).await.unwrap();
    assert!(next(&mut client).await.is_some());
    drop(client);
    server
        .wait_for("closed", |events| {
            matches!(
                events.last(),
                Some(Event::Closed {
                    code: 1006,
                    clean: false,
                    ..
                })
            )
        })
        .await;
}

#[tokio::test]
async fn sockets_of_a_lane_are_counted() {
    let limits = Limits {
        client_sockets_per_lane: 1,
        ..Limits::default()
    };
    let server = server(limits, echo).await;
    let first = server.client().await;
    eventually("the first is in", || server.lanes.stats().sockets_in == 1).await;
    let mut second = server.client().await;
    assert_eq!(u16::from(close_frame(&mut second).await.code), 1013);
    drop(first);
    eventually("the first is out", || server.lanes.stats().lanes == 0).await;
    let mut third = server.client().await;
    third.send(Message::text("x")).await.unwrap();
    assert!(next(&mut third).await.is_some());
}
