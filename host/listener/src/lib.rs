//! One port for HTTP and WebSocket.
