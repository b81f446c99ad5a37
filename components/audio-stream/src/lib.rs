//! x
wit_bindgen::generate!({path:"../../wit", world:"interview:gateway/audio-stream", generate_all});
