//! Several channels as one, so that nobody who speaks gets lost in it: each channel weighs as much as
//! it is loud (gain sharing, as automatic mixers of conferences do it), and one that mirrors the
//! loudest is turned over before it would cancel it. Memory does not grow with the audio.

/// How much of a channel's level is left after one block, for a channel that became quieter.
const RELEASE: f32 = 0.5;
/// Two channels whose correlation is below its negative mirror each other, and above it do not;
/// between the two it stays as it was.
const CORRELATED: f32 = 0.5;
/// Blocks a second.
const BLOCKS: u32 = 10;
/// A change of a weight takes this share of a second.
const RAMPS: u32 = 100;

/// Mixes blocks of frames.
#[derive(Debug)]
pub struct Mixer {
    channels: usize,
    block: usize,
    ramp: usize,
    /// Of each channel, fast to rise and slow to fall.
    levels: Vec<f32>,
    /// -1 for a channel that is turned over.
    polarities: Vec<f32>,
    /// At the end of the last block, with the polarity; none before the first one.
    gains: Option<Vec<f32>>,
    turned: bool,
}

impl Mixer {
    /// `channels` and `rate` are not 0.
    #[must_use]
    pub fn new(channels: usize, rate: u32) -> Self {
        let frames = |share: u32| usize::try_from(rate / share).unwrap_or(1).max(1);
        let channels = channels.max(1);
        Self {
            channels,
            block: frames(BLOCKS),
            ramp: frames(RAMPS),
            levels: vec![0.0; channels],
            polarities: vec![1.0; channels],
            gains: None,
            turned: false,
        }
    }

    /// Frames that [`Mixer::push`] looks at together; only the last block may be shorter.
    #[must_use]
    pub fn block(&self) -> usize {
        self.block
    }

    /// Whether a channel was turned over.
    #[must_use]
    pub fn turned(&self) -> bool {
        self.turned
    }

    /// Appends one block of frames, interleaved, to `output`.
    pub fn push(&mut self, frames: &[f32], output: &mut Vec<f32>) {
        if self.channels == 1 {
            output.extend_from_slice(frames);
            return;
        }
        self.listen(frames);
        let sum: f32 = self.levels.iter().sum();
        let goal: Vec<f32> = match &self.gains {
            // Silence: as before.
            Some(gains) if sum <= 0.0 => gains.clone(),
            None if sum <= 0.0 => vec![1.0 / self.channels as f32; self.channels],
            _ => (self.levels.iter().zip(&self.polarities))
                .map(|(level, polarity)| level / sum * polarity)
                .collect(),
        };
        let before = self.gains.take().unwrap_or_else(|| goal.clone());
        let mut gains = before.clone();
        for (i, frame) in frames.chunks_exact(self.channels).enumerate() {
            if i <= self.ramp {
                let way = i as f32 / self.ramp as f32;
                for (channel, gain) in gains.iter_mut().enumerate() {
                    *gain = before[channel] + (goal[channel] - before[channel]) * way;
                }
            }
            output.push(
                frame
                    .iter()
                    .zip(&gains)
                    .map(|(sample, gain)| sample * gain)
                    .sum(),
            );
        }
        self.gains = Some(goal);
    }

    /// Levels and polarities after this block.
    fn listen(&mut self, frames: &[f32]) {
        let count = (frames.len() / self.channels).max(1) as f32;
        let energy = |a: usize, b: usize| -> f32 {
            let frames = frames.chunks_exact(self.channels);
            frames.map(|frame| frame[a] * frame[b]).sum::<f32>() / count
        };
        let energies: Vec<f32> = (0..self.channels).map(|i| energy(i, i)).collect();
        let loudest = (1..self.channels).fold(0, |best, i| {
            if energies[i] > energies[best] {
                i
            } else {
                best
            }
        });
        for i in 0..self.channels {
            self.levels[i] = energies[i].sqrt().max(self.levels[i] * RELEASE);
            let scale = (energies[i] * energies[loudest]).sqrt();
            if i == loudest || scale <= 0.0 {
                continue;
            }
            let correlation = energy(i, loudest) / scale;
            if correlation.abs() > CORRELATED {
                let polarity = self.polarities[loudest] * correlation.signum();
                self.polarities[i] = polarity;
                self.turned |= polarity < 0.0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    const RATE: u32 = 16_000;

    fn tone(i: usize) -> f32 {
        (i as f32 * 0.17).sin() * 0.5
    }

    fn mixed(channels: usize, frame: impl Fn(usize) -> Vec<f32>) -> (Vec<f32>, Mixer) {
        let mut mixer = Mixer::new(channels, RATE);
        let frames: Vec<f32> = (0..RATE as usize).flat_map(frame).collect();
        let mut output = Vec::new();
        for block in frames.chunks(mixer.block() * channels) {
            mixer.push(block, &mut output);
        }
        (output, mixer)
    }

    fn is_the_tone(output: &[f32]) -> bool {
        output.len() == RATE as usize
            && (output.iter().enumerate()).all(|(i, sample)| (sample - tone(i)).abs() < 1e-4)
    }

    #[test]
    fn one_channel_and_equal_ones_come_out_as_they_are() {
        for channels in 1..=3 {
            let (output, mixer) = mixed(channels, |i| vec![tone(i); channels]);
            assert!(is_the_tone(&output) && !mixer.turned(), "{channels}");
        }
    }

    #[test]
    fn opposite_phase_is_turned_over_from_the_first_sample() {
        let (output, mixer) = mixed(2, |i| vec![tone(i), -tone(i)]);
        assert!(is_the_tone(&output) && mixer.turned());
    }

    #[test]
    fn one_speaker_of_six_channels_is_as_loud_as_alone() {
        for speaker in 0..6 {
            let (output, _) = mixed(6, |i| {
                (0..6)
                    .map(|c| if c == speaker { tone(i) } else { 0.0 })
                    .collect()
            });
            assert!(is_the_tone(&output), "{speaker}");
        }
    }

    #[test]
    fn two_that_take_turns_are_both_heard() {
        let (output, _) = mixed(2, |i| {
            let turn = i / 8000;
            (0..2)
                .map(|c| if c == turn { tone(i) } else { 0.0 })
                .collect()
        });
        for turn in 0..2 {
            // After the levels have settled.
            let settled = &output[turn * 8000 + 5000..(turn + 1) * 8000];
            let loudest = settled.iter().fold(0.0f32, |a, b| a.max(b.abs()));
            assert!(loudest > 0.4, "{turn}: {loudest}");
        }
    }

    #[test]
    fn silence_is_silence() {
        let (output, mixer) = mixed(2, |_| vec![0.0, 0.0]);
        assert!(output.iter().all(|sample| *sample == 0.0) && !mixer.turned());
    }
}
