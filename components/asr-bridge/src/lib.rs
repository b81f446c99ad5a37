//! Leaf component: the FunASR state machine behind WIT.
wit_bindgen::generate!({path:"../../wit", world:"asr-bridge-component"});
