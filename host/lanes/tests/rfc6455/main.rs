//! RFC 6455, case by case, over raw sockets: the cases of the Autobahn suite (whose numbers the names
//! begin with) and some of our own, against both ends of this crate, a client's socket behind the real
//! listener and an outbound one. docs/rfc6455.md lists them.
//!
//! The peer in these tests is made of bytes: it does what no WebSocket library would.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cases;
mod peer;
mod utf8;
mod wire;

use cases::{Case, Expected};
use peer::{LIMIT, Peer, Tested};
use wire::{Frame, Opcode};

/// Plays a case and says what was wrong with the answers.
async fn play(peer: &mut Peer, case: &Case) -> Result<(), String> {
    for bytes in case.bytes(peer.masks()) {
        if peer.send(&bytes).await.is_err() {
            break;
        }
    }
    let mut answers = Vec::new();
    if let Expected::Echo(messages) = &case.expected {
        // Who closes before all answers are there may not get them.
        answers = peer.read(messages.len() + case.pongs.len()).await?;
        // The orderly end shows that all that came before was understood.
        let close = Frame::close(1000, b"done").encode(peer.masks());
        peer.send(&close).await.map_err(|error| error.to_string())?;
    }
    answers.extend(peer.read_to_end().await?);
    let (mut data, mut pongs, mut close) = (Vec::new(), Vec::new(), None);
    for frame in answers {
        if close.is_some() {
            return Err(format!("{frame:?} came after the close frame"));
        }
        match frame.opcode {
            Opcode::TEXT | Opcode::BINARY => data.push(frame),
            Opcode::PONG => pongs.push(frame.payload),
            Opcode::PING => {}
            Opcode::CLOSE => close = Some(frame.code()),
            _ => return Err(format!("nobody asked for {frame:?}")),
        }
    }
    if pongs != case.pongs {
        return Err(format!("pongs {pongs:?}, not {:?}", case.pongs));
    }
    match &case.expected {
        Expected::Echo(messages) if data != *messages => Err(format!(
            "{} messages came back, of {:?} bytes; not {}, of {:?}",
            data.len(),
            data.iter().map(|one| one.payload.len()).collect::<Vec<_>>(),
            messages.len(),
            messages
                .iter()
                .map(|one| one.payload.len())
                .collect::<Vec<_>>()
        )),
        Expected::Echo(_) if close == Some(Some(1000)) => Ok(()),
        Expected::Echo(_) => Err(format!("closed with {close:?}, not with 1000")),
        Expected::Close(code, messages) => {
            // What came before may be answered, or the close frame may be faster.
            if !messages.starts_with(&data) {
                return Err(format!("{data:?} came back"));
            }
            if close != Some(*code) {
                return Err(format!("closed with {close:?}, not with {code:?}"));
            }
            Ok(())
        }
    }
}

/// Plays all cases of some against one end.
async fn play_all(tested: Tested, cases: Vec<Case>) {
    assert!(!cases.is_empty());
    let mut wrong = Vec::new();
    let harness = peer::Harness::start().await;
    for case in &cases {
        let mut peer = harness.peer(tested).await;
        if let Err(why) = play(&mut peer, case).await {
            wrong.push(format!("{}: {why}", case.name));
        }
    }
    assert!(
        wrong.is_empty(),
        "{tested:?}: {} of {} cases: {wrong:#?}",
        wrong.len(),
        cases.len()
    );
}

macro_rules! both_ends {
    ($($group:ident),*) => {$(
        mod $group {
            use super::*;

            #[tokio::test]
            async fn the_server() {
                play_all(Tested::Server, cases::$group()).await;
            }

            #[tokio::test]
            async fn the_client() {
                play_all(Tested::Client, cases::$group()).await;
            }
        }
    )*};
}

both_ends!(
    framing,
    pings_and_pongs,
    reserved_bits,
    opcodes,
    fragmentation,
    utf_8,
    closing,
    sizes,
    lengths
);

/// What each end must never do: the server masks nothing, the client everything, with another mask each
/// time; both set no reserved bit and write lengths in as few bytes as there are (`Peer` looks at each
/// frame that it reads).
mod masks {
    use super::*;

    #[tokio::test]
    async fn an_unmasked_frame_of_a_client_and_a_masked_one_of_a_server_are_refused() {
        let harness = peer::Harness::start().await;
        for tested in [Tested::Server, Tested::Client] {
            for frame in [
                Frame::text(b"hello"),
                Frame::new(Opcode::PING, b""),
                Frame::close(1000, b""),
            ] {
                let mut peer = harness.peer(tested).await;
                let wrong = !peer.masks();
                peer.send(&frame.encode(wrong)).await.unwrap();
                let answers = peer.read_to_end().await.unwrap();
                let codes: Vec<_> = answers.iter().map(Frame::code).collect();
                assert_eq!(codes, [Some(1002)], "{tested:?}: {frame:?}");
            }
        }
    }

    #[tokio::test]
    async fn a_client_masks_each_frame_with_another_mask() {
        let harness = peer::Harness::start().await;
        let mut peer = harness.peer(Tested::Client).await;
        for _ in 0..32 {
            peer.send(&Frame::text(b"hello").encode(false))
                .await
                .unwrap();
        }
        assert_eq!(peer.read(32).await.unwrap().len(), 32);
        let mut masks = peer.masks_seen().to_vec();
        assert!(masks.len() >= 32, "{masks:?}");
        masks.sort_unstable();
        masks.dedup();
        assert!(masks.len() >= 30, "{masks:?}");
    }
}

/// When text that is not UTF-8 is noticed: with the frame that makes it so, not only with the message.
mod fail_fast {
    use super::*;

    #[tokio::test]
    async fn autobahn_6_4_bad_text_ends_the_connection_before_its_message_ends() {
        let harness = peer::Harness::start().await;
        for tested in [Tested::Server, Tested::Client] {
            let mut peer = harness.peer(tested).await;
            let first = Frame::part(Opcode::TEXT, "κόσμε".as_bytes());
            let bad = Frame::part(Opcode::CONTINUATION, &[0xf4, 0x90, 0x80, 0x80]);
            for frame in [first, bad] {
                peer.send(&frame.encode(peer.masks())).await.unwrap();
            }
            // No last frame is ever sent.
            let answers = peer.read_to_end().await.unwrap();
            let codes: Vec<_> = answers.iter().map(Frame::code).collect();
            assert_eq!(codes, [Some(1007)], "{tested:?}");
        }
    }
}

/// A frame that says that it will be huge is refused by its head: nothing is set aside for it.
#[tokio::test]
async fn a_head_that_announces_too_much_is_refused_before_the_rest_comes() {
    let harness = peer::Harness::start().await;
    for tested in [Tested::Server, Tested::Client] {
        for length in [LIMIT as u64 + 1, 1 << 40, (1 << 63) - 1] {
            let mut peer = harness.peer(tested).await;
            let head = wire::head_64(Opcode::BINARY, length, peer.masks());
            peer.send(&head).await.unwrap();
            let answers = peer.read_to_end().await.unwrap();
            let codes: Vec<_> = answers.iter().map(Frame::code).collect();
            assert_eq!(codes, [Some(1009)], "{tested:?}: {length}");
        }
    }
}
