//! A request's body on its way to a component: bounded in size, and in how long the client may pause.
//! What it was over is kept for the answer, since all that a component sees is a body that broke off.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use listener::RequestBody;
use wasmtime_wasi_http::Error;

/// How a body has come so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Arrival {
    /// All that was asked for is there.
    InTime = 0,
    /// The client is waited for.
    AwaitsClient = 1,
    /// It is over the limit and was broken off.
    TooLarge = 2,
    /// The client paused for too long, and it was broken off.
    TooSlow = 3,
}

/// Where it is kept.
#[derive(Clone, Debug, Default)]
pub struct Watch(Arc<AtomicU8>);

impl Watch {
    /// What there is to say of the body.
    pub fn arrival(&self) -> Arrival {
        match self.0.load(Ordering::Acquire) {
            0 => Arrival::InTime,
            1 => Arrival::AwaitsClient,
            2 => Arrival::TooLarge,
            _ => Arrival::TooSlow,
        }
    }

    fn set(&self, arrival: Arrival) {
        self.0.store(arrival as u8, Ordering::Release);
    }
}

/// How much of a body is taken, and how long it is waited for.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// Bytes in all.
    pub bytes: u64,
    /// Without one more byte for so long it is given up.
    pub idle: Duration,
}

/// A request's body that breaks off, and says so, when it is over a limit.
pub struct LimitedBody<B = RequestBody> {
    body: B,
    limits: BodyLimits,
    left: u64,
    /// Set while the client is waited for.
    waiting: Option<awake::Sleep>,
    watch: Watch,
}

impl<B> LimitedBody<B> {
    /// The same body within these limits.
    pub fn new(body: B, limits: BodyLimits, watch: Watch) -> Self {
        Self {
            body,
            limits,
            left: limits.bytes,
            waiting: None,
            watch,
        }
    }

    /// Whether it came too slowly; if not, the task is woken when it did.
    fn is_too_slow(&mut self, cx: &mut Context<'_>) -> bool {
        let idle = self.limits.idle;
        let waiting = self.waiting.get_or_insert_with(|| awake::sleep(idle));
        Pin::new(waiting).poll(cx).is_ready()
    }
}

impl<B> Body for LimitedBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Error>,
{
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Pending if self.is_too_slow(cx) => {
                self.watch.set(Arrival::TooSlow);
                return Poll::Ready(Some(Err(Error::ConnectionReadTimeout)));
            }
            Poll::Pending => {
                self.watch.set(Arrival::AwaitsClient);
                return Poll::Pending;
            }
            Poll::Ready(frame) => frame,
        };
        self.waiting = None;
        self.watch.set(Arrival::InTime);
        let frame = match frame {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
            None => return Poll::Ready(None),
        };
        let length = frame.data_ref().map_or(0, |data| data.len() as u64);
        match self.left.checked_sub(length) {
            Some(left) => {
                self.left = left;
                Poll::Ready(Some(Ok(frame)))
            }
            None => {
                self.watch.set(Arrival::TooLarge);
                let limit = Some(self.limits.bytes);
                Poll::Ready(Some(Err(Error::HttpRequestBodySize(limit))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Bytes of a body that are waited for before anything else is done with its request: a client that
/// sends them slowly holds a connection, and nothing of a component.
pub const EARLY_BYTES: usize = 64 << 10;

/// A body whose beginning is there.
pub struct BegunBody<B = RequestBody> {
    early: VecDeque<Frame<Bytes>>,
    /// None when all of it is there.
    rest: Option<LimitedBody<B>>,
}

impl<B> BegunBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Error>,
{
    /// Waits for [`EARLY_BYTES`], or all of it if it is shorter.
    ///
    /// # Errors
    /// It broke off, or is over a limit.
    pub async fn wait_for(mut body: LimitedBody<B>) -> Result<Self, Error> {
        let mut data = BytesMut::new();
        let mut trailers = None;
        let mut is_whole = body.is_end_stream();
        while !is_whole && data.len() < EARLY_BYTES {
            match std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
                Some(frame) => {
                    match frame?.into_data() {
                        // Copied: a piece of one byte holds the whole buffer that it was read into.
                        Ok(piece) => data.extend_from_slice(&piece),
                        Err(other) => trailers = Some(other),
                    }
                    is_whole = body.is_end_stream();
                }
                None => is_whole = true,
            }
        }
        let data = (!data.is_empty()).then(|| Frame::data(data.freeze()));
        Ok(Self {
            early: data.into_iter().chain(trailers).collect(),
            rest: (!is_whole).then_some(body),
        })
    }

    /// A body of which nothing is asked for before the component does: who waits for `100 Continue` gets it
    /// from the first look at the body.
    pub fn unasked(body: LimitedBody<B>) -> Self {
        Self {
            early: VecDeque::new(),
            rest: (!body.is_end_stream()).then_some(body),
        }
    }

    /// Whether there is nothing left to wait for.
    pub fn is_whole(&self) -> bool {
        self.rest.is_none()
    }
}

impl<B> Body for BegunBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Error>,
{
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Some(frame) = self.early.pop_front() {
            return Poll::Ready(Some(Ok(frame)));
        }
        match &mut self.rest {
            Some(rest) => Pin::new(rest).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.early.is_empty() && self.rest.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let early: usize = self
            .early
            .iter()
            .filter_map(Frame::data_ref)
            .map(Bytes::len)
            .sum();
        let early = early as u64;
        let rest = match &self.rest {
            Some(rest) => rest.size_hint(),
            None => SizeHint::with_exact(0),
        };
        let mut hint = SizeHint::new();
        hint.set_lower(early.saturating_add(rest.lower()));
        if let Some(upper) = rest.upper() {
            hint.set_upper(early.saturating_add(upper));
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::collections::VecDeque;

    use http_body_util::BodyExt;

    use super::*;

    const LIMITS: BodyLimits = BodyLimits {
        bytes: 10,
        idle: Duration::from_millis(20),
    };

    /// Gives its pieces, then stays silent or ends.
    struct Pieces(VecDeque<&'static [u8]>, bool);

    impl Body for Pieces {
        type Data = Bytes;
        type Error = Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
            match self.0.pop_front() {
                Some(piece) => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(piece))))),
                None if self.1 => Poll::Pending,
                None => Poll::Ready(None),
            }
        }
    }

    async fn collected(pieces: &[&'static [u8]], stays: bool) -> (Result<usize, Error>, Arrival) {
        let watch = Watch::default();
        let pieces = Pieces(pieces.iter().copied().collect(), stays);
        let body = LimitedBody::new(pieces, LIMITS, watch.clone());
        let collected = body.collect().await.map(|body| body.to_bytes().len());
        (collected, watch.arrival())
    }

    #[tokio::test]
    async fn a_body_up_to_the_limit_comes_through() {
        let (body, arrival) = collected(&[b"12345", b"67890"], false).await;
        assert_eq!((body.unwrap(), arrival), (10, Arrival::InTime));
    }

    #[tokio::test]
    async fn one_byte_more_breaks_it_off() {
        let (body, arrival) = collected(&[b"12345", b"67890", b"1"], false).await;
        assert!(matches!(body, Err(Error::HttpRequestBodySize(Some(10)))));
        assert_eq!(arrival, Arrival::TooLarge);
    }

    #[tokio::test]
    async fn a_client_that_pauses_is_given_up() {
        let (body, arrival) = collected(&[b"123"], true).await;
        assert!(matches!(body, Err(Error::ConnectionReadTimeout)));
        assert_eq!(arrival, Arrival::TooSlow);
    }

    #[tokio::test]
    async fn the_beginning_is_waited_for_and_nothing_is_lost_or_added() {
        static LARGE: [u8; EARLY_BYTES] = [b'x'; EARLY_BYTES];
        let limits = BodyLimits {
            bytes: 1 << 20,
            ..LIMITS
        };
        for (pieces, is_whole) in [
            (&[&b"12345"[..], b"", b"67890"][..], true),
            (&[], true),
            (&[&LARGE, b"and more"], false),
        ] {
            let sent: Vec<u8> = pieces.concat();
            let given = Pieces(pieces.iter().copied().collect(), false);
            let body = LimitedBody::new(given, limits, Watch::default());
            let body = BegunBody::wait_for(body).await.unwrap();
            assert_eq!(body.is_whole(), is_whole);
            let exact = is_whole.then_some(sent.len() as u64);
            assert_eq!(body.size_hint().exact(), exact);
            assert!(body.collect().await.unwrap().to_bytes() == sent);
        }
        // However small its pieces are, they are one.
        let drops = Pieces(std::iter::repeat_n(&b"x"[..], 9_000).collect(), false);
        let body = LimitedBody::new(drops, limits, Watch::default());
        let body = BegunBody::wait_for(body).await.unwrap();
        assert_eq!((body.early.len(), body.is_whole()), (1, true));
        let silent = Pieces(VecDeque::from([&b"123"[..]]), true);
        let watch = Watch::default();
        let body = LimitedBody::new(silent, limits, watch.clone());
        assert!(BegunBody::wait_for(body).await.is_err());
        assert_eq!(watch.arrival(), Arrival::TooSlow);
    }
}
