//! WAV around stored seconds of audio: PCM signed 16-bit little endian, 16 kHz, mono.

/// Samples per second.
pub const SAMPLE_RATE: u32 = 16_000;
/// Channels.
pub const CHANNELS: u16 = 1;
/// Bytes of one second of audio, which is one chunk.
pub const BYTES_PER_SECOND: usize = 32_000;
/// Bytes of the header before the samples.
pub const HEADER_BYTES: usize = 44;
/// The most audio that goes to the inference service with one utterance, in seconds. Longer
/// utterances are identified by their first seconds.
pub const MAX_SECONDS: u32 = 30;

/// The header of a file with `pcm_bytes` bytes of samples after it.
pub fn header(pcm_bytes: u32) -> [u8; HEADER_BYTES] {
    let byte_rate = SAMPLE_RATE * 2;
    let mut header = [0; HEADER_BYTES];
    header[0..4].copy_from_slice(b"RIFF");
    header[4..8].copy_from_slice(&pcm_bytes.saturating_add(36).to_le_bytes());
    header[8..16].copy_from_slice(b"WAVEfmt ");
    header[16..20].copy_from_slice(&16u32.to_le_bytes());
    // 1 is PCM.
    header[20..22].copy_from_slice(&1u16.to_le_bytes());
    header[22..24].copy_from_slice(&CHANNELS.to_le_bytes());
    header[24..28].copy_from_slice(&SAMPLE_RATE.to_le_bytes());
    header[28..32].copy_from_slice(&byte_rate.to_le_bytes());
    header[32..34].copy_from_slice(&2u16.to_le_bytes());
    header[34..36].copy_from_slice(&16u16.to_le_bytes());
    header[36..40].copy_from_slice(b"data");
    header[40..44].copy_from_slice(&pcm_bytes.to_le_bytes());
    header
}

/// The seconds to read for an utterance over `start_seq..=end_seq`, both included: the first
/// [`MAX_SECONDS`] of them.
pub fn seconds_to_send(start_seq: u32, end_seq: u32) -> std::ops::RangeInclusive<u32> {
    start_seq..=end_seq.min(start_seq.saturating_add(MAX_SECONDS - 1))
}

/// A WAV file of consecutive seconds. `None` is a second that was never stored: it becomes silence,
/// so that what follows keeps its place, as does what a short second lacks. No more than
/// [`MAX_SECONDS`] are taken.
pub fn from_seconds<S: AsRef<[u8]>>(seconds: impl IntoIterator<Item = Option<S>>) -> Vec<u8> {
    let mut file = vec![0; HEADER_BYTES];
    for (count, second) in (1..).zip(seconds.into_iter().take(MAX_SECONDS as usize)) {
        if let Some(pcm) = &second {
            let pcm = pcm.as_ref();
            file.extend_from_slice(&pcm[..pcm.len().min(BYTES_PER_SECOND)]);
        }
        file.resize(HEADER_BYTES + count * BYTES_PER_SECOND, 0);
    }
    let pcm_bytes = u32::try_from(file.len() - HEADER_BYTES).unwrap_or(u32::MAX);
    file[..HEADER_BYTES].copy_from_slice(&header(pcm_bytes));
    file
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn the_header_says_what_follows() {
        let header = header(32_000);
        assert_eq!(
            header.to_vec(),
            [
                b"RIFF".as_slice(),
                &[0x24, 0x7d, 0, 0],
                b"WAVEfmt ",
                &[16, 0, 0, 0, 1, 0, 1, 0],
                &[0x80, 0x3e, 0, 0, 0, 0x7d, 0, 0, 2, 0, 16, 0],
                b"data",
                &[0, 0x7d, 0, 0],
            ]
            .concat()
        );
    }

    #[test]
    fn missing_and_short_seconds_become_silence() {
        let second = vec![7; BYTES_PER_SECOND];
        let file = from_seconds([Some(second.clone()), None, Some(vec![9; 10]), Some(second)]);
        let pcm = &file[HEADER_BYTES..];
        assert_eq!(pcm.len(), 4 * BYTES_PER_SECOND);
        assert_eq!(file[..HEADER_BYTES], header(4 * 32_000));
        assert!(pcm[..32_000].iter().all(|b| *b == 7));
        assert!(pcm[32_000..64_000].iter().all(|b| *b == 0));
        assert!(pcm[64_000..64_010].iter().all(|b| *b == 9));
        assert!(pcm[64_010..96_000].iter().all(|b| *b == 0));
        assert!(pcm[96_000..].iter().all(|b| *b == 7));
    }

    #[test]
    fn no_more_than_the_limit() {
        assert_eq!(seconds_to_send(5, 9), 5..=9);
        assert_eq!(seconds_to_send(5, 34), 5..=34);
        assert_eq!(seconds_to_send(5, 35), 5..=34);
        assert_eq!(seconds_to_send(u32::MAX, u32::MAX), u32::MAX..=u32::MAX);
        let file = from_seconds(vec![Some(vec![1; BYTES_PER_SECOND + 5]); 31]);
        assert_eq!(file.len(), HEADER_BYTES + 30 * BYTES_PER_SECOND);
    }

    #[test]
    fn nothing_is_a_file_without_samples() {
        assert_eq!(from_seconds::<&[u8]>([]), header(0));
    }
}
