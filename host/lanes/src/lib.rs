//! Lanes, timers and sockets: the host half of realtime:sockets, without wasm.
