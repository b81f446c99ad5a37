//! What may stand in a close frame: RFC 6455, sections 5.5 and 7.4.

use tokio_tungstenite::tungstenite::protocol::{CloseFrame, frame::coding::CloseCode};
use unicode_text::at_most_bytes;

/// A control frame holds 125 bytes; the code takes two.
const REASON_BYTES: usize = 123;

/// The work is done.
pub(crate) const NORMAL: u16 = 1000;
/// The server is stopping.
pub(crate) const GOING_AWAY: u16 = 1001;
/// The peer broke the protocol.
pub(crate) const PROTOCOL: u16 = 1002;
/// Stands for a close frame without a code; may not be sent.
pub(crate) const NO_CODE: u16 = 1005;
/// Stands for a connection that was lost without a close frame; may not be sent.
pub(crate) const LOST: u16 = 1006;
/// Text that is not UTF-8.
pub(crate) const NOT_UTF8: u16 = 1007;
/// The peer does not do what it must.
pub(crate) const POLICY: u16 = 1008;
/// A message over the limit.
pub(crate) const TOO_LARGE: u16 = 1009;
/// Our fault.
pub(crate) const INTERNAL: u16 = 1011;
/// The peer finds what it had here elsewhere, and is to connect again.
pub(crate) const RESTART: u16 = 1012;
/// Too much is going on.
pub(crate) const TRY_LATER: u16 = 1013;

/// The close frame for what was asked for. A code that may not be sent becomes the nearest one that
/// may: 1000 where none was meant, 1011 otherwise. The reason is cut where a character ends for a reader.
pub(crate) fn sendable(code: u16, reason: &str) -> CloseFrame {
    let code = match code {
        0 | NO_CODE => NORMAL,
        1000..=1003 | 1007..=1013 | 3000..=4999 => code,
        _ => INTERNAL,
    };
    CloseFrame {
        code: CloseCode::from(code),
        reason: at_most_bytes(reason, REASON_BYTES).into(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn codes_that_may_be_sent_stay_and_others_are_replaced() {
        for (asked, sent) in [
            (1000, 1000),
            (1001, 1001),
            (1011, 1011),
            (1013, 1013),
            (4321, 4321),
            // Registered after RFC 6455: many peers take it for a breach of the protocol.
            (1014, 1011),
            (0, 1000),
            (1005, 1000),
            (1006, 1011),
            (1015, 1011),
            (999, 1011),
            (2000, 1011),
            (5000, 1011),
        ] {
            assert_eq!(u16::from(sendable(asked, "").code), sent, "{asked}");
        }
    }

    #[test]
    fn a_reason_is_cut_between_letters_and_not_before_their_marks() {
        let reason = format!("{}ते", "x".repeat(120));
        assert_eq!(sendable(1000, &reason).reason, "x".repeat(120).as_str());
    }

    proptest! {
        #[test]
        fn every_frame_may_be_sent_and_its_reason_is_a_beginning(code: u16, reason in ".{0,200}") {
            let frame = sendable(code, &reason);
            prop_assert!(frame.code.is_allowed());
            prop_assert!(frame.reason.len() <= 123);
            prop_assert!(reason.starts_with(frame.reason.as_str()));
        }

        #[test]
        fn no_more_than_one_character_is_missing(reason in "[ -~é会😀]{0,200}") {
            let sent = sendable(1000, &reason).reason.len();
            prop_assert!(sent == reason.len() || sent > 119);
        }
    }
}
