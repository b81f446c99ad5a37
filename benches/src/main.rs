//! CPU per chunk through the host, beside a native program.

fn main() {}
