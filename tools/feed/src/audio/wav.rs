//! The container: where in a WAV file the samples are and how they are written. It reads as leniently
//! as players do: what is not needed to play is passed over, and sizes that cannot be true (files that
//! were not finished, or written into a pipe) mean "to the end of the file". It decodes nothing.

use std::io::{self, Read};

use super::lookahead::Lookahead;
use super::samples::Encoding;

/// A chunk `fmt ` that is longer is cut here; the rest is passed over.
const FORMAT_BYTES: usize = 40;
/// Sizes from here on are what programs write that cannot go back to the header: 0xFFFFFFFF, and
/// SoX's 0x7FFFF000 with what it adds.
const STREAMED: u32 = 0x7fff_f000;
/// Ids that chunks have in files of this kind: beside one of these a padding byte can be told from
/// an id that begins there.
const KNOWN: [&[u8; 4]; 18] = [
    b"fmt ", b"data", b"LIST", b"fact", b"bext", b"JUNK", b"junk", b"FLLR", b"PAD ", b"id3 ",
    b"ID3 ", b"cue ", b"smpl", b"inst", b"iXML", b"axml", b"PEAK", b"ds64",
];

/// What the header says of the samples, which come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Samples {
    /// Of a sample.
    pub encoding: Encoding,
    /// Not 0.
    pub channels: usize,
    /// Samples a second of a channel.
    pub rate: u32,
    /// How many bytes they are; none for all that follow.
    pub bytes: Option<u64>,
}

/// Why the file cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Of the system.
    #[error(transparent)]
    Read(#[from] io::Error),
    /// The samples need a codec.
    #[error("its samples are encoded as {0}")]
    Codec(String),
    /// There is too little of it, or it contradicts itself.
    #[error("{0}")]
    Broken(String),
}

/// Reads up to the first sample. `length` is the file's, where it is known.
///
/// # Errors
/// When there are no samples, or none that can be played.
pub fn read_header<R: Read>(
    reader: &mut Lookahead<R>,
    length: Option<u64>,
) -> Result<Samples, Error> {
    // `RIFF`, a size that nothing depends on, `WAVE`.
    reader.skip(12)?;
    let mut format = None;
    let mut size_64 = None;
    loop {
        let mut head = [0; 8];
        if reader.read_full(&mut head)? < head.len() {
            return Err(broken(match format {
                Some(_) => "it has no samples (no `data` chunk)",
                None => "its header says nothing of samples (no `fmt ` chunk)",
            }));
        }
        let ([id @ .., _, _, _, _], size) = (&head, u32_at(&head, 4));
        match id {
            b"fmt " => format = Some(read_format(reader, size)?),
            b"ds64" => {
                let mut sizes = [0; 16];
                let read = reader.read_full(&mut sizes[..usize_of(size).min(16)])?;
                if read == sizes.len() {
                    size_64 = Some(u64_at(&sizes, 8));
                }
                reader.skip(u64::from(size).saturating_sub(read as u64))?;
            }
            b"data" => {
                let rest = length.map(|length| length.saturating_sub(reader.position()));
                if size == 0 && a_chunk_follows(reader)? {
                    continue;
                }
                let (encoding, channels, rate) = format.ok_or_else(|| {
                    broken("its samples come before the header that describes them")
                })?;
                return Ok(Samples {
                    encoding,
                    channels,
                    rate,
                    bytes: data_bytes(size, size_64, rest),
                });
            }
            _ => {
                reader.skip(size.into())?;
            }
        }
        if size % 2 == 1 {
            skip_padding(reader)?;
        }
    }
}

/// How many bytes of samples there are. `rest` is what is left of the file.
fn data_bytes(size: u32, size_64: Option<u64>, rest: Option<u64>) -> Option<u64> {
    let said = match (size, size_64) {
        (u32::MAX, None | Some(0)) | (0, _) => None,
        (u32::MAX, Some(size)) => Some(size),
        (STREAMED.., _) if rest.is_none_or(|rest| rest <= size.into()) => None,
        (size, _) => {
            // More than 4 GiB, counted in 32 bits.
            let wrapped = rest.unwrap_or(0).saturating_sub(size.into()) >> 32;
            Some(u64::from(size) + (wrapped << 32))
        }
    };
    said.filter(|said| rest.is_none_or(|rest| *said <= rest))
}

/// Whether what comes next is a chunk: then an empty `data` is empty, else it was never finished.
fn a_chunk_follows<R: Read>(reader: &mut Lookahead<R>) -> io::Result<bool> {
    Ok(KNOWN
        .iter()
        .any(|known| is_next(reader, known).unwrap_or(false)))
}

fn is_next<R: Read>(reader: &mut Lookahead<R>, id: &[u8; 4]) -> io::Result<bool> {
    Ok(reader.peek(4)? == id)
}

/// Passes over the byte after a chunk of odd size, which some programs leave out.
fn skip_padding<R: Read>(reader: &mut Lookahead<R>) -> io::Result<()> {
    let next = reader.peek(5)?;
    let is_known = |at: usize| {
        KNOWN
            .iter()
            .any(|id| next.get(at..at + 4) == Some(id.as_slice()))
    };
    if is_known(1) || !is_known(0) {
        reader.skip(1)?;
    }
    Ok(())
}

fn read_format<R: Read>(
    reader: &mut Lookahead<R>,
    size: u32,
) -> Result<(Encoding, usize, u32), Error> {
    let mut bytes = [0; FORMAT_BYTES];
    let read = reader.read_full(&mut bytes[..usize_of(size).min(FORMAT_BYTES)])?;
    reader.skip(u64::from(size).saturating_sub(read as u64))?;
    // The 14 bytes of the oldest kind; the bits of a sample follow from them.
    if read < 14 {
        return Err(broken(format!("its `fmt ` chunk has {read} bytes")));
    }
    let field = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
    let (mut tag, channels, rate) = (field(0), usize::from(field(2)), u32_at(&bytes, 4));
    if channels == 0 {
        return Err(broken("its header says 0 channels"));
    }
    let frame = usize::from(field(12));
    let container = (frame % channels == 0).then_some(frame / channels);
    let bits = match field(14) {
        0 => container.unwrap_or(0) * 8,
        bits => usize::from(bits),
    };
    if tag == 0xfffe {
        // The tag proper is in the extension. One that is cut off leaves PCM.
        tag = if read >= 26 { field(24) } else { 1 };
    }
    let encoding = match (tag, bits) {
        (1, 1..=8) => Encoding::U8,
        (1, 9..=32) => {
            let needed = bits.div_ceil(8);
            let bytes = container.filter(|bytes| (needed..=4).contains(bytes));
            Encoding::Int {
                bytes: bytes.unwrap_or(needed),
            }
        }
        (3, 32) => Encoding::F32,
        (3, 64) => Encoding::F64,
        // Valid bits beside float mean nothing; the container does.
        (3, _) if container == Some(4) => Encoding::F32,
        (3, _) if container == Some(8) => Encoding::F64,
        (6, _) => Encoding::ALaw,
        (7, _) => Encoding::MuLaw,
        (tag, bits) => return Err(Error::Codec(codec(tag, bits))),
    };
    Ok((encoding, channels, rate))
}

/// A codec by the number that Microsoft registered for it.
fn codec(tag: u16, bits: usize) -> String {
    let name = match tag {
        1 => return format!("PCM of {bits} bits"),
        3 => return format!("floating point numbers of {bits} bits"),
        0x02 => "Microsoft ADPCM",
        0x11 => "IMA ADPCM",
        0x14 | 0x40 | 0x45 | 0x64 => "G.726 ADPCM",
        0x22 => "DSP Group TrueSpeech",
        0x31 => "GSM 6.10",
        0x50 => "MPEG audio",
        0x55 => "MP3",
        0xff | 0x1600 | 0x1602 | 0x1610 => "AAC",
        0x160..=0x163 => "Windows Media Audio",
        0x2000 => "AC-3",
        0x704f => "Opus",
        0xf1ac => "FLAC",
        _ => return format!("codec number 0x{tag:04x}"),
    };
    name.to_owned()
}

fn broken(reason: impl Into<String>) -> Error {
    Error::Broken(reason.into())
}

fn usize_of(size: u32) -> usize {
    usize::try_from(size).unwrap_or(usize::MAX)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let field = bytes
        .get(at..at + 4)
        .and_then(|field| field.try_into().ok());
    field.map_or(0, u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let field = bytes
        .get(at..at + 8)
        .and_then(|field| field.try_into().ok());
    field.map_or(0, u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use proptest::prelude::*;

    fn chunk(id: &[u8; 4], size: u32, body: &[u8]) -> Vec<u8> {
        [&id[..], &size.to_le_bytes(), body].concat()
    }

    fn format(tag: u16, channels: u16, frame: u16, bits: u16) -> Vec<u8> {
        let mut body = Vec::new();
        for field in [tag, channels] {
            body.extend(field.to_le_bytes());
        }
        body.extend(16_000u32.to_le_bytes());
        body.extend(0u32.to_le_bytes());
        for field in [frame, bits] {
            body.extend(field.to_le_bytes());
        }
        chunk(b"fmt ", 16, &body)
    }

    fn header(chunks: &[Vec<u8>], length: Option<u64>) -> Result<Samples, Error> {
        let file = [b"RIFF\0\0\0\0WAVE".to_vec(), chunks.concat()].concat();
        read_header(&mut Lookahead::new(&file[..]), length)
    }

    #[test]
    fn the_size_of_the_samples_is_what_can_be_true() {
        let gigabytes = |n: u64| n << 30;
        for (size, size_64, rest, expected) in [
            (100, None, Some(100), Some(100)),
            (100, None, Some(150), Some(100)),
            (100, None, None, Some(100)),
            (100, None, Some(50), None),
            (0, None, Some(50), None),
            (u32::MAX, None, Some(50), None),
            (u32::MAX, None, None, None),
            (u32::MAX, None, Some(gigabytes(9)), None),
            (u32::MAX, Some(80), Some(100), Some(80)),
            (u32::MAX, Some(80), None, Some(80)),
            (u32::MAX, Some(0), Some(100), None),
            (0x7fff_f000, None, None, None),
            (0x7fff_f000, None, Some(50), None),
            (0x8000_0000, None, Some(gigabytes(3)), Some(gigabytes(2))),
            (100, None, Some((1 << 32) + 100), Some((1 << 32) + 100)),
        ] {
            assert_eq!(
                data_bytes(size, size_64, rest),
                expected,
                "{size:#x} {size_64:?} {rest:?}"
            );
        }
    }

    #[test]
    fn an_empty_data_chunk_before_another_is_empty() {
        let chunks = [
            format(1, 1, 2, 16),
            chunk(b"data", 0, b""),
            chunk(b"LIST", 4, b"INFO"),
        ];
        let error = header(&chunks, None).unwrap_err();
        assert!(error.to_string().contains("no samples"), "{error}");
    }

    #[test]
    fn codecs_are_named() {
        for (tag, bits, expected) in [
            (0x55, 0, "MP3"),
            (0x11, 4, "IMA ADPCM"),
            (0x31, 0, "GSM 6.10"),
            (0x1234, 0, "codec number 0x1234"),
            (3, 16, "floating point numbers of 16 bits"),
            (1, 64, "PCM of 64 bits"),
        ] {
            let error = header(&[format(tag, 1, bits / 8, bits)], None).unwrap_err();
            assert!(error.to_string().ends_with(expected), "{error}");
        }
    }

    #[test]
    fn what_is_missing_is_said() {
        let data = || chunk(b"data", 4, b"abcd");
        for (chunks, expected) in [
            (vec![], "no `fmt ` chunk"),
            (vec![data()], "before the header"),
            (vec![format(1, 1, 2, 16)], "no `data` chunk"),
            (vec![format(1, 0, 0, 16), data()], "0 channels"),
            (vec![chunk(b"fmt ", 4, b"abcd"), data()], "has 4 bytes"),
        ] {
            let error = header(&chunks, None).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>, length: Option<u64>) {
            let _ = read_header(&mut Lookahead::new(&bytes[..]), length);
        }

        #[test]
        fn any_chunks_are_read_without_a_panic(
            ids in proptest::collection::vec((0..KNOWN.len(), any::<u32>(), any::<Vec<u8>>()), 0..6),
            length: Option<u64>,
        ) {
            let chunks: Vec<_> = ids.iter().map(|(id, size, body)| {
                let size = if size % 3 == 0 { *size } else { body.len() as u32 };
                chunk(KNOWN[*id], size, body)
            }).collect();
            if let Ok(samples) = header(&chunks, length) {
                prop_assert!(samples.channels > 0 && samples.encoding.bytes() > 0);
            }
        }
    }
}
