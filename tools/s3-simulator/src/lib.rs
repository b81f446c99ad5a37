//! An S3 server in memory, for tests. The protocol is the crate `s3s`: it parses requests, checks their
//! signatures and writes the XML, independent of the clients here. What an operation does is in
//! `operations`, as S3 and R2 document it, conditions included; what goes wrong is in [`faults`].
//!
//! It knows nothing of who uses it, and keeps nothing.

pub mod faults;
mod objects;
mod operations;
mod serve;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;

use faults::Faults;
use objects::Buckets;
use tokio_util::sync::CancellationToken;

pub use objects::Object;

/// The one access key that it knows.
pub const ACCESS_KEY_ID: &str = "access-key-of-the-simulator";

/// The secret to it.
pub const SECRET_ACCESS_KEY: &str = "secret-of-the-simulator";

/// A running server, with a thread of its own; it ends when this is dropped.
#[derive(Debug)]
pub struct S3Server {
    address: SocketAddr,
    buckets: Arc<Buckets>,
    faults: Arc<Faults>,
    end: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl S3Server {
    /// Starts one on a free port of the loopback interface.
    ///
    /// # Errors
    /// No port can be bound, or no thread started.
    pub fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (buckets, faults) = (Arc::<Buckets>::default(), Arc::<Faults>::default());
        let end = CancellationToken::new();
        let serve = serve::run(
            listener,
            Arc::clone(&buckets),
            Arc::clone(&faults),
            end.clone(),
        );
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let thread = std::thread::Builder::new()
            .name("s3-simulator".to_owned())
            .spawn(move || runtime.block_on(serve))?;
        Ok(Self {
            address,
            buckets,
            faults,
            end,
            thread: Some(thread),
        })
    }

    /// Where it listens: `http://127.0.0.1:<port>`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it is told to do wrong.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Makes an empty bucket, if it is not there.
    pub fn create_bucket(&self, bucket: &str) {
        self.buckets.create(bucket);
    }

    /// Removes a bucket with all that is in it.
    pub fn remove_bucket(&self, bucket: &str) {
        self.buckets.remove(bucket);
    }

    /// An object as it is stored.
    #[must_use]
    pub fn object(&self, bucket: &str, key: &str) -> Option<Object> {
        self.buckets.object(bucket, key)
    }

    /// Stores an object, as somebody else might.
    pub fn put(&self, bucket: &str, key: &str, object: Object) {
        self.buckets.put(bucket, key, object);
    }

    /// Removes an object, as somebody else might.
    pub fn delete(&self, bucket: &str, key: &str) {
        self.buckets.delete(bucket, key);
    }

    /// All keys that begin with a text, in their order.
    #[must_use]
    pub fn keys(&self, bucket: &str, prefix: &str) -> Vec<String> {
        self.buckets.keys(bucket, prefix)
    }

    /// The most requests that were under way at the same time.
    #[must_use]
    pub fn most_at_once(&self) -> usize {
        self.faults.most_at_once()
    }

    /// Objects in parts that are neither finished nor given up.
    #[must_use]
    pub fn open_uploads(&self) -> usize {
        self.buckets.open_uploads()
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        self.end.cancel();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
