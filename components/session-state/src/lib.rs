//! Leaf component: owns every key of the key-value store.
