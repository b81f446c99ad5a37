//! How the inference service is asked: as `http-routes` asks it.

pub use inference_client::resolve;
