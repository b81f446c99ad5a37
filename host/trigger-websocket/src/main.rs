//! The host: wasmtime, composed components, one port.

fn main() {}
