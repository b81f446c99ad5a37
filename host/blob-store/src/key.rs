//! Which keys are taken.
