//! The PCM in a WAV file that arrives in pieces.

/// A header longer than this is refused.
const MAX_HEADER_BYTES: usize = 64 * 1024;

/// Why a file is not taken.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum Error {
    #[error("the audio is not a WAV file; send one, or ask for format pcm")]
    NotWav,
    #[error("the WAV file is not 16-bit PCM at 16000 Hz, mono; convert it first")]
    Unsupported,
    #[error("no audio within the first {MAX_HEADER_BYTES} bytes of the WAV file")]
    HeaderTooLong,
}

/// Takes the file in, gives the audio out.
#[derive(Debug)]
pub(crate) enum Wav {
    /// The header as far as it came.
    Header(Vec<u8>),
    /// How many bytes of audio are left.
    Audio(u64),
}

impl Default for Wav {
    fn default() -> Self {
        Self::Header(Vec::new())
    }
}

impl Wav {
    /// The audio in this piece.
    pub(crate) fn push(&mut self, piece: &[u8]) -> Result<Vec<u8>, Error> {
        let mut audio = piece.to_vec();
        if let Self::Header(header) = self {
            header.extend_from_slice(piece);
            let Some((start, length)) = find_audio(header)? else {
                return if header.len() > MAX_HEADER_BYTES {
                    Err(Error::HeaderTooLong)
                } else {
                    Ok(Vec::new())
                };
            };
            audio = header.split_off(start);
            *self = Self::Audio(length);
        }
        if let Self::Audio(left) = self {
            audio.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= audio.len() as u64;
        }
        Ok(audio)
    }
}

/// Where the audio begins and how long it is; none while the header is not complete.
fn find_audio(file: &[u8]) -> Result<Option<(usize, u64)>, Error> {
    let magic = [(0, b"RIFF"), (8, b"WAVE")];
    for (at, expected) in magic {
        match file.get(at..at + 4) {
            Some(found) if found != expected => return Err(Error::NotWav),
            Some(_) => {}
            None => return Ok(None),
        }
    }
    let mut at = 12;
    let mut format_seen = false;
    while let Some(&[a, b, c, d, l0, l1, l2, l3]) = file.get(at..at + 8) {
        let length = u32::from_le_bytes([l0, l1, l2, l3]);
        at += 8;
        match &[a, b, c, d] {
            b"data" if !format_seen => return Err(Error::Unsupported),
            // Writers that do not know the length yet leave it 0 or at its maximum.
            b"data" if matches!(length, 0 | u32::MAX) => return Ok(Some((at, u64::MAX))),
            b"data" => return Ok(Some((at, length.into()))),
            b"fmt " => {
                let Some(format) = file.get(at..at + 16) else {
                    return Ok(None);
                };
                check_format(format)?;
                format_seen = true;
            }
            _ => {}
        }
        // Chunks are padded to an even length.
        let padded = usize::try_from(length).unwrap_or(usize::MAX);
        at = at.saturating_add(padded).saturating_add(padded % 2);
        if at > MAX_HEADER_BYTES {
            return Err(Error::HeaderTooLong);
        }
    }
    Ok(None)
}

fn check_format(format: &[u8]) -> Result<(), Error> {
    // Code (1: PCM, 0xFFFE: told further on), channels, rate, bytes per second, frame, bits.
    const EXPECTED: [(usize, &[u8]); 3] = [
        (2, &1u16.to_le_bytes()),
        (4, &16_000u32.to_le_bytes()),
        (14, &16u16.to_le_bytes()),
    ];
    let pcm = matches!(format.get(..2), Some([1, 0] | [0xFE, 0xFF]));
    let rest = EXPECTED
        .iter()
        .all(|(at, value)| format.get(*at..at + value.len()) == Some(*value));
    if pcm && rest {
        Ok(())
    } else {
        Err(Error::Unsupported)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use proptest::prelude::*;

    fn file(audio: &[u8], rate: u32, length: u32) -> Vec<u8> {
        let mut file = b"RIFF\0\0\0\0WAVELIST\x03\0\0\0abc\0fmt \x10\0\0\0\x01\0\x01\0".to_vec();
        file.extend(rate.to_le_bytes());
        file.extend((rate * 2).to_le_bytes());
        file.extend(b"\x02\0\x10\0data");
        file.extend(length.to_le_bytes());
        file.extend(audio);
        file
    }

    proptest! {
        #[test]
        fn the_audio_comes_out_however_the_file_is_cut(
            audio in proptest::collection::vec(any::<u8>(), 1..500),
            cut in 1usize..200,
            unknown_length: bool,
        ) {
            let length = if unknown_length { 0 } else { audio.len() as u32 };
            let mut whole = file(&audio, 16_000, length);
            if !unknown_length {
                whole.extend(b"LIST\x04\0\0\0more");
            }
            let mut wav = Wav::default();
            let mut out = Vec::new();
            for piece in whole.chunks(cut) {
                out.extend(wav.push(piece).unwrap());
            }
            prop_assert_eq!(out, audio);
        }

        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut wav = Wav::default();
            let _ = wav.push(b"RIFF\0\0\0\0WAVE").and_then(|_| wav.push(&bytes));
        }
    }

    #[test]
    fn other_files_are_refused() {
        assert_eq!(Wav::default().push(b"OggS"), Err(Error::NotWav));
        let other_rate = file(b"..", 8000, 2);
        assert_eq!(Wav::default().push(&other_rate), Err(Error::Unsupported));
        let mut endless = b"RIFF\0\0\0\0WAVEjunk".to_vec();
        endless.extend(u32::MAX.to_le_bytes());
        assert_eq!(Wav::default().push(&endless), Err(Error::HeaderTooLong));
    }
}
