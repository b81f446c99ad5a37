//! What a file is, by its first bytes: so that one that is not played here is named, with the command
//! that makes a WAV file of it. Nothing is decoded.

use std::path::Path;

/// Bytes of a file that are looked at.
pub const LOOKED_AT: usize = 64;

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// RIFF, RF64 or BW64 with WAVE in it.
    Wav,
    /// Something else that has a name.
    Other {
        /// With its article.
        name: &'static str,
        /// Whether ffmpeg makes audio of it.
        is_media: bool,
    },
    /// Nothing that is known here.
    Unknown,
}

/// Names a file by its beginning.
#[must_use]
pub fn identify(start: &[u8]) -> Kind {
    let at = |offset: usize, mark: &[u8]| start.get(offset..).is_some_and(|s| s.starts_with(mark));
    let holds = |mark: &[u8]| start.windows(mark.len()).any(|window| window == mark);
    let media = |name| Kind::Other {
        name,
        is_media: true,
    };
    let other = |name| Kind::Other {
        name,
        is_media: false,
    };
    let is_riff = at(0, b"RIFF") || at(0, b"RF64") || at(0, b"BW64");
    if is_riff && at(8, b"WAVE") {
        Kind::Wav
    } else if is_riff && at(8, b"AVI ") {
        media("an AVI video")
    } else if at(0, b"RIFX") {
        media("a big-endian WAV (RIFX) file")
    } else if at(0, b"riff\x2e\x91\xcf\x11") {
        media("a Wave64 file")
    } else if at(0, b"fLaC") {
        media("a FLAC file")
    } else if at(0, b"OggS") && holds(b"OpusHead") {
        media("an Ogg Opus file")
    } else if at(0, b"OggS") && holds(b"vorbis") {
        media("an Ogg Vorbis file")
    } else if at(0, b"OggS") {
        media("an Ogg file")
    } else if at(0, b"\x1a\x45\xdf\xa3") && holds(b"webm") {
        media("a WebM file")
    } else if at(0, b"\x1a\x45\xdf\xa3") {
        media("a Matroska file")
    } else if at(4, b"ftypM4A") || at(4, b"ftypM4B") {
        media("an M4A file")
    } else if at(4, b"ftypqt") {
        media("a QuickTime file")
    } else if at(4, b"ftyp3g") {
        media("a 3GP file")
    } else if at(4, b"ftyp") {
        media("an MP4 file")
    } else if at(0, b"ID3") {
        media("an MP3 file")
    } else if at(0, b"FORM") && (at(8, b"AIFF") || at(8, b"AIFC")) {
        media("an AIFF file")
    } else if at(0, b"caff") {
        media("a CAF file")
    } else if at(0, b".snd") {
        media("an AU file")
    } else if at(0, b"#!AMR") {
        media("an AMR file")
    } else if at(0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11") {
        media("a WMA file")
    } else if at(0, b"PK\x03\x04") {
        other("a ZIP archive")
    } else if at(0, b"\x1f\x8b\x08") {
        other("a gzip archive")
    } else if at(0, b"%PDF") {
        other("a PDF document")
    } else if at(0, b"version https://git-lfs") {
        other("a Git LFS pointer, not the file itself (run `git lfs pull`)")
    } else if let [0xff, second, ..] = start
        && second & 0xe0 == 0xe0
    {
        // Twelve bits of sync in a row, then the layer: 0 is AAC's.
        match (second >> 1) & 3 {
            0 if second & 0xf0 == 0xf0 => media("an AAC file"),
            0 => Kind::Unknown,
            1 => media("an MP3 file"),
            2 => media("an MP2 file"),
            _ => media("an MP1 file"),
        }
    } else if !start.is_empty()
        && start
            .iter()
            .all(|byte| (0x20..0x7f).contains(byte) || b"\t\r\n".contains(byte))
    {
        other("a text file")
    } else {
        Kind::Unknown
    }
}

/// Names a file that is said to be samples without a header: only by marks that samples hardly begin
/// with.
#[must_use]
pub fn identify_raw(start: &[u8]) -> Kind {
    let is_weak = start.first() == Some(&0xff)
        || matches!(
            identify(start),
            Kind::Other {
                is_media: false,
                ..
            }
        );
    if is_weak {
        Kind::Unknown
    } else {
        identify(start)
    }
}

/// The command that makes a WAV file of this one.
#[must_use]
pub fn conversion(path: &Path) -> String {
    let is_wav = path
        .extension()
        .is_some_and(|name| name.eq_ignore_ascii_case("wav"));
    let output = path.with_extension(if is_wav { "converted.wav" } else { "wav" });
    format!(
        "ffmpeg -i {} -ac 1 -ar 16000 -c:a pcm_s16le {}",
        argument(path),
        argument(&output)
    )
}

/// A path as an argument of ffmpeg, which takes `-x` for an option and `x:y` for a protocol.
fn argument(path: &Path) -> String {
    let text = path.to_string_lossy();
    let text = if path.is_relative() && (text.starts_with('-') || text.contains(':')) {
        format!("./{text}")
    } else {
        text.into_owned()
    };
    crate::shell::quoted(&text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn files_are_named_by_their_content() {
        for (start, expected) in [
            (&b"ID3\x04\0\0"[..], "an MP3 file"),
            (b"\xff\xfb\x90\x64", "an MP3 file"),
            (b"\xff\xf1\x50\x80", "an AAC file"),
            (b"\0\0\0\x20ftypM4A \0\0", "an M4A file"),
            (b"\0\0\0\x20ftypisom\0\0", "an MP4 file"),
            (b"fLaC\0\0\0\x22", "a FLAC file"),
            (
                b"OggS\0\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x13OpusHead",
                "an Ogg Opus file",
            ),
            (b"OggS\0\x02", "an Ogg file"),
            (
                b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\x82\x84webm",
                "a WebM file",
            ),
            (
                b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\x82\x88matroska",
                "a Matroska file",
            ),
            (b"FORM\0\0\0\0AIFFCOMM", "an AIFF file"),
            (b"RIFX\0\0\0\0WAVE", "a big-endian WAV (RIFX) file"),
            (b"#!AMR\n", "an AMR file"),
            (b"PK\x03\x04", "a ZIP archive"),
            (b"not audio at all", "a text file"),
        ] {
            match identify(start) {
                Kind::Other { name, .. } => assert_eq!(name, expected),
                kind => panic!("{expected}: {kind:?}"),
            }
        }
        for start in [
            &b"RIFF....WAVE"[..],
            b"RF64\xff\xff\xff\xffWAVE",
            b"BW64....WAVE",
        ] {
            assert_eq!(identify(start), Kind::Wav);
            assert_eq!(identify_raw(start), Kind::Wav);
        }
        assert_eq!(identify(b"\0\x01\x02\x03"), Kind::Unknown);
        assert_eq!(identify(b""), Kind::Unknown);
    }

    #[test]
    fn samples_are_not_taken_for_something_else() {
        // -1025 and 0x6162 are samples like any other.
        for samples in [&b"\xff\xfb\x90\x64"[..], b"abababababab", b"PK\x03\x04"] {
            assert_eq!(identify_raw(samples), Kind::Unknown);
        }
        assert!(matches!(
            identify_raw(b"fLaC\0\0\0\x22"),
            Kind::Other { .. }
        ));
    }

    #[test]
    fn the_command_can_be_pasted() {
        assert_eq!(
            conversion(Path::new("/a b/it's.mp3")),
            r"ffmpeg -i '/a b/it'\''s.mp3' -ac 1 -ar 16000 -c:a pcm_s16le '/a b/it'\''s.wav'"
        );
        let command = conversion(Path::new("-x:y.WAV"));
        assert_eq!(
            command,
            "ffmpeg -i ./-x:y.WAV -ac 1 -ar 16000 -c:a pcm_s16le ./-x:y.converted.wav"
        );
    }
}
