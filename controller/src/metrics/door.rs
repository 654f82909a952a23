use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::header::{ACCEPT, ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::Full;
use ring::hmac;
use tokio::sync::Mutex;

use super::config::MetricsConfig;
use super::health::{STORE_PATIENCE, Vitals};
use super::page::Form;
use super::{exposition, gather, negotiate};
use crate::access::Caller;
use crate::core::Core;

/// Who asks again within this gets the same, milliseconds: however many ask, metrics are written, and the store is asked
/// whether it lives, once a second.
const FRESH_MS: u64 = 1_000;
/// The type of a short text.
const TEXT: &str = "text/plain; charset=utf-8";

/// Answers requests.
pub(super) struct Door {
    core: Arc<Core>,
    config: MetricsConfig,
    started_unix_ms: i64,
    made: Mutex<Option<Made>>,
    judged: Mutex<Option<Judged>>,
    /// Length of the last answer, bytes.
    length: AtomicUsize,
}

struct Made {
    at_ms: u64,
    form: Form,
    text: Bytes,
}

/// What is wrong with the controller, and when that was looked at.
struct Judged {
    at_ms: u64,
    complaints: Vec<String>,
}

/// Whether somebody may read the metrics.
#[derive(Debug, PartialEq, Eq)]
enum Pass {
    Allowed,
    Denied(&'static str),
    /// The token itself cannot be read.
    Closed(String),
}

impl Door {
    pub(super) fn new(core: Arc<Core>, config: MetricsConfig) -> Self {
        let since_ms = core.clock.monotonic_ms();
        let started_unix_ms = core.clock.wall_ms().saturating_sub_unsigned(since_ms);
        Self {
            core,
            config,
            started_unix_ms,
            made: Mutex::default(),
            judged: Mutex::default(),
            length: AtomicUsize::new(0),
        }
    }

    /// Answers one request.
    pub(super) async fn answer<B>(&self, peer: SocketAddr, request: Request<B>) -> Response<Full<Bytes>> {
        let path = request.uri().path();
        if !matches!(path, "/metrics" | "/healthz") {
            return text(StatusCode::NOT_FOUND, "here are /metrics and /healthz\n".to_owned());
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let refused = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n".to_owned());
            return with(refused, ALLOW, "GET, HEAD");
        }
        if path == "/healthz" {
            return self.healthz().await;
        }
        match self.pass(request.headers()) {
            Pass::Allowed => {}
            Pass::Denied(reason) => {
                self.write_down(peer, reason).await;
                let refused = text(StatusCode::UNAUTHORIZED, format!("{reason}\n"));
                return with(refused, WWW_AUTHENTICATE, "Bearer");
            }
            Pass::Closed(reason) => {
                self.write_down(peer, &reason).await;
                return text(StatusCode::SERVICE_UNAVAILABLE, "the token cannot be read; see the log\n".to_owned());
            }
        }
        let accept = request.headers().get_all(ACCEPT).into_iter().filter_map(|value| value.to_str().ok());
        let form = negotiate::form(accept);
        match self.metrics(form).await {
            Some(metrics) => with(Response::new(Full::new(metrics)), CONTENT_TYPE, form.content_type()),
            None => text(StatusCode::INTERNAL_SERVER_ERROR, "this is a mistake in the controller\n".to_owned()),
        }
    }

    fn pass(&self, headers: &HeaderMap) -> Pass {
        let Some(source) = &self.config.token else { return Pass::Allowed };
        match source.read() {
            Ok(secret) => judge(headers, secret.expose()),
            Err(reason) => Pass::Closed(reason),
        }
    }

    /// A refusal goes where all refusals go, bounded for each address.
    async fn write_down(&self, peer: SocketAddr, reason: &str) {
        let host = peer.ip().to_canonical();
        let origin = SocketAddr::new(host, peer.port()).to_string();
        let outcome = format!("denied: {reason}");
        let entry = self.core.audit_entry(&Caller::Anonymous, &origin, "metrics", "", &outcome);
        self.core.denials.record(&host.to_string(), entry).await;
    }

    async fn healthz(&self) -> Response<Full<Bytes>> {
        let mut judged = self.judged.lock().await;
        let now_ms = self.core.clock.monotonic_ms();
        if judged.as_ref().is_none_or(|judged| now_ms - judged.at_ms >= FRESH_MS) {
            let complaints = Vitals::take(&self.core).await.complaints();
            *judged = Some(Judged { at_ms: now_ms, complaints });
        }
        match judged.as_ref().map_or(&[][..], |judged| &judged.complaints) {
            [] => text(StatusCode::OK, "ok\n".to_owned()),
            complaints => text(StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", complaints.join("\n"))),
        }
    }

    /// All metrics; none if writing them failed.
    async fn metrics(&self, form: Form) -> Option<Bytes> {
        // Who waits here gets what the one before has made.
        let mut made = self.made.lock().await;
        let now_ms = self.core.clock.monotonic_ms();
        if let Some(made) = made.as_ref().filter(|made| made.form == form && now_ms - made.at_ms < FRESH_MS) {
            return Some(made.text.clone());
        }
        let outbox = tokio::time::timeout(STORE_PATIENCE, self.core.store.outbox_lengths()).await;
        let outbox = outbox.ok().and_then(Result::ok);
        let (core, started_unix_ms) = (Arc::clone(&self.core), self.started_unix_ms);
        let before = self.length.load(Ordering::Relaxed);
        // It takes some milliseconds, in which the two workers have better things to do.
        let written = tokio::task::spawn_blocking(move || {
            let snapshot = gather::gather(&core, outbox, started_unix_ms);
            exposition::expose(&snapshot, form, before + before / 16)
        });
        let text = Bytes::from(written.await.inspect_err(|error| tracing::error!(%error, "metrics")).ok()?);
        self.length.store(text.len(), Ordering::Relaxed);
        *made = Some(Made { at_ms: now_ms, form, text: text.clone() });
        Some(text)
    }
}

/// Compares what was shown with the secret, in constant time.
fn judge(headers: &HeaderMap, secret: &str) -> Pass {
    let Some(shown) = headers.get(AUTHORIZATION) else { return Pass::Denied("a bearer token is asked for") };
    let parts = shown.to_str().ok().and_then(|text| text.split_once(' '));
    let Some((_, token)) = parts.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")) else {
        return Pass::Denied("a bearer token is asked for");
    };
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, token.trim().as_bytes());
    match hmac::verify(&key, secret.as_bytes(), tag.as_ref()) {
        Ok(()) => Pass::Allowed,
        Err(_) => Pass::Denied("the bearer token is wrong"),
    }
}

fn text(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    with(response, CONTENT_TYPE, TEXT)
}

fn with(mut response: Response<Full<Bytes>>, name: http::HeaderName, value: &'static str) -> Response<Full<Bytes>> {
    response.headers_mut().insert(name, http::HeaderValue::from_static(value));
    response.headers_mut().insert(CACHE_CONTROL, http::HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use http::header::AUTHORIZATION;
    use http::{HeaderMap, HeaderValue};

    use super::{Pass, judge};

    #[test]
    fn the_token_and_nothing_else() {
        let pass = |shown: Option<&str>| {
            let value = shown.map(|text| HeaderValue::from_str(text).unwrap());
            let headers: HeaderMap = value.into_iter().map(|value| (AUTHORIZATION, value)).collect();
            judge(&headers, "hunter2")
        };
        for good in ["Bearer hunter2", "bearer  hunter2 "] {
            assert_eq!(pass(Some(good)), Pass::Allowed, "{good}");
        }
        for wrong in ["Bearer hunter", "Bearer hunter22", "Bearer ", "Bearer HUNTER2"] {
            assert_eq!(pass(Some(wrong)), Pass::Denied("the bearer token is wrong"), "{wrong}");
        }
        for none in [None, Some("hunter2"), Some("Basic aHVudGVyMg=="), Some("")] {
            assert_eq!(pass(none), Pass::Denied("a bearer token is asked for"), "{none:?}");
        }
    }
}
