//! Samples as bytes, of each encoding that WAV files have and that needs no codec, and as numbers
//! between -1 and 1. It knows nothing of files.

/// How a sample is written. All are little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// 8 bits, with 128 for silence.
    U8,
    /// Signed, of 2, 3 or 4 bytes; fewer valid bits are the upper ones.
    Int {
        /// Of a sample.
        bytes: usize,
    },
    /// IEEE 754, 32 bits.
    F32,
    /// IEEE 754, 64 bits.
    F64,
    /// G.711, 8 bits.
    ALaw,
    /// G.711, 8 bits.
    MuLaw,
}

impl Encoding {
    /// Bytes of a sample.
    #[must_use]
    pub fn bytes(self) -> usize {
        match self {
            Self::U8 | Self::ALaw | Self::MuLaw => 1,
            Self::Int { bytes } => bytes,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// Appends the samples to `samples`. What is left at the end is no whole sample and is dropped.
    pub fn decode(self, bytes: &[u8], samples: &mut Vec<f32>) {
        let pieces = bytes.chunks_exact(self.bytes());
        match self {
            Self::U8 => samples.extend(bytes.iter().map(|b| (f32::from(*b) - 128.0) / 128.0)),
            Self::ALaw => samples.extend(bytes.iter().map(|b| f32::from(a_law(*b)) / 32768.0)),
            Self::MuLaw => samples.extend(bytes.iter().map(|b| f32::from(mu_law(*b)) / 32768.0)),
            Self::Int { .. } => samples.extend(pieces.map(|piece| {
                // The upper bytes of 32 bits, so that the sign is right at any width.
                let mut word = [0; 4];
                word[4 - piece.len()..].copy_from_slice(piece);
                // More than the 24 bits that an f32 keeps are rounded.
                i32::from_le_bytes(word) as f32 / 2_147_483_648.0
            })),
            Self::F32 => {
                samples.extend(pieces.map(|piece| piece.try_into().map_or(0.0, f32::from_le_bytes)))
            }
            Self::F64 => samples.extend(pieces.map(|piece| {
                piece
                    .try_into()
                    .map_or(0.0, |bytes| f64::from_le_bytes(bytes) as f32)
            })),
        }
    }
}

/// What was done to samples so that they can be played.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cleaned {
    /// NaN and infinities: silence now.
    pub not_finite: u64,
    /// Beyond -1 or 1: the loudest that there is.
    pub too_loud: u64,
}

/// Leaves only numbers between -1 and 1.
pub fn clean(samples: &mut [f32]) -> Cleaned {
    let mut cleaned = Cleaned::default();
    for sample in samples {
        if !sample.is_finite() {
            *sample = 0.0;
            cleaned.not_finite += 1;
        } else if sample.abs() > 1.0 {
            *sample = sample.signum();
            cleaned.too_loud += 1;
        }
    }
    cleaned
}

fn mu_law(byte: u8) -> i16 {
    let byte = !byte;
    let magnitude = (((i16::from(byte & 15) << 3) + 132) << ((byte >> 4) & 7)) - 132;
    if byte & 0x80 == 0 {
        magnitude
    } else {
        -magnitude
    }
}

fn a_law(byte: u8) -> i16 {
    let byte = byte ^ 0x55;
    let mantissa = i16::from(byte & 15) << 4;
    let magnitude = match (byte >> 4) & 7 {
        0 => mantissa + 8,
        exponent => (mantissa + 0x108) << (exponent - 1),
    };
    if byte & 0x80 == 0 {
        -magnitude
    } else {
        magnitude
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn decoded(encoding: Encoding, bytes: &[u8]) -> Vec<f32> {
        let mut samples = Vec::new();
        encoding.decode(bytes, &mut samples);
        samples
    }

    #[test]
    fn each_encoding_has_silence_and_both_ends() {
        let int = |bytes| Encoding::Int { bytes };
        assert_eq!(decoded(Encoding::U8, &[128, 0, 192]), [0.0, -1.0, 0.5]);
        assert_eq!(decoded(int(2), &[0, 0, 0, 0x80, 0, 0x40]), [0.0, -1.0, 0.5]);
        assert_eq!(decoded(int(3), &[0, 0, 0x80, 0, 0, 0x40, 9]), [-1.0, 0.5]);
        assert_eq!(decoded(int(4), &[0, 0, 0, 0xc0]), [-0.5]);
        assert_eq!(decoded(Encoding::F32, &0.25f32.to_le_bytes()), [0.25]);
        assert_eq!(decoded(Encoding::F64, &(-0.25f64).to_le_bytes()), [-0.25]);
        // G.711, tables 1 and 2: the loudest values and the smallest.
        let scaled = |samples: Vec<f32>| -> Vec<i32> {
            samples
                .iter()
                .map(|sample| (sample * 32768.0) as i32)
                .collect()
        };
        let mu = decoded(Encoding::MuLaw, &[0x00, 0x80, 0xff, 0x7f, 0xf0]);
        assert_eq!(scaled(mu), [-32124, 32124, 0, 0, 120]);
        let a = decoded(Encoding::ALaw, &[0x2a, 0xaa, 0xd5, 0x55]);
        assert_eq!(scaled(a), [-32256, 32256, 8, -8]);
    }

    #[test]
    fn what_is_no_number_is_silence_and_what_is_too_loud_is_clipped() {
        let mut samples = [
            f32::NAN,
            f32::INFINITY,
            f32::NEG_INFINITY,
            2.0,
            -1e30,
            0.5,
            -1.0,
        ];
        let cleaned = clean(&mut samples);
        assert_eq!(samples, [0.0, 0.0, 0.0, 1.0, -1.0, 0.5, -1.0]);
        assert_eq!(
            cleaned,
            Cleaned {
                not_finite: 3,
                too_loud: 2
            }
        );
    }
}
