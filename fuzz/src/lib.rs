//! What several fuzz targets share: the service's frames, and the questions that every readable
//! application must answer. It must not hold rules of the product: what a target demands is said
//! there, in the words of ARCHITECTURE.md.

pub mod application;
pub mod service;
