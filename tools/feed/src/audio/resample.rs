//! From any sample rate to another, a piece at a time: a windowed sinc, computed once for each
//! distance that an output sample can have from the input samples beside it. The output is neither
//! early nor late. Memory does not grow with the audio.

use std::f64::consts::PI;

/// Zero crossings of the sinc on each side, at the lower of the two rates.
const CROSSINGS: usize = 32;
/// Where the filter is half as loud, as a share of half the lower rate.
const CUTOFF: f64 = 0.92;
/// Of the Kaiser window: what is filtered out is 80 dB down.
const BETA: f64 = 8.0;
/// Distances that are told apart. The usual rates need fewer; others are rounded to these.
const MAX_PHASES: u64 = 1024;

/// Converts one channel.
#[derive(Debug)]
pub struct Resampler {
    /// From one output sample to the next, in input samples: `step / phases_exact`.
    step: u64,
    denominator: u64,
    /// For each phase `2 * half` factors, whose sum is 1.
    factors: Vec<f32>,
    phases: u64,
    half: usize,
    /// Input that is still needed.
    input: Vec<f32>,
    /// Of the next output sample, relative to `input[half - 1]`: whole samples and a fraction of
    /// `denominator`.
    position: u64,
    fraction: u64,
}

impl Resampler {
    /// Both rates in samples a second, not 0.
    #[must_use]
    pub fn new(from: u32, to: u32) -> Self {
        let (from, to) = (u64::from(from.max(1)), u64::from(to.max(1)));
        let divisor = gcd(from, to);
        let (step, denominator) = (from / divisor, to / divisor);
        let phases = denominator.min(MAX_PHASES);
        let ratio = (from as f64 / to as f64).max(1.0);
        let half = (CROSSINGS as f64 * ratio).ceil() as usize;
        let mut factors = Vec::new();
        for phase in 0..phases {
            let fraction = phase as f64 / phases as f64;
            let row: Vec<f64> = (0..2 * half)
                .map(|tap| {
                    let distance = tap as f64 - (half as f64 - 1.0) - fraction;
                    sinc(distance * CUTOFF / ratio) * window(distance / half as f64)
                })
                .collect();
            let sum: f64 = row.iter().sum();
            factors.extend(row.iter().map(|factor| (factor / sum) as f32));
        }
        Self {
            step,
            denominator,
            factors,
            phases,
            half,
            // Silence before the first sample.
            input: vec![0.0; half - 1],
            position: 0,
            fraction: 0,
        }
    }

    /// Takes input, and appends what can be made of it to `output`.
    pub fn push(&mut self, input: &[f32], output: &mut Vec<f32>) {
        self.input.extend_from_slice(input);
        let width = 2 * self.half;
        loop {
            let mut phase = (self.fraction * self.phases + self.denominator / 2) / self.denominator;
            let mut from = self.position as usize;
            if phase == self.phases {
                phase = 0;
                from += 1;
            }
            let row = phase as usize * width;
            let (Some(taken), Some(factors)) = (
                self.input.get(from..from + width),
                self.factors.get(row..row + width),
            ) else {
                break;
            };
            output.push(taken.iter().zip(factors).map(|(a, b)| a * b).sum());
            self.fraction += self.step;
            self.position += self.fraction / self.denominator;
            self.fraction %= self.denominator;
        }
        let done = (self.position as usize).min(self.input.len());
        self.input.drain(..done);
        self.position -= done as u64;
    }

    /// Appends what is left. More than the input's length comes out: the caller knows where it ends.
    pub fn finish(&mut self, output: &mut Vec<f32>) {
        self.push(&vec![0.0; 2 * self.half + 1], output);
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn sinc(x: f64) -> f64 {
    if x.abs() < 1e-9 {
        1.0
    } else {
        (PI * x).sin() / (PI * x)
    }
}

/// Kaiser's, from -1 to 1.
fn window(x: f64) -> f64 {
    if x.abs() > 1.0 {
        return 0.0;
    }
    bessel(BETA * (1.0 - x * x).sqrt()) / bessel(BETA)
}

/// The modified Bessel function of the first kind, order 0.
fn bessel(x: f64) -> f64 {
    let (mut sum, mut term, mut k) = (1.0, 1.0, 1.0);
    while term > sum * 1e-12 {
        term *= (x / (2.0 * k)).powi(2);
        sum += term;
        k += 1.0;
    }
    sum
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn tone(hz: f64, rate: u32, seconds: f64) -> Vec<f32> {
        (0..(f64::from(rate) * seconds) as u32)
            .map(|i| (f64::from(i) * hz * 2.0 * PI / f64::from(rate)).sin() as f32 * 0.5)
            .collect()
    }

    fn converted(from: u32, input: &[f32], piece: usize) -> Vec<f32> {
        let mut resampler = Resampler::new(from, 16_000);
        let mut output = Vec::new();
        for piece in input.chunks(piece) {
            resampler.push(piece, &mut output);
        }
        resampler.finish(&mut output);
        output
    }

    #[test]
    fn a_tone_stays_the_same_tone_at_the_same_time_at_any_rate() {
        for rate in [
            1000, 8000, 11_025, 15_999, 16_001, 22_050, 44_100, 48_000, 96_000, 768_000,
        ] {
            let output = converted(rate, &tone(300.0, rate, 0.5), 1000);
            let expected = tone(300.0, 16_000, 0.5);
            assert!(output.len() >= expected.len(), "{rate}: {}", output.len());
            for i in 1000..7000 {
                let difference = (output[i] - expected[i]).abs();
                assert!(difference < 0.001, "{rate}: {difference} at {i}");
            }
        }
    }

    #[test]
    fn what_the_lower_rate_cannot_hold_is_filtered_out() {
        let output = converted(48_000, &tone(10_000.0, 48_000, 0.5), 999);
        let loudest = output[500..7500].iter().fold(0.0f32, |a, b| a.max(b.abs()));
        assert!(loudest < 0.0001, "{loudest}");
    }

    #[test]
    fn the_size_of_the_pieces_changes_nothing() {
        let input = tone(440.0, 44_100, 0.2);
        let whole = converted(44_100, &input, input.len());
        for piece in [1, 7, 441, 5000] {
            assert_eq!(converted(44_100, &input, piece), whole, "{piece}");
        }
    }
}
