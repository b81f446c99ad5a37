//! The DashScope realtime ASR protocol, answered by a simulator.
