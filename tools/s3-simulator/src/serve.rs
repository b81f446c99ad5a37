//! The port: connections, and the faults around the protocol.

use std::convert::Infallible;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, stream};
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::faults::{Fault, Faults};
use crate::objects::Buckets;
use crate::operations::Operations;
use crate::{ACCESS_KEY_ID, SECRET_ACCESS_KEY};

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Answer = Response<BoxBody<Bytes, Failure>>;

/// Serves until the end is said.
pub(crate) async fn run(
    listener: TcpListener,
    buckets: Arc<Buckets>,
    faults: Arc<Faults>,
    end: CancellationToken,
) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
        return;
    };
    let mut builder = S3ServiceBuilder::new(Operations(buckets));
    builder.set_auth(SimpleAuth::from_single(ACCESS_KEY_ID, SECRET_ACCESS_KEY));
    let service = builder.build();
    loop {
        let accepted = tokio::select! {
            () = end.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        if let Ok((stream, _)) = accepted {
            let connection = connection(stream, service.clone(), Arc::clone(&faults));
            tokio::spawn(connection);
        }
    }
}

async fn connection(stream: TcpStream, service: S3Service, faults: Arc<Faults>) {
    let _ = stream.set_nodelay(true);
    let answer = service_fn(move |request| answer(request, service.clone(), Arc::clone(&faults)));
    // A connection that breaks is the client's affair, or a fault that was asked for.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), answer)
        .await;
}

async fn answer(
    request: Request<Incoming>,
    service: S3Service,
    faults: Arc<Faults>,
) -> Result<Answer, Failure> {
    let counted = Arc::clone(&faults);
    let _under_way = counted.begins();
    let path = request.uri().to_string();
    let Some(fault) = faults.take(request.method(), &path) else {
        return operate(&service, request).await;
    };
    match fault {
        Fault::Refuse(status, code) => {
            // As S3 does: the body is read first, or the client might not see the answer.
            let _ = request.into_body().collect().await?;
            refusal(status, code)
        }
        Fault::RefuseWithin(code) => {
            let is_removal = request.uri().query() == Some("delete");
            let body = request.into_body().collect().await?.to_bytes();
            let error = format!("<Code>{code}</Code><Message>as asked</Message>");
            if is_removal {
                let body = String::from_utf8_lossy(&body);
                let key = body.split("<Key>").nth(1);
                let key = key.and_then(|rest| rest.split("</Key>").next());
                let key = key.unwrap_or_default();
                xml(
                    200,
                    format!("<DeleteResult><Error><Key>{key}</Key>{error}</Error></DeleteResult>"),
                )
            } else {
                xml(200, format!("<Error>{error}</Error>"))
            }
        }
        Fault::Delay(time) => {
            tokio::time::sleep(time).await;
            operate(&service, request).await
        }
        Fault::Stall => std::future::pending().await,
        Fault::StallWhenDone => {
            let _ = operate(&service, request)
                .await?
                .into_body()
                .collect()
                .await;
            std::future::pending().await
        }
        Fault::Cut => Err("cut, as asked".into()),
        Fault::CutWhenDone => {
            let _ = operate(&service, request)
                .await?
                .into_body()
                .collect()
                .await;
            Err("cut, as asked".into())
        }
        Fault::CutBody(bytes) => break_off(operate(&service, request).await?, bytes, false).await,
        Fault::StallBody(bytes) => break_off(operate(&service, request).await?, bytes, true).await,
        Fault::Hold => hold(request, service, faults).await,
    }
}

async fn operate(service: &S3Service, request: Request<Incoming>) -> Result<Answer, Failure> {
    let answer = service.call(request.map(s3s::Body::from)).await;
    let answer = answer.map_err(|error| format!("{error:?}"))?;
    Ok(answer.map(BodyExt::boxed))
}

fn refusal(status: u16, code: &str) -> Result<Answer, Failure> {
    let error = format!("<Error><Code>{code}</Code><Message>as asked</Message></Error>");
    xml(status, error)
}

fn xml(status: u16, root: String) -> Result<Answer, Failure> {
    let body = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>{root}");
    let body = Full::new(Bytes::from(body)).map_err(|never: Infallible| match never {});
    let answer = Response::builder()
        .status(status)
        .header(http::header::CONTENT_TYPE, "application/xml");
    Ok(answer.body(body.boxed())?)
}

/// The answer with its length, but only so much of its body.
async fn break_off(answer: Answer, bytes: usize, stalls: bool) -> Result<Answer, Failure> {
    let (mut parts, body) = answer.into_parts();
    let body = body.collect().await?.to_bytes();
    parts
        .headers
        .insert(http::header::CONTENT_LENGTH, body.len().into());
    let begun = body.slice(..bytes.min(body.len()));
    let begun = stream::once(async move { Ok(Frame::data(begun)) });
    let rest = stream::once(async move {
        if stalls {
            std::future::pending::<()>().await;
        }
        Err(Failure::from(io::Error::other("cut, as asked")))
    });
    let body = BodyExt::boxed(StreamBody::new(begun.chain(rest)));
    Ok(Response::from_parts(parts, body))
}

/// Takes the whole request, and does it when it is released, whether or not the client is still there.
async fn hold(
    request: Request<Incoming>,
    service: S3Service,
    faults: Arc<Faults>,
) -> Result<Answer, Failure> {
    let (parts, body) = request.into_parts();
    let body = s3s::Body::from(body.collect().await?.to_bytes());
    tokio::spawn(async move {
        faults.held().await;
        let _ = service.call(Request::from_parts(parts, body)).await;
        faults.held_is_done();
    });
    std::future::pending().await
}
