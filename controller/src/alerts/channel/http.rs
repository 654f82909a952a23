use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::header::{CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use hyper_util::rt::TokioIo;

use super::answer::Answer;
use super::dial;
use super::secret::Secret;
use super::url::Url;
use super::{SendError, SendLimits};

/// What is read of a refusal's text, bytes.
const TEXT_LIMIT_BYTES: usize = 4096;
/// A part of a path that is at least so long may be a token.
const TOKEN_BYTES: usize = 8;

/// A request to a receiver: a form's whole work is to make one.
#[derive(Debug, Clone)]
pub(in crate::alerts) struct Call {
    pub(in crate::alerts) url: Url,
    /// Beside those that every request has.
    pub(in crate::alerts) headers: Vec<(&'static str, String)>,
    /// JSON; none asks with GET.
    pub(in crate::alerts) json: Option<String>,
    /// What must not be shown if the receiver repeats it.
    pub(in crate::alerts) secrets: Vec<Secret>,
}

/// Makes the request on a connection of its own and judges the answer.
///
/// # Errors
/// [`SendError`], which names the host and no more of the address.
pub(in crate::alerts) async fn perform(
    call: &Call,
    ca_file: Option<&Path>,
    limits: &SendLimits,
) -> Result<(), SendError> {
    let shown = call.url.authority();
    let attempt = tokio::time::timeout(limits.timeout, ask(call, ca_file, limits.timeout));
    let answer = match attempt.await {
        Ok(Ok(answer)) => answer,
        Ok(Err(reason)) => return Err(SendError::Temporary(format!("{shown}: {reason}"))),
        Err(_) => return Err(SendError::Temporary(format!("{shown}: no answer in {:?}", limits.timeout))),
    };
    answer.judge(shown, &hidden(call))
}

fn hidden(call: &Call) -> Vec<String> {
    let target = call.url.target();
    let mut hidden: Vec<_> = call.secrets.iter().map(|secret| secret.expose().to_owned()).collect();
    hidden.extend((target.len() > 1).then(|| target.to_owned()));
    hidden.extend(target.split(['/', '?', '&', '=']).filter(|part| part.len() >= TOKEN_BYTES).map(str::to_owned));
    hidden.sort_by_key(|text| std::cmp::Reverse(text.len()));
    hidden
}

async fn ask(call: &Call, ca_file: Option<&Path>, timeout: Duration) -> Result<Answer, String> {
    let url = &call.url;
    let tls = if url.is_https() { Some(dial::tls(ca_file).await?) } else { None };
    let wire = dial::connect(url.host(), url.port(), tls, timeout).await?;
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_headers(64)
        .handshake(TokioIo::new(wire))
        .await
        .map_err(|error| format!("speaking HTTP: {error}"))?;
    let request = request(call)?;
    let exchange = async {
        let mut response = sender.send_request(request).await.map_err(|error| format!("asking: {}", cause(&error)))?;
        let status = response.status().as_u16();
        let header = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let mut text = Vec::new();
        // What a receiver that took the message writes, nobody reads. Of a refusal it is only a hint: as far as it came.
        while !(200..300).contains(&status) && text.len() < TEXT_LIMIT_BYTES {
            let Some(Ok(frame)) = response.frame().await else { break };
            let data = frame.into_data().unwrap_or_default();
            text.extend_from_slice(&data[..data.len().min(TEXT_LIMIT_BYTES - text.len())]);
        }
        Ok(Answer { status, retry_after: header, text: String::from_utf8_lossy(&text).into_owned() })
    };
    tokio::pin!(exchange);
    tokio::pin!(connection);
    // The connection's own end says nothing that the exchange does not say as well.
    tokio::select! {
        answer = &mut exchange => answer,
        _ = &mut connection => exchange.await,
    }
}

fn request(call: &Call) -> Result<Request<Full<Bytes>>, String> {
    let method = if call.json.is_some() { "POST" } else { "GET" };
    let mut request = Request::builder()
        .method(method)
        .uri(call.url.target())
        .header(HOST, call.url.authority())
        .header(USER_AGENT, concat!("rackhaven/", env!("CARGO_PKG_VERSION")));
    if call.json.is_some() {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    for (name, value) in &call.headers {
        request = request.header(*name, value);
    }
    let body = Full::new(Bytes::from(call.json.clone().unwrap_or_default()));
    request.body(body).map_err(|_| "its address or token holds what HTTP does not allow".to_owned())
}

/// The innermost reason: hyper's own words say only what it was doing.
fn cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    super::message::clean(&error.to_string())
}
