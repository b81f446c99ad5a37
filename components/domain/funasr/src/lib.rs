//! FunASR realtime protocol and the replay cursors, as a pure state machine.
