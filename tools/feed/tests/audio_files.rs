//! WAV files as programs in the wild write them. Each plays as the tone that it holds, at its length:
//! what is not needed to play is no reason to refuse. And what is no WAV file is named.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::f64::consts::TAU;
use std::path::{Path, PathBuf};

use feed::audio::{CHUNK_BYTES, Error, RATE, Source};

const SECONDS: u32 = 3;
const STREAMED: u32 = u32::MAX;
const LOUDNESS: f64 = 12_000.0;

/// A sample of the tone at this rate.
fn tone_at(i: usize, rate: u32) -> f64 {
    LOUDNESS * (TAU * 440.0 * i as f64 / f64::from(rate)).sin()
}

fn tone() -> Vec<i16> {
    (0..(RATE * SECONDS) as usize)
        .map(|i| tone_at(i, RATE) as i16)
        .collect()
}

fn s16() -> Vec<u8> {
    tone().into_iter().flat_map(i16::to_le_bytes).collect()
}

fn chunk_of_size(id: &str, size: u32, body: &[u8]) -> Vec<u8> {
    [id.as_bytes(), &size.to_le_bytes(), body].concat()
}

fn unpadded(id: &str, body: &[u8]) -> Vec<u8> {
    chunk_of_size(id, body.len() as u32, body)
}

fn chunk(id: &str, body: &[u8]) -> Vec<u8> {
    let mut chunk = unpadded(id, body);
    chunk.resize(chunk.len().next_multiple_of(2), 0);
    chunk
}

/// `fmt ` as most programs write it, with more behind it.
fn format_with(tag: u16, channels: u16, rate: u32, bits: u16, more: &[u8]) -> Vec<u8> {
    let frame = channels * bits / 8;
    let mut body = Vec::new();
    body.extend([tag.to_le_bytes(), channels.to_le_bytes()].concat());
    body.extend(rate.to_le_bytes());
    body.extend((rate * u32::from(frame)).to_le_bytes());
    body.extend([frame.to_le_bytes(), bits.to_le_bytes()].concat());
    body.extend(more);
    chunk("fmt ", &body)
}

fn format() -> Vec<u8> {
    format_with(1, 1, RATE, 16, b"")
}

/// WAVE_FORMAT_EXTENSIBLE.
fn extensible(tag: u16, channels: u16, bits: u16, valid: u16) -> Vec<u8> {
    let mut more = vec![22, 0];
    more.extend(valid.to_le_bytes());
    more.extend([0; 4]);
    more.extend(tag.to_le_bytes());
    more.extend(b"\x00\x00\x00\x00\x10\x00\x80\x00\x00\xaa\x00\x38\x9b\x71");
    format_with(0xfffe, channels, RATE, bits, &more)
}

fn riff_of_size(id: &str, size: u32, chunks: &[Vec<u8>]) -> Vec<u8> {
    [
        id.as_bytes(),
        &size.to_le_bytes(),
        b"WAVE",
        &chunks.concat(),
    ]
    .concat()
}

fn riff(chunks: &[Vec<u8>]) -> Vec<u8> {
    let size = 4 + chunks.iter().map(Vec::len).sum::<usize>();
    riff_of_size("RIFF", size as u32, chunks)
}

fn write(folder: &Path, name: &str, content: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, content).unwrap();
    path
}

fn read(source: &mut Source) -> Vec<i16> {
    let mut samples = Vec::new();
    while let Some(second) = source.next_second().unwrap() {
        assert_eq!(second.len(), CHUNK_BYTES);
        samples.extend(
            second
                .chunks_exact(2)
                .map(|b| i16::from_le_bytes([b[0], b[1]])),
        );
    }
    samples
}

/// What a file plays as, and what is said of it.
fn played(name: &str, content: &[u8]) -> (Vec<i16>, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), name, content);
    let mut source = Source::open(&path, RATE).unwrap_or_else(|error| panic!("{name}: {error}"));
    let expected = source.expected_seconds();
    let samples = read(&mut source);
    assert_eq!(
        expected,
        Some((samples.len() / RATE as usize) as u32),
        "{name}"
    );
    (samples, source.take_notes())
}

/// It is the tone, at its length and place, within this difference.
fn assert_is_tone(name: &str, samples: &[i16], within: f64) {
    let seconds = samples.len() / RATE as usize;
    assert_eq!(seconds, SECONDS as usize, "{name}");
    for (i, sample) in samples.iter().enumerate() {
        // The ends of what is resampled ring a little.
        let is_end = within > 500.0 && (i < 200 || i + 200 > samples.len());
        let difference = (f64::from(*sample) - tone_at(i, RATE)).abs();
        assert!(
            is_end || difference <= within,
            "{name}: {difference} at {i}"
        );
    }
}

fn assert_plays(name: &str, content: &[u8]) {
    assert_is_tone(name, &played(name, content).0, 1.0);
}

fn refusal(name: &str, content: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), name, content);
    Source::open(&path, RATE).unwrap_err().to_string()
}

#[test]
fn sizes_that_cannot_be_true_mean_to_the_end_of_the_file() {
    let plain = [format(), chunk("data", &s16())];
    let with_size = |size| [format(), chunk_of_size("data", size, &s16())];
    let list = chunk("LIST", b"INFOISFT\x0e\0\0\0Lavf60.16.100\0");
    let cases = [
        ("plain", riff(&plain)),
        ("riff too small", riff_of_size("RIFF", 36, &plain)),
        (
            "riff 8 too small",
            riff_of_size("RIFF", s16().len() as u32 + 28, &plain),
        ),
        ("riff 0", riff_of_size("RIFF", 0, &plain)),
        ("data 0", riff_of_size("RIFF", 36, &with_size(0))),
        ("all 0", riff_of_size("RIFF", 0, &with_size(0))),
        (
            "AVAudioFile that was not closed",
            riff(&[
                chunk("JUNK", &[0; 28]),
                format(),
                chunk("FLLR", &[0; 4008]),
                chunk_of_size("data", 0, &s16()),
            ]),
        ),
        (
            "ffmpeg into a pipe",
            riff_of_size(
                "RIFF",
                STREAMED,
                &[format(), list, chunk_of_size("data", STREAMED, &s16())],
            ),
        ),
        ("data streamed", riff(&with_size(STREAMED))),
        (
            "sox into a pipe",
            riff_of_size("RIFF", 0x7fff_f024, &with_size(0x7fff_f000)),
        ),
        (
            "22 samples more than there are",
            riff(&with_size(s16().len() as u32 + 44)),
        ),
        (
            "half a sample at the end",
            riff(&[format(), chunk("data", &[s16(), vec![1]].concat())]),
        ),
    ];
    for (name, content) in cases {
        assert_plays(name, &content);
    }
}

#[test]
fn chunks_before_the_samples_are_passed_over_whatever_they_hold() {
    let data = || chunk("data", &s16());
    let list = b"INFOISFT\x05\0\0\0tool\0";
    let cases = [
        ("odd LIST", vec![format(), chunk("LIST", list), data()]),
        (
            "odd LIST, not INFO",
            vec![format(), chunk("LIST", b"adtlxxxxxxxxx"), data()],
        ),
        (
            "padding that is not 0",
            vec![format(), unpadded("LIST", list), b"Q".to_vec(), data()],
        ),
        (
            "an entry longer than its list",
            vec![format(), chunk("LIST", b"INFOISFT\x63\0\0\0ab"), data()],
        ),
        (
            "odd bext",
            vec![chunk("bext", &[b'b'; 603]), format(), data()],
        ),
        (
            "odd bext without padding",
            vec![unpadded("bext", &[b'b'; 603]), format(), data()],
        ),
        (
            "fact of 12 bytes",
            vec![format(), chunk("fact", &[0; 12]), data()],
        ),
        ("chunks behind", vec![format(), data(), chunk("LIST", list)]),
    ];
    for (name, chunks) in cases {
        assert_plays(name, &riff(&chunks));
    }
}

#[test]
fn a_longer_or_shorter_format_chunk_is_no_reason_to_refuse() {
    let pcm = |more: &[u8]| riff(&[format_with(1, 1, RATE, 16, more), chunk("data", &s16())]);
    assert_plays("fmt of 20", &pcm(&[2, 0, 0, 0]));
    assert_plays("fmt of 28", &pcm(&[10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]));
    assert_plays("fmt of 60", &pcm(&[0; 44]));
    let mut short = format_with(1, 1, RATE, 16, b"");
    short.truncate(8 + 14);
    short[4] = 14;
    assert_plays("fmt of 14", &riff(&[short, chunk("data", &s16())]));
}

#[test]
fn mu_law_and_a_law_play_with_any_format_chunk() {
    // The nearest of the 256 values, which are tested beside the code.
    let encoded = |encoding: fn(i16) -> u8| -> Vec<u8> {
        let samples = (0..(8000 * SECONDS) as usize).map(|i| tone_at(i, 8000) as i16);
        samples.map(encoding).collect()
    };
    let mu = encoded(mu_law);
    let fact = |bytes| chunk("fact", &vec![0; bytes]);
    for (name, more, fact) in [
        ("mu-law, fmt of 18", &b"\0\0"[..], fact(4)),
        ("mu-law, fmt of 16", b"", vec![]),
        ("mu-law, fmt of 20", b"\x02\0\0\0", fact(4)),
        ("mu-law, fact of 12", b"\0\0", fact(12)),
    ] {
        let format = format_with(7, 1, 8000, 8, more);
        let (samples, _) = played(name, &riff(&[format, fact, chunk("data", &mu)]));
        assert_is_tone(name, &samples, 700.0);
    }
    let format = format_with(6, 1, 8000, 8, b"");
    let (samples, _) = played("a-law", &riff(&[format, chunk("data", &encoded(a_law))]));
    assert_is_tone("a-law", &samples, 700.0);
}

/// G.711, from the sign, the exponent and the mantissa of what it says.
fn mu_law(sample: i16) -> u8 {
    let sign = if sample < 0 { 0x80 } else { 0 };
    let magnitude = i32::from(sample).abs().min(32_635) + 132;
    let exponent = (31 - magnitude.leading_zeros()).saturating_sub(7);
    !(sign | (exponent << 4) as u8 | ((magnitude >> (exponent + 3)) & 15) as u8)
}

fn a_law(sample: i16) -> u8 {
    let sign = if sample < 0 { 0 } else { 0x80 };
    let magnitude = i32::from(sample).abs().min(32_767);
    let exponent = (31 - magnitude.max(1).leading_zeros()).saturating_sub(7);
    let byte = (exponent as i32) << 4 | ((magnitude >> (exponent.max(1) + 3)) & 15);
    (sign | byte as u8) ^ 0x55
}

#[test]
fn sizes_of_64_bits_are_read() {
    let size = s16().len() as u64;
    let ds64 = |size: u64| {
        let fields = [size + 72, size, u64::from(RATE * SECONDS)];
        let mut body: Vec<u8> = fields.into_iter().flat_map(u64::to_le_bytes).collect();
        body.extend([0; 4]);
        chunk("ds64", &body)
    };
    for id in ["RF64", "BW64"] {
        for said in [size, 0, size * 2] {
            let data = chunk_of_size("data", STREAMED, &s16());
            let content = riff_of_size(id, STREAMED, &[ds64(said), format(), data]);
            assert_plays(&format!("{id} with {said}"), &content);
        }
    }
}

#[test]
fn every_encoding_without_a_codec_plays() {
    let bytes =
        |encode: fn(i16) -> Vec<u8>| -> Vec<u8> { tone().into_iter().flat_map(encode).collect() };
    let f32s = || bytes(|s| (f32::from(s) / 32768.0).to_le_bytes().to_vec());
    let f64s = bytes(|s| (f64::from(s) / 32768.0).to_le_bytes().to_vec());
    let s24 = || bytes(|s| (i32::from(s) << 16).to_le_bytes()[1..].to_vec());
    let s32 = || bytes(|s| (i32::from(s) << 16).to_le_bytes().to_vec());
    let cases = [
        (
            "f32, fmt of 40 zeros",
            format_with(3, 1, RATE, 32, &[0; 24]),
            f32s(),
        ),
        ("f32, 0 valid bits", extensible(3, 1, 32, 0), f32s()),
        ("f32, 24 valid bits", extensible(3, 1, 32, 24), f32s()),
        ("f32", format_with(3, 1, RATE, 32, b""), f32s()),
        ("f64", format_with(3, 1, RATE, 64, b"\0\0"), f64s),
        ("pcm 16, extensible", extensible(1, 1, 16, 16), s16()),
        (
            "pcm 16, extensible, cut off",
            format_with(0xfffe, 1, RATE, 16, b""),
            s16(),
        ),
        ("pcm 24", format_with(1, 1, RATE, 24, b""), s24()),
        ("pcm 20 in 24", extensible(1, 1, 24, 20), s24()),
        ("pcm 24 in 32", extensible(1, 1, 32, 24), s32()),
        ("pcm 32", format_with(1, 1, RATE, 32, b""), s32()),
    ];
    for (name, format, data) in cases {
        assert_plays(name, &riff(&[format, chunk("data", &data)]));
    }
    let u8s = bytes(|s| vec![((s >> 8) + 128) as u8]);
    let (samples, _) = played(
        "pcm 8",
        &riff(&[format_with(1, 1, RATE, 8, b""), chunk("data", &u8s)]),
    );
    assert_is_tone("pcm 8", &samples, 256.0);
}

#[test]
fn samples_that_are_no_numbers_do_not_spoil_the_others() {
    for rate in [RATE, 48_000] {
        for channels in [1u16, 2] {
            let count = (rate * SECONDS) as usize;
            let mut data = Vec::new();
            for i in 0..count {
                let sample = (tone_at(i, rate) / 32768.0) as f32;
                let odd = match i {
                    5 => f32::NAN,
                    6 => f32::INFINITY,
                    7 => 2.0,
                    _ => sample,
                };
                data.extend(odd.to_le_bytes());
                if channels == 2 {
                    data.extend(sample.to_le_bytes());
                }
            }
            let format = format_with(3, channels, rate, 32, b"");
            let name = format!("{rate} {channels}");
            let (samples, notes) = played(&name, &riff(&[format, chunk("data", &data)]));
            for (i, sample) in samples.iter().enumerate().skip(200) {
                let difference = (f64::from(*sample) - tone_at(i, RATE)).abs();
                let is_end = i + 200 > samples.len();
                assert!(is_end || difference < 60.0, "{name}: {difference} at {i}");
            }
            assert!(
                notes.iter().any(|note| note.contains("not numbers")),
                "{notes:?}"
            );
            assert!(
                notes.iter().any(|note| note.contains("clipped")),
                "{notes:?}"
            );
        }
    }
}

#[test]
fn no_channel_gets_lost_in_the_mix() {
    let frames = |channels: u16, place: &dyn Fn(usize, i16) -> i16| -> Vec<u8> {
        let samples = tone().into_iter().flat_map(|s| {
            (0..usize::from(channels))
                .map(move |c| (c, s))
                .collect::<Vec<_>>()
        });
        let data: Vec<u8> = samples
            .flat_map(|(c, s)| place(c, s).to_le_bytes())
            .collect();
        riff(&[
            format_with(1, channels, RATE, 16, b""),
            chunk("data", &data),
        ])
    };
    let (samples, notes) = played("opposite", &frames(2, &|c, s| if c == 0 { s } else { -s }));
    assert_is_tone("opposite", &samples, 2.0);
    assert!(
        notes.iter().any(|note| note.contains("opposite phase")),
        "{notes:?}"
    );
    let (samples, notes) = played("right only", &frames(2, &|c, s| if c == 1 { s } else { 0 }));
    assert_is_tone("right only", &samples, 2.0);
    assert_eq!(notes, [""; 0]);
    for speaker in 0..6 {
        let place = |c: usize, s: i16| if c == speaker { s } else { 0 };
        let (samples, notes) = played("5.1", &frames(6, &place));
        assert_is_tone("5.1", &samples, 2.0);
        assert!(
            notes.iter().any(|note| note.contains("6 channels")),
            "{notes:?}"
        );
    }
}

#[test]
fn what_is_right_already_stays_as_it_is_and_is_filled_up() {
    let all: Vec<i16> = (0..24_001i32)
        .map(|i| (i * 77 % 65_536 - 32_768) as i16)
        .collect();
    let bytes: Vec<u8> = all.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    let wav = riff(&[format(), chunk("data", &bytes)]);
    for (name, content) in [
        ("a.wav", &wav),
        ("a.PCM", &bytes),
        ("b.raw", &bytes),
        ("wav.pcm", &wav),
    ] {
        let (samples, _) = played(name, content);
        assert_eq!(samples.len(), 2 * RATE as usize, "{name}");
        assert!(samples[..24_001] == all, "{name}");
        assert!(
            samples[24_001..].iter().all(|sample| *sample == 0),
            "{name}"
        );
    }
}

#[test]
fn other_rates_and_lengths_come_out_as_the_same_tone() {
    for rate in [8000, 11_025, 22_050, 44_100, 48_000, 96_000] {
        let samples = (0..(rate * SECONDS) as usize).map(|i| tone_at(i, rate) as i16);
        let data: Vec<u8> = samples.flat_map(i16::to_le_bytes).collect();
        let content = riff(&[format_with(1, 1, rate, 16, b""), chunk("data", &data)]);
        let (samples, _) = played(&rate.to_string(), &content);
        assert_is_tone(&rate.to_string(), &samples, 501.0);
        let middle = &samples[200..samples.len() - 200];
        for (i, sample) in middle.iter().enumerate() {
            let difference = (f64::from(*sample) - tone_at(i + 200, RATE)).abs();
            assert!(difference < 30.0, "{rate}: {difference} at {i}");
        }
    }
}

#[test]
fn a_file_that_was_cut_off_plays_as_far_as_it_goes() {
    let whole = riff(&[format(), chunk("data", &s16())]);
    let (samples, _) = played("cut off", &whole[..whole.len() / 2 + 1]);
    assert_eq!(samples.len(), 2 * RATE as usize);
    let whole_samples = (whole.len() / 2 + 1 - 44) / 2;
    assert!(samples[..whole_samples] == tone()[..whole_samples]);
}

#[test]
fn what_is_not_played_is_named_with_the_command_that_converts_it() {
    for (name, content, expected) in [
        ("a.mp3", &b"ID3\x04\0\0\0\0\0\0"[..], "an MP3 file"),
        ("a.wav", b"ID3\x04\0\0\0\0\0\0", "an MP3 file"),
        ("a.m4a", b"\0\0\0\x20ftypM4A \0\0\0\0", "an M4A file"),
        ("a.pcm", b"fLaC\0\0\0\x22", "a FLAC file"),
        (
            "a.webm",
            b"\x1a\x45\xdf\xa3\x9f\x42\x82\x84webm",
            "a WebM file",
        ),
    ] {
        let refusal = refusal(name, content);
        assert!(refusal.contains(expected), "{refusal}");
        assert!(refusal.contains("convert it with: ffmpeg -i "), "{refusal}");
    }
    let adpcm = riff(&[format_with(0x11, 1, RATE, 4, b""), chunk("data", b"....")]);
    let refusal_of_codec = refusal("a.wav", &adpcm);
    assert!(refusal_of_codec.contains("IMA ADPCM"), "{refusal_of_codec}");
    assert!(
        refusal_of_codec.contains("ffmpeg -i "),
        "{refusal_of_codec}"
    );
    for (name, content, expected) in [
        ("a.txt", &b"not audio at all"[..], "a text file"),
        ("a.bin", b"\0\x01\x02", "not a WAV file; give"),
        ("a.raw", b"", "no audio"),
        ("b.wav", b"", "no audio"),
        ("c.wav", b"RIFF", "not a WAV file"),
    ] {
        let refusal = refusal(name, content);
        assert!(refusal.contains(expected), "{name}: {refusal}");
    }
    let empty = riff(&[format(), chunk("data", b"")]);
    assert!(refusal("d.wav", &empty).contains("no audio"));
}

#[test]
fn what_cannot_be_read_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let missing = Source::open(&folder.path().join("none.wav"), RATE).unwrap_err();
    assert!(missing.to_string().contains("cannot read"), "{missing}");
    assert!(missing.to_string().contains("No such file"), "{missing}");
    let raw = write(folder.path(), "b.raw", b"....");
    let error = Source::open(&raw, 1).unwrap_err();
    assert!(matches!(error, Error::Broken { .. }), "{error}");
    assert!(error.to_string().contains("sample rate of 1"), "{error}");
}

#[test]
fn the_samples_of_this_repository_are_about_twenty_seconds() {
    for name in ["interviewer.wav", "candidate.wav"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../samples")
            .join(name);
        let mut source = Source::open(&path, RATE).unwrap();
        let seconds = read(&mut source).len() / RATE as usize;
        assert!((18..=23).contains(&seconds), "{name}: {seconds}");
        assert_eq!(source.take_notes(), [""; 0]);
    }
}
