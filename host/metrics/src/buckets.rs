//! The bounds of histograms, by what is measured. Every bound is a line for every series at every
//! scrape: few, and where decisions are made.

/// What the host does itself, in seconds: from a read of the store to a call that is cut off.
pub(crate) const WORK_SECONDS: [f64; 14] = [
    0.000_1, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 15.0, 60.0,
];

/// What an app observes under a name that ends in `_seconds`: up to what a stream that catches up
/// after an hour has.
const APP_SECONDS: [f64; 14] = [
    0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 60.0, 300.0, 1_200.0, 3_600.0,
];

/// Under a name that ends in `_bytes`.
const APP_BYTES: [f64; 10] = [
    64.0,
    256.0,
    1_024.0,
    4_096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
];

/// Under any other name: counts of something.
const APP_COUNTS: [f64; 10] = [
    1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 1_000.0, 10_000.0, 100_000.0,
];

/// The bounds for an app's histogram of this name.
pub(crate) fn of_app(name: &str) -> &'static [f64] {
    if name.ends_with("_seconds") {
        &APP_SECONDS
    } else if name.ends_with("_bytes") {
        &APP_BYTES
    } else {
        &APP_COUNTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_rise() {
        for bounds in [&WORK_SECONDS[..], &APP_SECONDS, &APP_BYTES, &APP_COUNTS] {
            assert!(bounds.is_sorted_by(|a, b| a < b), "{bounds:?}");
        }
    }

    #[test]
    fn the_unit_chooses() {
        assert_eq!(of_app("latency_seconds"), APP_SECONDS);
        assert_eq!(of_app("chunk_bytes"), APP_BYTES);
        assert_eq!(of_app("seconds_left"), APP_COUNTS);
    }
}
