//! What an app can make the host keep, by name. What is over a limit is dropped and counted
//! (`host_app_figures_dropped_total`): a figure that is missing is better than a host without memory.

/// Names of an app's figures, of all its components together.
pub const MAX_NAMES: usize = 64;

/// Series of one name: combinations of labels.
pub const MAX_SERIES: usize = 64;

/// Labels of one series.
pub const MAX_LABELS: usize = 4;

/// Bytes of a name, and of a label's name.
pub const MAX_NAME_BYTES: usize = 64;

/// Bytes of a label's value.
pub const MAX_LABEL_BYTES: usize = 64;

/// Contributions of lanes to levels, of all lanes and levels together: four for every lane that the
/// host can have.
pub const MAX_LEVELS: usize = 65_536;

/// Bytes of the name of a lane that has levels.
pub const MAX_LANE_BYTES: usize = 512;
