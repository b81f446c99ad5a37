//! Tests against a store in memory.
