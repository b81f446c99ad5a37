//! One request and its answer, tried again while that may help and there is time.

use std::pin::pin;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures::future::{Either, select};
use http::header::CONTENT_LENGTH;
use http_body_util::{BodyExt, Full, Limited};
use s3_protocol::answer::Answered;
use s3_protocol::requests::Request;
use spin_sdk::time::sleep;

use crate::outage::{self, Leave};
use crate::wit::Error;

/// The largest answer, in bytes: it is held in memory.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// The longest first pause between two attempts; each further one may be twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The longest pause between two attempts.
const MAX_PAUSE: Duration = Duration::from_secs(2);

/// A write may take this much longer for each MiB of its content.
const TIME_PER_MIB: Duration = Duration::from_secs(1);

/// An answer of the 200s.
pub struct Answer {
    /// Names in lower case; values that are no text are left out.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// Why a call was given up: the last attempt's reason.
#[derive(Debug)]
pub enum Failure {
    NoAnswer(String),
    Answered(Answered),
    Nonsense,
}

/// A call that was given up.
#[derive(Debug)]
pub struct Failed {
    operation: &'static str,
    pub attempts: u32,
    pub failure: Failure,
}

impl Failed {
    pub fn is_absent(&self) -> bool {
        matches!(&self.failure, Failure::Answered(answered) if answered.is_absent())
    }

    pub fn is_conflict(&self) -> bool {
        matches!(&self.failure, Failure::Answered(answered) if answered.is_conflict())
    }

    pub fn is_not_implemented(&self) -> bool {
        matches!(&self.failure, Failure::Answered(answered) if answered.is_not_implemented())
    }

    pub fn is_no_upload(&self) -> bool {
        matches!(&self.failure, Failure::Answered(answered) if answered.is_no_upload())
    }
}

impl From<Failed> for Error {
    fn from(failed: Failed) -> Self {
        let operation = failed.operation;
        let why = match &failed.failure {
            Failure::NoAnswer(why) => why.clone(),
            Failure::Answered(answered) => answered.to_string(),
            Failure::Nonsense => "its answer was not understood".to_owned(),
        };
        let attempts = match failed.attempts {
            0 | 1 => String::new(),
            attempts => format!(" (the last of {attempts} attempts)"),
        };
        let text = format!("{operation}: {why}{attempts}");
        match failed.failure {
            Failure::Answered(answered) if !answered.may_pass() => Self::Refused(text),
            _ => Self::Unavailable(text),
        }
    }
}

/// When a call must have ended, with all its requests, and how long one attempt may take.
#[derive(Clone, Copy)]
pub struct Patience {
    call: Duration,
    attempt: Duration,
    until: Instant,
}

impl Patience {
    /// Of a call that begins now.
    pub fn new(call: Duration, attempt: Duration) -> Self {
        Self {
            call,
            attempt,
            until: Instant::now() + call,
        }
    }

    /// The same, of a call that begins now.
    pub fn renewed(self) -> Self {
        Self::new(self.call, self.attempt)
    }

    /// The same, of a call that writes so many bytes.
    pub fn for_bytes(self, bytes: usize) -> Self {
        Self {
            until: self.until + time_for(bytes),
            ..self
        }
    }

    /// There is no time left.
    pub fn is_over(self) -> bool {
        Instant::now() >= self.until
    }
}

/// What writing so many bytes may take longer.
fn time_for(bytes: usize) -> Duration {
    TIME_PER_MIB.saturating_mul(u32::try_from(bytes >> 20).unwrap_or(u32::MAX))
}

/// Sends what `request` makes for the time it is told, until it goes well, is decided, or the call's time
/// is over. `read` makes of the answer what is wanted; none: it was none of S3's.
pub async fn ask<T>(
    operation: &'static str,
    patience: Patience,
    request: impl Fn(u64) -> Request,
    read: impl Fn(Answer) -> Option<T>,
) -> Result<T, Failed> {
    let failed = |attempts, failure| Failed {
        operation,
        attempts,
        failure,
    };
    let leave = outage::ask();
    if leave == Leave::Not {
        let down = "S3 did not answer a moment ago".to_owned();
        return Err(failed(0, Failure::NoAnswer(down)));
    }
    let deadline = patience.until;
    let mut attempts = 0;
    loop {
        let request = request(now());
        let longest = patience.attempt + time_for(request.body.len());
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let late = "the call's time is over".to_owned();
            return Err(failed(attempts, Failure::NoAnswer(late)));
        }
        attempts += 1;
        let failure = match attempt(request, longest.min(left)).await {
            Ok(answer) => match read(answer) {
                Some(read) => {
                    outage::answered();
                    return Ok(read);
                }
                None => Failure::Nonsense,
            },
            Err(Failure::Answered(answered)) if !answered.is_worth_another() => {
                outage::answered();
                return Err(failed(attempts, Failure::Answered(answered)));
            }
            Err(failure) => failure,
        };
        let pause = pause(attempts);
        if leave == Leave::Once || Instant::now() + pause >= deadline {
            outage::given_up();
            return Err(failed(attempts, failure));
        }
        sleep(pause).await;
    }
}

async fn attempt(request: Request, patience: Duration) -> Result<Answer, Failure> {
    let exchange = pin!(exchange(request));
    let timeout = pin!(sleep(patience));
    match select(exchange, timeout).await {
        Either::Left((answer, _)) => answer,
        Either::Right(_) => {
            let late = format!("no answer in {} ms", patience.as_millis());
            Err(Failure::NoAnswer(late))
        }
    }
}

async fn exchange(request: Request) -> Result<Answer, Failure> {
    // Neither the URL, which is signed, nor anything else of the request is shown.
    let unsent = |_| Failure::NoAnswer("the request could not be made".to_owned());
    let method = request.method;
    let mut builder = http::Request::builder().method(method).uri(&request.url);
    for (name, value) in &request.headers {
        builder = builder.header(name, value);
    }
    if !matches!(method, "GET" | "HEAD") {
        // Else the body would be sent in chunks, which S3 does not take.
        builder = builder.header(CONTENT_LENGTH, request.body.len());
    }
    let body = Full::new(Bytes::from(request.body));
    let request = builder.body(body).map_err(unsent)?;
    let broken = |_| Failure::NoAnswer("the connection broke off, or there is none".to_owned());
    let response = spin_sdk::http::send(request).await.map_err(broken)?;
    let (parts, body) = response.into_parts();
    let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await;
    let body = body.map_err(|_| Failure::NoAnswer("its answer broke off".to_owned()));
    let status = parts.status.as_u16();
    if !parts.status.is_success() {
        let body = body.map(|body| body.to_bytes()).unwrap_or_default();
        return Err(Failure::Answered(Answered::read(status, &body)));
    }
    let headers = parts.headers.iter().filter_map(|(name, value)| {
        Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
    });
    let headers: Vec<(String, String)> = headers.collect();
    let body: Vec<u8> = body?.to_bytes().into();
    let length = headers
        .iter()
        .find(|(name, _)| name == CONTENT_LENGTH.as_str());
    let length = length.and_then(|(_, length)| length.parse().ok());
    // Of HEAD there is a length and no body.
    if method != "HEAD" && length.is_some_and(|length: usize| length != body.len()) {
        return Err(Failure::NoAnswer("its answer broke off".to_owned()));
    }
    // The end of an upload is answered with 200 before S3 knows.
    if let ("POST", Some(answered)) = (method, Answered::within_success(&body)) {
        return Err(Failure::Answered(answered));
    }
    Ok(Answer { headers, body })
}

/// Seconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// A random part of the longest pause, so that many who failed at once do not come back at once.
fn pause(attempts: u32) -> Duration {
    let longest = FIRST_PAUSE
        .saturating_mul(2_u32.saturating_pow(attempts.saturating_sub(1).min(16)))
        .min(MAX_PAUSE);
    let chance = getrandom::u32().unwrap_or(0) & 0xffff;
    longest / 2 + (longest / 2).saturating_mul(chance) / 0xffff
}
