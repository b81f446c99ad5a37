//! An audio file as what the gateway takes: seconds of s16le at 16000 Hz, mono. A file that is this
//! already comes out unchanged, bit for bit.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler};
use symphonia::core::codecs::audio::AudioDecoderOptions;
use symphonia::core::errors::Error as DecodeError;
use symphonia::core::formats::TrackType;
use symphonia::core::formats::probe::Hint;
use symphonia::core::io::MediaSourceStream;

/// Samples a second of what comes out.
pub const RATE: u32 = 16_000;
/// Bytes a second of it: one chunk.
pub const CHUNK_BYTES: usize = 32_000;
/// Longer files are refused. It all is held in memory: 115 MB an hour.
pub const MAX_HOURS: u32 = 6;
const MAX_SAMPLES: usize = (MAX_HOURS * 3600 * RATE) as usize;
/// Sample rates that can be converted.
pub const RATES: std::ops::RangeInclusive<u32> = 1000..=768_000;
/// Samples that are converted in one go.
const RESAMPLED_AT_ONCE: usize = 4096;

/// Why a file cannot be streamed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not there, or not ours to read.
    #[error("cannot read {path}")]
    Read {
        /// Of the file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Of a kind that is not known here.
    #[error(
        "cannot decode {path} ({reason}); give a WAV file, or s16le samples in a file that ends in .pcm or .raw"
    )]
    Decode {
        /// Of the file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Nothing in it.
    #[error("there is no audio in {0}")]
    Empty(PathBuf),
    /// More than can be held.
    #[error("{0} is longer than {MAX_HOURS} hours; cut it into parts")]
    TooLong(PathBuf),
}

/// The audio of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audio {
    /// Whole seconds.
    pcm: Vec<u8>,
}

impl Audio {
    /// Reads a WAV file, or s16le mono samples from a file named `.pcm` or `.raw`, which has no
    /// rate of its own: `raw_rate` is theirs, in samples a second. The last second is filled up
    /// with silence.
    ///
    /// # Errors
    /// When the file cannot be read, decoded or held.
    pub fn load(path: &Path, raw_rate: u32) -> Result<Self, Error> {
        let file = File::open(path).map_err(|source| Error::Read {
            path: path.to_owned(),
            source,
        })?;
        let is_raw = path.extension().is_some_and(|name| {
            name.eq_ignore_ascii_case("pcm") || name.eq_ignore_ascii_case("raw")
        });
        let samples = if is_raw {
            decode_raw(file, raw_rate)
        } else {
            decode(file)
        };
        let samples = samples.map_err(|fault| match fault {
            Fault::Read(source) => Error::Read {
                path: path.to_owned(),
                source,
            },
            Fault::Decode(reason) => Error::Decode {
                path: path.to_owned(),
                reason,
            },
            Fault::TooLong => Error::TooLong(path.to_owned()),
        })?;
        if samples.is_empty() {
            return Err(Error::Empty(path.to_owned()));
        }
        let mut pcm: Vec<u8> = samples.into_iter().flat_map(i16::to_le_bytes).collect();
        pcm.resize(pcm.len().next_multiple_of(CHUNK_BYTES), 0);
        Ok(Self { pcm })
    }

    /// How many chunks it is.
    #[must_use]
    pub fn seconds(&self) -> u32 {
        // At most MAX_HOURS of them.
        u32::try_from(self.pcm.len() / CHUNK_BYTES).unwrap_or(u32::MAX)
    }

    /// The second `seq`, counted from 1; none beyond the end.
    #[must_use]
    pub fn second(&self, seq: u32) -> Option<&[u8]> {
        let index = usize::try_from(seq.checked_sub(1)?).ok()?;
        self.pcm.chunks_exact(CHUNK_BYTES).nth(index)
    }
}

#[derive(Debug)]
enum Fault {
    Read(io::Error),
    Decode(String),
    TooLong,
}

impl From<DecodeError> for Fault {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::IoError(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
                Self::Read(error)
            }
            error => Self::Decode(error.to_string()),
        }
    }
}

fn decode_raw(mut file: File, rate: u32) -> Result<Vec<i16>, Fault> {
    let mut bytes = Vec::new();
    let limit = u64::from(MAX_HOURS) * 3600 * 2 * u64::from(rate) + 2;
    file.by_ref()
        .take(limit)
        .read_to_end(&mut bytes)
        .map_err(Fault::Read)?;
    let mut conversion = Conversion::new(rate)?;
    let samples: Vec<f32> = bytes
        .chunks_exact(2)
        .map(|sample| f32::from(i16::from_le_bytes([sample[0], sample[1]])) / 32768.0)
        .collect();
    conversion.push(&samples)?;
    conversion.finish()
}

fn decode(file: File) -> Result<Vec<i16>, Fault> {
    let source = MediaSourceStream::new(Box::new(file), Default::default());
    let mut format = symphonia::default::get_probe().probe(
        &Hint::new(),
        source,
        Default::default(),
        Default::default(),
    )?;
    let track = format
        .default_track(TrackType::Audio)
        .ok_or_else(|| Fault::Decode("no audio track".to_owned()))?;
    let track_id = track.id;
    let parameters = track
        .codec_params
        .as_ref()
        .and_then(|parameters| parameters.audio())
        .ok_or_else(|| Fault::Decode("unknown codec".to_owned()))?;
    let mut decoder = symphonia::default::get_codecs()
        .make_audio_decoder(parameters, &AudioDecoderOptions::default())?;
    let mut conversion: Option<Conversion> = None;
    let mut interleaved: Vec<f32> = Vec::new();
    let mut mono: Vec<f32> = Vec::new();
    loop {
        let packet = match format.next_packet() {
            Ok(Some(packet)) => packet,
            Ok(None) => break,
            // A file that was cut off is played as far as it goes.
            Err(DecodeError::IoError(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                break;
            }
            Err(error) => return Err(error.into()),
        };
        if packet.track_id != track_id {
            continue;
        }
        let decoded = decoder.decode(&packet)?;
        let (rate, channels) = (decoded.spec().rate(), decoded.spec().channels().count());
        decoded.copy_to_vec_interleaved(&mut interleaved);
        mono.clear();
        mono.extend(
            interleaved
                .chunks_exact(channels.max(1))
                .map(|frame| frame.iter().sum::<f32>() / frame.len() as f32),
        );
        let conversion = match &mut conversion {
            Some(conversion) => conversion,
            none => none.insert(Conversion::new(rate)?),
        };
        conversion.push(&mono)?;
    }
    conversion.map_or(Ok(Vec::new()), Conversion::finish)
}

/// From some rate to [`RATE`], a piece at a time.
struct Conversion {
    /// None where the rate is right.
    resampler: Option<Fft<f32>>,
    rate: u32,
    pending: Vec<f32>,
    taken: u64,
    /// What the resampler puts before the audio, not yet dropped.
    delay: usize,
    samples: Vec<i16>,
}

impl Conversion {
    fn new(rate: u32) -> Result<Self, Fault> {
        if !RATES.contains(&rate) {
            return Err(Fault::Decode(format!(
                "a sample rate of {rate} is not within {} and {}",
                RATES.start(),
                RATES.end()
            )));
        }
        let resampler = (rate != RATE)
            .then(|| {
                Fft::new(
                    rate as usize,
                    RATE as usize,
                    RESAMPLED_AT_ONCE,
                    1,
                    FixedSync::Input,
                )
            })
            .transpose()
            .map_err(|error| Fault::Decode(error.to_string()))?;
        Ok(Self {
            delay: resampler
                .as_ref()
                .map_or(0, |resampler| resampler.output_delay()),
            resampler,
            rate,
            pending: Vec::new(),
            taken: 0,
            samples: Vec::new(),
        })
    }

    fn push(&mut self, mono: &[f32]) -> Result<(), Fault> {
        self.taken += mono.len() as u64;
        let Some(resampler) = &mut self.resampler else {
            return self.put(mono);
        };
        self.pending.extend_from_slice(mono);
        let mut converted = Vec::new();
        let mut used = 0;
        while let Some(piece) = self.pending.get(used..used + resampler.input_frames_next()) {
            let adapter = InterleavedSlice::new(piece, 1, piece.len())
                .map_err(|error| Fault::Decode(error.to_string()))?;
            let output = resampler
                .process(&adapter, None)
                .map_err(|error| Fault::Decode(error.to_string()))?;
            converted.extend(output.take_data());
            used += piece.len();
        }
        self.pending.drain(..used);
        let dropped = self.delay.min(converted.len());
        self.delay -= dropped;
        self.put(&converted[dropped..])
    }

    fn put(&mut self, samples: &[f32]) -> Result<(), Fault> {
        if self.samples.len() + samples.len() > MAX_SAMPLES {
            return Err(Fault::TooLong);
        }
        // Rounds, and keeps what is too loud at the loudest.
        self.samples.extend(
            samples
                .iter()
                .map(|sample| (sample * 32768.0).round() as i16),
        );
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<i16>, Fault> {
        let length = (self.taken * u64::from(RATE)).div_ceil(u64::from(self.rate));
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        // Silence pushes the rest out of the resampler.
        while self.samples.len() < length {
            self.push(&[0.0; RESAMPLED_AT_ONCE])?;
        }
        self.samples.truncate(length);
        Ok(self.samples)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn write_wav(path: &Path, rate: u32, channels: u16, samples: impl Iterator<Item = i16>) {
        let spec = hound::WavSpec {
            channels,
            sample_rate: rate,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut writer = hound::WavWriter::create(path, spec).unwrap();
        samples.for_each(|sample| writer.write_sample(sample).unwrap());
        writer.finalize().unwrap();
    }

    fn samples(audio: &Audio) -> Vec<i16> {
        let bytes = audio.pcm.chunks_exact(2);
        bytes.map(|b| i16::from_le_bytes([b[0], b[1]])).collect()
    }

    #[test]
    fn what_is_right_already_stays_as_it_is_and_is_filled_up() {
        let folder = tempfile::tempdir().unwrap();
        let all: Vec<i16> = (0..24_001)
            .map(|i| (i * 77 % 65_536 - 32_768) as i16)
            .collect();
        let wav = folder.path().join("a.wav");
        write_wav(&wav, RATE, 1, all.iter().copied());
        let raw = folder.path().join("a.PCM");
        let bytes: Vec<u8> = all.iter().flat_map(|s| s.to_le_bytes()).collect();
        std::fs::write(&raw, bytes).unwrap();
        for path in [wav, raw] {
            let audio = Audio::load(&path, RATE).unwrap();
            assert_eq!(audio.seconds(), 2);
            assert_eq!(samples(&audio)[..24_001], all);
            assert!(samples(&audio)[24_001..].iter().all(|s| *s == 0));
            assert_eq!(audio.second(2).unwrap().len(), CHUNK_BYTES);
            assert!(audio.second(0).is_none() && audio.second(3).is_none());
        }
    }

    /// A 440 Hz tone in two channels comes out as the same tone in one.
    #[test]
    fn other_rates_and_channels_are_converted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.wav");
        for rate in [8000, 44_100, 48_000] {
            let tone = |i: u32, rate: u32| {
                (f64::from(i) * 440.0 * std::f64::consts::TAU / f64::from(rate)).sin() * 16_000.0
            };
            let stereo = (0..rate).flat_map(|i| {
                let sample = tone(i, rate) as i16;
                [sample, sample]
            });
            write_wav(&path, rate, 2, stereo);
            let audio = Audio::load(&path, RATE).unwrap();
            assert_eq!(audio.seconds(), 1, "{rate}");
            let converted = samples(&audio);
            // The ends ring a little, and all may be half a sample early or late.
            for i in 1000..15_000u32 {
                let difference = f64::from(converted[i as usize]) - tone(i, RATE);
                assert!(difference.abs() < 1400.0, "{rate}: {difference} at {i}");
            }
        }
    }

    #[test]
    fn what_cannot_be_played_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, content: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, content).unwrap();
            path
        };
        let message = |path: PathBuf, rate| Audio::load(&path, rate).unwrap_err().to_string();
        assert!(message(folder.path().join("none.wav"), RATE).contains("cannot read"));
        assert!(message(write("a.wav", b"not audio at all"), RATE).contains("cannot decode"));
        assert!(message(write("a.raw", b""), RATE).contains("no audio"));
        assert!(message(write("b.raw", b"...."), 1).contains("sample rate"));
    }

    #[test]
    fn the_samples_of_this_repository_are_about_twenty_seconds() {
        for name in ["interviewer.wav", "candidate.wav"] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("../../samples")
                .join(name);
            let seconds = Audio::load(&path, RATE).unwrap().seconds();
            assert!((18..=23).contains(&seconds), "{name}: {seconds}");
        }
    }
}
