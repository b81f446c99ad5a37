//! Streams an audio file into the gateway.

fn main() {}
