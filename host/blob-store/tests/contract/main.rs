//! What every blob store promises: each test runs against a directory and against S3. The S3 server is
//! the one in memory, or the one that `S3_TEST_ENDPOINT` names (`tools/s3-check/run`), with a bucket
//! and a key of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod objects;
mod pieces;
mod stores;

/// Each of these functions, which take a store, as a test for every store.
#[macro_export]
macro_rules! for_every_store {
    ($($name:ident),* $(,)?) => {
        mod in_a_directory {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    let kept = $crate::stores::Kept::in_a_directory();
                    super::$name(kept.store()).await;
                }
            )*
        }
        mod on_s3 {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    let kept = $crate::stores::Kept::on_s3();
                    super::$name(kept.store()).await;
                }
            )*
        }
    };
}
