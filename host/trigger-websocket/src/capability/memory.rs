//! How much memory one instance may take.

use wasmtime::{ResourceLimiter, Result};

use crate::engine::MAX_TABLE_ELEMENTS;

/// The memory of one instance: that of all its composed parts together.
#[derive(Debug)]
pub struct Limit {
    /// Bytes granted so far. Memories never shrink.
    granted: usize,
    most: usize,
}

/// Why an instance ended.
#[derive(Debug, thiserror::Error)]
#[error("the component asked for more than {} MiB of memory", .most >> 20)]
pub struct TooMuchMemory {
    most: usize,
}

impl Limit {
    /// At most so many bytes.
    pub fn new(most: usize) -> Self {
        Self { granted: 0, most }
    }
}

impl ResourceLimiter for Limit {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> Result<bool> {
        let granted = self.granted.saturating_add(desired.saturating_sub(current));
        if granted > self.most {
            // A trap, not a refusal: what a guest does after a refused growth is to abort anyway,
            // and "unreachable" in the log explains nothing.
            return Err(wasmtime::Error::new(TooMuchMemory { most: self.most }));
        }
        self.granted = granted;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> Result<bool> {
        Ok(desired <= MAX_TABLE_ELEMENTS)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn the_parts_share_one_limit() {
        let most = 256 << 20;
        let mut limit = Limit::new(most);
        let half = most / 2;
        assert!(limit.memory_growing(0, half, None).unwrap());
        assert!(limit.memory_growing(0, half, None).unwrap());
        let error = limit.memory_growing(half, half + 65_536, None).unwrap_err();
        assert!(error.to_string().contains("256 MiB"), "{error}");
    }

    #[test]
    fn a_table_has_a_limit() {
        let mut limit = Limit::new(0);
        assert!(limit.table_growing(0, MAX_TABLE_ELEMENTS, None).unwrap());
        assert!(
            !limit
                .table_growing(0, MAX_TABLE_ELEMENTS + 1, None)
                .unwrap()
        );
    }
}
