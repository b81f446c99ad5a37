//! What makes an application of what was read.
