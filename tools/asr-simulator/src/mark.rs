//! Marks in audio: they name the second of the stream that a piece of PCM is, so that a transcript
//! can be traced to the audio it was made from.
//!
//! A marked second carries its mark at the start of each of its tenths, so it is recognised when a
//! part of it was silenced or cut off. A mark is 15 samples, each of which carries one byte as its
//! value (0 to 255), little endian where a number has several: 4 bytes of magic, the stream (2), the
//! second (4), the tenth (1), FNV-1a of these (4). It is quiet, as is the noise between the marks:
//! to something that listens for speech a marked second is silence.
//!
//! In text a marked second is one word, `s<stream>t<second>e`: second 12 of stream 1 is `s1t12e`. As
//! no word can be a part of another, and neighbouring sentences have no word in common, neither of
//! two such texts contains the other or continues it: merging leaves them alone. A part of a second
//! is `s<stream>t<second>p<part>e`, with the same property.

/// One second of audio: s16le, 16000 Hz, mono.
pub const SECOND_BYTES: usize = 32_000;
/// A tenth of it.
pub const TENTH_BYTES: usize = SECOND_BYTES / 10;

const MAGIC: [u8; 4] = [0xA7, 0x5C, 0xE3, 0x19];
const NAME_BYTES: usize = 7;
const MARK_SAMPLES: usize = MAGIC.len() + NAME_BYTES + 4;
/// The length of a mark in PCM.
pub const MARK_BYTES: usize = MARK_SAMPLES * 2;
/// The loudest that the noise between the marks gets. Below the first byte of the magic,
/// so that noise cannot begin a mark.
const NOISE_AMPLITUDE: i16 = 40;

/// A mark that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// Where it begins, in bytes from the start of the audio.
    pub offset_bytes: u64,
    /// The stream it names.
    pub stream: u16,
    /// The second of that stream.
    pub seq: u32,
    /// Which tenth of the second begins here, 0 to 9.
    pub tenth: u8,
}

/// One marked second: 32000 bytes of s16le at 16000 Hz, mono.
#[must_use]
pub fn second(stream: u16, seq: u32) -> Vec<u8> {
    let mut pcm = Vec::with_capacity(SECOND_BYTES);
    let mut noise = (u32::from(stream) << 16) ^ seq ^ 0x9E37_79B9;
    for tenth in 0..10 {
        for byte in mark(stream, seq, tenth) {
            pcm.extend(i16::from(byte).to_le_bytes());
        }
        for _ in MARK_SAMPLES..TENTH_BYTES / 2 {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let sample = (noise >> 24) as i16 % (2 * NOISE_AMPLITUDE + 1) - NOISE_AMPLITUDE;
            pcm.extend(sample.to_le_bytes());
        }
    }
    pcm
}

fn mark(stream: u16, seq: u32, tenth: u8) -> [u8; MARK_SAMPLES] {
    let mut mark = [0; MARK_SAMPLES];
    let (magic, rest) = mark.split_at_mut(MAGIC.len());
    let (name, check) = rest.split_at_mut(NAME_BYTES);
    magic.copy_from_slice(&MAGIC);
    name[..2].copy_from_slice(&stream.to_le_bytes());
    name[2..6].copy_from_slice(&seq.to_le_bytes());
    name[6] = tenth;
    check.copy_from_slice(&fnv1a(name).to_le_bytes());
    mark
}

fn fnv1a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811C_9DC5, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}

/// All marks in a piece of audio, in order. A mark that is cut off is none.
#[must_use]
pub fn read(pcm: &[u8]) -> Vec<Heard> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(window) = pcm.get(at..at + MARK_BYTES) {
        if window[0] == MAGIC[0]
            && window[1] == 0
            && let Some((stream, seq, tenth)) = parse(window)
        {
            found.push(Heard {
                offset_bytes: at as u64,
                stream,
                seq,
                tenth,
            });
            at += MARK_BYTES;
        } else {
            at += 1;
        }
    }
    found
}

fn parse(window: &[u8]) -> Option<(u16, u32, u8)> {
    let mut mark = [0; MARK_SAMPLES];
    for (byte, sample) in mark.iter_mut().zip(window.chunks_exact(2)) {
        if sample[1] != 0 {
            return None;
        }
        *byte = sample[0];
    }
    let (magic, rest) = mark.split_at(MAGIC.len());
    let (name, check) = rest.split_at(NAME_BYTES);
    let valid = magic == MAGIC && check == fnv1a(name).to_le_bytes() && name[6] < 10;
    valid.then(|| {
        (
            u16::from_le_bytes([name[0], name[1]]),
            u32::from_le_bytes([name[2], name[3], name[4], name[5]]),
            name[6],
        )
    })
}

/// Reads marks out of audio that comes in pieces, however it is cut.
#[derive(Debug, Default)]
pub struct Reader {
    /// The end of what came so far, too short to hold a mark.
    tail: Vec<u8>,
    /// Where the tail begins.
    tail_offset: u64,
}

impl Reader {
    /// The marks that this piece completes. Their offsets count from the first piece.
    pub fn push(&mut self, pcm: &[u8]) -> Vec<Heard> {
        self.tail.extend_from_slice(pcm);
        let mut found = read(&self.tail);
        for heard in &mut found {
            heard.offset_bytes += self.tail_offset;
        }
        // A mark found in the tail must not be found again: its first byte goes with the rest.
        let done = self.tail.len().saturating_sub(MARK_BYTES - 1);
        self.tail.drain(..done);
        self.tail_offset += done as u64;
        found
    }
}

/// The word for a marked second.
#[must_use]
pub fn word(stream: u16, seq: u32) -> String {
    format!("s{stream}t{seq}e")
}

/// The word that a part of a marked second is in dense speech; parts count from 1.
#[must_use]
pub fn part_word(stream: u16, seq: u32, part: u8) -> String {
    format!("s{stream}t{seq}p{part}e")
}

/// The marked seconds that a text names, as (stream, second), in the text's order, repeated as they
/// are repeated in it. Other words are passed over.
#[must_use]
pub fn seconds_in(text: &str) -> Vec<(u16, u32)> {
    text.split(|c: char| !c.is_ascii_alphanumeric())
        .filter_map(parse_word)
        .collect()
}

/// The parts of marked seconds that a text names, as (stream, second, part), in the text's order.
/// Other words, those of whole seconds among them, are passed over.
#[must_use]
pub fn parts_in(text: &str) -> Vec<(u16, u32, u8)> {
    text.split(|c: char| !c.is_ascii_alphanumeric())
        .filter_map(parse_part)
        .collect()
}

fn parse_part(token: &str) -> Option<(u16, u32, u8)> {
    let (second, part) = token.strip_suffix('e')?.rsplit_once('p')?;
    let (stream, seq) = second.strip_prefix('s')?.split_once('t')?;
    Some((stream.parse().ok()?, seq.parse().ok()?, part.parse().ok()?))
}

fn parse_word(token: &str) -> Option<(u16, u32)> {
    let (stream, seq) = token
        .strip_prefix('s')?
        .strip_suffix('e')?
        .split_once('t')?;
    Some((stream.parse().ok()?, seq.parse().ok()?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_second_has_ten_marks_where_its_tenths_begin() {
        let pcm = second(2, 77);
        assert_eq!(pcm.len(), SECOND_BYTES);
        let heard = read(&pcm);
        assert_eq!(heard.len(), 10);
        for (tenth, heard) in heard.iter().enumerate() {
            assert_eq!((heard.stream, heard.seq), (2, 77));
            assert_eq!(usize::from(heard.tenth), tenth);
            assert_eq!(heard.offset_bytes, (tenth * TENTH_BYTES) as u64);
        }
    }

    #[test]
    fn silence_and_a_cut_mark_are_no_marks() {
        assert!(read(&vec![0; SECOND_BYTES]).is_empty());
        let mut pcm = second(1, 1);
        pcm[..12].fill(0);
        assert_eq!(read(&pcm).len(), 9);
        assert!(read(&pcm[12..MARK_BYTES]).is_empty());
    }

    #[test]
    fn a_marked_second_is_quiet() {
        let pcm = second(u16::MAX, u32::MAX);
        assert!(
            pcm.chunks_exact(2)
                .all(|s| i16::from_le_bytes([s[0], s[1]]).abs() < 256)
        );
    }

    #[test]
    fn text_names_seconds_whatever_stands_around_them() {
        assert_eq!(
            seconds_in("s1t12e s1t13e. s2t1e, set s1t1 1t1e sxt1e"),
            [(1, 12), (1, 13), (2, 1)]
        );
        assert!(seconds_in("s70000t1e s1t5000000000e").is_empty());
    }

    #[test]
    fn parts_are_no_whole_seconds() {
        let text = format!("{} s2t3e {}.", part_word(1, 12, 1), part_word(1, 12, 8));
        assert_eq!(parts_in(&text), [(1, 12, 1), (1, 12, 8)]);
        assert_eq!(seconds_in(&text), [(2, 3)]);
        assert!(parts_in("s1t2p300e s1tp1e pe s1p1e p1e").is_empty());
    }

    proptest! {
        #[test]
        fn marks_survive_any_cutting(
            stream: u16,
            seq: u32,
            lead in 0usize..5000,
            cuts in proptest::collection::vec(1usize..9000, 1..40),
        ) {
            let mut pcm = vec![0; lead];
            pcm.extend(second(stream, seq));
            let mut reader = Reader::default();
            let mut found = Vec::new();
            let mut rest = &pcm[..];
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, after) = rest.split_at((*cut).min(rest.len()));
                found.extend(reader.push(piece));
                rest = after;
            }
            prop_assert_eq!(&found, &read(&pcm));
            prop_assert_eq!(found.len(), 10);
        }

        #[test]
        fn a_word_is_never_a_part_of_other_words(a: (u16, u32), b: (u16, u32), c: (u16, u32)) {
            prop_assume!(a != b && a != c);
            let others = format!("{}{}", word(b.0, b.1), word(c.0, c.1));
            prop_assert!(!others.contains(&word(a.0, a.1)));
            prop_assert_eq!(seconds_in(&word(a.0, a.1)), vec![a]);
            let part = part_word(a.0, a.1, 3);
            prop_assert!(!others.contains(&part) && !part.contains(&word(a.0, a.1)));
            prop_assert_eq!(parts_in(&part), vec![(a.0, a.1, 3)]);
        }
    }
}
