//! The doors: HTTP/1.1 over TLS.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{BoxStream, StreamExt, unfold};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::http::request::Parts;
use hyper::service::service_fn;
use hyper::{Response, header};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::Shared;
use super::faults::Fault;
use super::request::Request;
use super::status::Refusal;
use super::world::Answer;

type Body = StreamBody<BoxStream<'static, Result<Frame<Bytes>, Infallible>>>;

/// How often one that watches is told what is new.
const PACE: Duration = Duration::from_millis(10);

/// The connection ends without an answer.
#[derive(Debug)]
struct Dropped;

impl std::fmt::Display for Dropped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("dropped")
    }
}

impl std::error::Error for Dropped {}

/// Answers until dropped.
pub(super) async fn serve(listener: TcpListener, acceptor: TlsAcceptor, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        connections.spawn(serve_one(stream, acceptor.clone(), Arc::clone(&shared)));
    }
}

async fn serve_one(stream: TcpStream, acceptor: TlsAcceptor, shared: Arc<Shared>) {
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let service = service_fn(move |request| respond(request, Arc::clone(&shared)));
    // How a connection ends is the client's business.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn read(parts: Parts, body: Incoming) -> Result<Request, Dropped> {
    let header = |name: header::HeaderName| {
        parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    };
    let body = body.collect().await.map_err(|_| Dropped)?.to_bytes().to_vec();
    let mut request = Request {
        method: parts.method.to_string(),
        content_type: header(header::CONTENT_TYPE),
        user_agent: header(header::USER_AGENT),
        token: header(header::AUTHORIZATION).trim_start_matches("Bearer ").to_owned(),
        body,
        ..Request::default()
    };
    request.set_address(parts.uri.path(), parts.uri.query().unwrap_or_default());
    Ok(request)
}

async fn respond(incoming: hyper::Request<Incoming>, shared: Arc<Shared>) -> Result<Response<Body>, Dropped> {
    let (parts, body) = incoming.into_parts();
    if let Some(aside) = &shared.aside
        && ["/ping", "/cacerts", "/v1-k3s/"].iter().any(|start| parts.uri.path().starts_with(start))
    {
        let body = body.collect().await.map_err(|_| Dropped)?.to_bytes();
        let (code, text) = shared.with(|world| (aside.0)(world, &parts, &body));
        return Ok(whole(code, "text/plain", text));
    }
    let request = read(parts, body).await?;
    let fault = shared.note(&request);
    match fault {
        Some(Fault::Slow(wait)) => tokio::time::sleep(wait).await,
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::Drop) => return Err(Dropped),
        Some(Fault::Status(code)) => {
            let (reason, waits) = match code {
                429 => ("TooManyRequests", true),
                503 => ("ServiceUnavailable", true),
                _ => ("InternalError", false),
            };
            let refusal = Refusal::new(code, reason, "the double was told to refuse");
            return Ok(of_refusal(&if waits { refusal.retry_after(1) } else { refusal }));
        }
        Some(Fault::Lost) | None => {}
    }
    let answer = shared.with(|world| world.answer(&request));
    if fault == Some(Fault::Lost) {
        return Err(Dropped);
    }
    Ok(match answer {
        Ok(Answer::Json(code, body)) => whole(code, "application/json", body.to_string()),
        Ok(Answer::Text(text)) => whole(200, "text/plain", text),
        Ok(Answer::Watch(watch)) => streamed("application/json", watching(shared, watch)),
        Ok(Answer::Follow(follow)) => streamed("text/plain", following(shared, follow)),
        Err(refusal) => of_refusal(&refusal),
    })
}

fn of_refusal(refusal: &Refusal) -> Response<Body> {
    let mut response = whole(refusal.code, "application/json", refusal.body.to_string());
    let retry = refusal.body["details"]["retryAfterSeconds"].as_u64();
    if let Some(value) = retry.and_then(|seconds| seconds.to_string().parse().ok()) {
        response.headers_mut().insert(header::RETRY_AFTER, value);
    }
    response
}

fn whole(code: u16, kind: &'static str, text: String) -> Response<Body> {
    let length = text.len();
    let mut response = streamed(kind, futures_util::stream::once(async move { text.into_bytes() }).boxed());
    *response.status_mut() = hyper::StatusCode::from_u16(code).unwrap_or(hyper::StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    response
}

fn streamed(kind: &'static str, chunks: BoxStream<'static, Vec<u8>>) -> Response<Body> {
    let frames = chunks.map(|chunk| Ok(Frame::data(Bytes::from(chunk)))).boxed();
    let mut response = Response::new(StreamBody::new(frames));
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response
}

fn watching(shared: Arc<Shared>, watch: super::reads::Watch) -> BoxStream<'static, Vec<u8>> {
    unfold((shared, watch), |(shared, mut watch)| async move {
        loop {
            if watch.ended {
                return None;
            }
            let events = shared.with(|world| world.news(&mut watch));
            if !events.is_empty() {
                let lines: String = events.iter().map(|event| format!("{event}\n")).collect();
                return Some((lines.into_bytes(), (shared, watch)));
            }
            tokio::time::sleep(PACE).await;
        }
    })
    .boxed()
}

fn following(shared: Arc<Shared>, follow: super::logs::Follow) -> BoxStream<'static, Vec<u8>> {
    unfold((shared, follow), |(shared, mut follow)| async move {
        loop {
            if follow.ended {
                return None;
            }
            let new = shared.with(|world| world.further_log(&mut follow));
            if !new.is_empty() {
                return Some((new.into_bytes(), (shared, follow)));
            }
            tokio::time::sleep(PACE).await;
        }
    })
    .boxed()
}
