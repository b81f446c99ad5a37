//! An audio file as what the gateway takes: seconds of s16le at 16000 Hz, mono, read one after the
//! other, so that memory does not grow with the file. A file that is this already comes out
//! unchanged, bit for bit.

mod kind;
mod lookahead;
mod mix;
mod resample;
mod samples;
mod wav;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use kind::Kind;
use lookahead::Lookahead;
use mix::Mixer;
use resample::Resampler;
use samples::Encoding;

/// Samples a second of what comes out.
pub const RATE: u32 = 16_000;
/// Bytes a second of it: one chunk.
pub const CHUNK_BYTES: usize = 32_000;
/// Sample rates that can be converted.
pub const RATES: std::ops::RangeInclusive<u32> = 1000..=768_000;

/// Why a file cannot be streamed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not there, or not ours to read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Of the file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Not a WAV file.
    #[error("cannot play {}: it is {name}, not a WAV file{}", path.display(), remedy(path, *is_media))]
    Other {
        /// Of the file.
        path: PathBuf,
        /// With its article.
        name: &'static str,
        /// Whether ffmpeg makes audio of it.
        is_media: bool,
    },
    /// A file that nothing is known of.
    #[error(
        "cannot play {}: it is not a WAV file; give a WAV file, or s16le mono samples in a file whose name ends in .pcm or .raw",
        path.display()
    )]
    Unknown {
        /// Of the file.
        path: PathBuf,
    },
    /// A WAV file whose samples need a codec.
    #[error("cannot play {}: it is a WAV file, but {reason}{}", path.display(), remedy(path, true))]
    Codec {
        /// Of the file.
        path: PathBuf,
        /// What they are encoded as.
        reason: String,
    },
    /// A WAV file without what is needed to play it.
    #[error("cannot play {}: it is a WAV file, but {reason}", path.display())]
    Broken {
        /// Of the file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Nothing in it.
    #[error("there is no audio in {}", .0.display())]
    Empty(PathBuf),
}

fn remedy(path: &Path, is_media: bool) -> String {
    if is_media {
        format!("; convert it with: {}", kind::conversion(path))
    } else {
        String::new()
    }
}

/// A file that is being read.
#[derive(Debug)]
pub struct Source {
    path: PathBuf,
    reader: Lookahead<File>,
    encoding: Encoding,
    channels: usize,
    rate: u32,
    /// Bytes of samples that are left; none for all that follow.
    bytes: Option<u64>,
    expected_seconds: Option<u32>,
    mixer: Mixer,
    /// None where the rate is right.
    resampler: Option<Resampler>,
    /// Frames read so far.
    frames: u64,
    /// Samples given so far, before the last second is filled up.
    given: u64,
    /// Converted and not given yet.
    ready: Vec<f32>,
    has_ended: bool,
    notes: Notes,
}

/// What the user should know about the file, each once.
#[derive(Debug, Default)]
struct Notes {
    pending: Vec<String>,
    not_finite: bool,
    too_loud: bool,
    turned: bool,
}

impl Notes {
    fn once(pending: &mut Vec<String>, said: &mut bool, happens: bool, text: &str) {
        if happens && !*said {
            *said = true;
            pending.push(text.to_owned());
        }
    }
}

impl Source {
    /// Opens a WAV file, whatever it is called, or s16le mono samples in a file named `.pcm` or
    /// `.raw`, which has no rate of its own: `raw_rate` is theirs, in samples a second. Reads the
    /// header and the first second.
    ///
    /// # Errors
    /// When the file cannot be read or played, or is empty.
    pub fn open(path: &Path, raw_rate: u32) -> Result<Self, Error> {
        let read = |source| Error::Read {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(read)?;
        let metadata = file.metadata().map_err(read)?;
        let length = metadata.is_file().then_some(metadata.len());
        let mut reader = Lookahead::new(file);
        let is_raw = path.extension().is_some_and(|name| {
            name.eq_ignore_ascii_case("pcm") || name.eq_ignore_ascii_case("raw")
        });
        let start = reader.peek(kind::LOOKED_AT).map_err(read)?;
        if start.is_empty() {
            return Err(Error::Empty(path.to_owned()));
        }
        let found = if is_raw {
            kind::identify_raw(start)
        } else {
            kind::identify(start)
        };
        let samples = match found {
            Kind::Wav => wav::read_header(&mut reader, length).map_err(|error| match error {
                wav::Error::Read(source) => read(source),
                wav::Error::Codec(_) => Error::Codec {
                    path: path.to_owned(),
                    reason: error.to_string(),
                },
                wav::Error::Broken(reason) => Error::Broken {
                    path: path.to_owned(),
                    reason,
                },
            })?,
            Kind::Other { name, is_media } => {
                return Err(Error::Other {
                    path: path.to_owned(),
                    name,
                    is_media,
                });
            }
            Kind::Unknown if is_raw => wav::Samples {
                encoding: Encoding::Int { bytes: 2 },
                channels: 1,
                rate: raw_rate,
                bytes: None,
            },
            Kind::Unknown => {
                return Err(Error::Unknown {
                    path: path.to_owned(),
                });
            }
        };
        let mut source = Self::new(path, reader, samples, length)?;
        source.fill().map_err(read)?;
        if source.available() == 0 {
            return Err(Error::Empty(path.to_owned()));
        }
        Ok(source)
    }

    fn new(
        path: &Path,
        reader: Lookahead<File>,
        samples: wav::Samples,
        length: Option<u64>,
    ) -> Result<Self, Error> {
        let wav::Samples {
            encoding,
            channels,
            rate,
            bytes,
        } = samples;
        if !RATES.contains(&rate) {
            return Err(Error::Broken {
                path: path.to_owned(),
                reason: format!(
                    "a sample rate of {rate} is not within {} and {}",
                    RATES.start(),
                    RATES.end()
                ),
            });
        }
        let rest = length.map(|length| length.saturating_sub(reader.position()));
        let frame = (encoding.bytes() * channels) as u64;
        let expected_seconds = bytes
            .or(rest)
            .map(|bytes| (bytes / frame).div_ceil(rate.into()))
            .map(|seconds| u32::try_from(seconds).unwrap_or(u32::MAX));
        let mut notes = Notes::default();
        if channels > 2 {
            notes.pending.push(format!(
                "{}: its {channels} channels are mixed into one, each as much as it is loud",
                path.display()
            ));
        }
        Ok(Self {
            path: path.to_owned(),
            reader,
            encoding,
            channels,
            rate,
            bytes,
            expected_seconds,
            mixer: Mixer::new(channels, rate),
            resampler: (rate != RATE).then(|| Resampler::new(rate, RATE)),
            frames: 0,
            given: 0,
            ready: Vec::new(),
            has_ended: false,
            notes,
        })
    }

    /// How many seconds there will be, where the file's size or header tells.
    #[must_use]
    pub fn expected_seconds(&self) -> Option<u32> {
        self.expected_seconds
    }

    /// The next second, [`CHUNK_BYTES`] of it; none after the end. The last one is filled up with
    /// silence.
    ///
    /// # Errors
    /// When the file cannot be read any more.
    pub fn next_second(&mut self) -> Result<Option<Vec<u8>>, Error> {
        self.fill().map_err(|source| Error::Read {
            path: self.path.clone(),
            source,
        })?;
        let count = self.available();
        if count == 0 {
            return Ok(None);
        }
        let mut pcm = Vec::with_capacity(CHUNK_BYTES);
        // Rounds, and keeps what is too loud at the loudest.
        let samples = self.ready.drain(..count);
        pcm.extend(samples.flat_map(|sample| ((sample * 32768.0).round() as i16).to_le_bytes()));
        pcm.resize(CHUNK_BYTES, 0);
        self.given += count as u64;
        Ok(Some(pcm))
    }

    /// What the user should know about the file and was not told yet.
    pub fn take_notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes.pending)
    }

    /// Samples of the next second that are there.
    fn available(&self) -> usize {
        let count = self.ready.len().min(RATE as usize);
        if !self.has_ended {
            return count;
        }
        // What the resampler adds at the end is no audio.
        let total = (self.frames * u64::from(RATE)).div_ceil(self.rate.into());
        let left = total.saturating_sub(self.given);
        count.min(usize::try_from(left).unwrap_or(usize::MAX))
    }

    /// Reads until a second is there, or all.
    fn fill(&mut self) -> io::Result<()> {
        let frame = self.encoding.bytes() * self.channels;
        let mut bytes = vec![0; self.mixer.block() * frame];
        let (mut interleaved, mut mono) = (Vec::new(), Vec::new());
        while self.ready.len() < RATE as usize && !self.has_ended {
            let wanted = self.bytes.map_or(bytes.len(), |left| {
                bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX))
            });
            let read = self.reader.read_full(&mut bytes[..wanted])?;
            if let Some(left) = &mut self.bytes {
                *left -= read as u64;
            }
            // Half a frame at the end is dropped.
            let whole = read - read % frame;
            interleaved.clear();
            mono.clear();
            self.encoding.decode(&bytes[..whole], &mut interleaved);
            let cleaned = samples::clean(&mut interleaved);
            self.mixer.push(&interleaved, &mut mono);
            self.note(cleaned);
            self.frames += (whole / frame) as u64;
            match &mut self.resampler {
                Some(resampler) => resampler.push(&mono, &mut self.ready),
                None => self.ready.append(&mut mono),
            }
            if read < bytes.len() {
                self.has_ended = true;
                if let Some(resampler) = &mut self.resampler {
                    resampler.finish(&mut self.ready);
                }
            }
        }
        Ok(())
    }

    fn note(&mut self, cleaned: samples::Cleaned) {
        let Notes {
            pending,
            not_finite,
            too_loud,
            turned,
        } = &mut self.notes;
        let name = self.path.display();
        Notes::once(
            pending,
            not_finite,
            cleaned.not_finite > 0,
            &format!(
                "{name}: samples that are not numbers (NaN or infinite) are played as silence"
            ),
        );
        Notes::once(
            pending,
            too_loud,
            cleaned.too_loud > 0,
            &format!("{name}: samples that are louder than full scale are clipped"),
        );
        Notes::once(
            pending,
            turned,
            self.mixer.turned(),
            &format!(
                "{name}: channels are in opposite phase and would cancel each other; one of them is inverted"
            ),
        );
    }
}
