//! How much memory one instance may take.

use wasmtime::{ResourceLimiter, Result};

use crate::engine::{MAX_INSTANCE_MEMORY, MAX_TABLE_ELEMENTS};

/// The memory of one instance: that of all its composed parts together.
#[derive(Debug, Default)]
pub struct Limit {
    /// Bytes granted so far. Memories never shrink.
    granted: usize,
}

impl ResourceLimiter for Limit {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> Result<bool> {
        let granted = self.granted.saturating_add(desired.saturating_sub(current));
        if granted > MAX_INSTANCE_MEMORY {
            // A trap, not a refusal: what a guest does after a refused growth is to abort anyway,
            // and "unreachable" in the log explains nothing.
            return Err(wasmtime::Error::msg(format!(
                "the component asked for more than {} MiB of memory",
                MAX_INSTANCE_MEMORY >> 20
            )));
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
        let mut limit = Limit::default();
        let half = MAX_INSTANCE_MEMORY / 2;
        assert!(limit.memory_growing(0, half, None).unwrap());
        assert!(limit.memory_growing(0, half, None).unwrap());
        let error = limit.memory_growing(half, half + 65_536, None).unwrap_err();
        assert!(error.to_string().contains("256 MiB"), "{error}");
    }

    #[test]
    fn a_table_has_a_limit() {
        let mut limit = Limit::default();
        assert!(limit.table_growing(0, MAX_TABLE_ELEMENTS, None).unwrap());
        assert!(
            !limit
                .table_growing(0, MAX_TABLE_ELEMENTS + 1, None)
                .unwrap()
        );
    }
}
