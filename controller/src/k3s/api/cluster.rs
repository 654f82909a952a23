use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::Response;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::client::{Body, ConfigExt};
use kube::{Client, Config};
use serde::de::DeserializeOwned;
use tower::util::option_layer;
use tower::{BoxError, Layer, ServiceExt};

use super::call::Call;
use super::error::{ApiError, Refused, plain};
use super::lines::Lines;

/// How long a server may take to be reached, and to answer as a whole: less than ctl waits for the controller. Where
/// there are others, they are asked sooner.
const CONNECT: Duration = Duration::from_secs(3);
const ANSWER: Duration = Duration::from_secs(8);
const ANSWER_OF_SEVERAL: Duration = Duration::from_secs(4);
/// A connection that nobody needs is kept so long.
const IDLE: Duration = Duration::from_secs(30);
/// The largest answer that is read, bytes.
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;
/// The largest refusal.
const MAX_REFUSAL_BYTES: usize = 256 * 1024;

/// One server of the API.
struct Server {
    url: String,
    config: Config,
    client: Mutex<Client>,
}

/// The API of one cluster, which one or more servers answer.
pub struct Cluster {
    servers: Vec<Server>,
    /// The one that answered last.
    best: AtomicUsize,
    answer: Duration,
}

impl std::fmt::Debug for Cluster {
    /// Without credentials.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.urls()).finish()
    }
}

/// How one server failed.
enum Failure {
    /// It may be that another one does better.
    Next(String),
    /// This is the API's answer.
    Final(ApiError),
}

impl Cluster {
    /// From how its servers are reached.
    pub(super) fn new(configs: Vec<Config>) -> Result<Self, String> {
        let server = |config: Config| {
            let client = client(&config).map_err(|error| error.to_string())?;
            let url = config.cluster_url.to_string().trim_end_matches('/').to_owned();
            Ok(Server { url, config, client: Mutex::new(client) })
        };
        let servers = configs.into_iter().map(server).collect::<Result<Vec<_>, String>>()?;
        let answer = if servers.len() > 1 { ANSWER_OF_SEVERAL } else { ANSWER };
        Ok(Self { servers, best: AtomicUsize::new(0), answer })
    }

    /// The servers' addresses: `https://HOST:PORT`.
    pub fn urls(&self) -> impl Iterator<Item = &str> {
        self.servers.iter().map(|server| server.url.as_str())
    }

    /// Asks, and reads the answer.
    ///
    /// # Errors
    /// When no server answers in time, the API refuses, or the answer is not what it should be.
    pub async fn ask<T: DeserializeOwned>(&self, call: Call) -> Result<T, ApiError> {
        let (server, bytes) = self.answered(&call).await?;
        serde_json::from_slice(&bytes).map_err(|error| ApiError::Strange {
            what: call.what,
            server,
            reason: plain(&error.to_string()),
        })
    }

    /// The same where there may be no such object.
    ///
    /// # Errors
    /// As above.
    pub async fn look<T: DeserializeOwned>(&self, call: Call) -> Result<Option<T>, ApiError> {
        match self.ask(call).await {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Asks for what is not JSON, or does not count.
    ///
    /// # Errors
    /// As above.
    pub async fn bytes(&self, call: Call) -> Result<Vec<u8>, ApiError> {
        Ok(self.answered(&call).await?.1)
    }

    /// Asks for what comes bit by bit, without an end in time. The answer's first bytes have a bound, what follows has
    /// none.
    ///
    /// # Errors
    /// As above.
    pub async fn lines(&self, call: Call) -> Result<Lines, ApiError> {
        self.in_turn(&call, |server| {
            let call = &call;
            async move {
                let response = server.send(call, self.answer).await?;
                Ok(Lines::new(&call.what, &server.url, response.into_body()))
            }
            .boxed()
        })
        .await
    }

    async fn answered(&self, call: &Call) -> Result<(String, Vec<u8>), ApiError> {
        self.in_turn(call, |server| {
            async move {
                let whole = async {
                    let response = server.send(call, self.answer).await?;
                    let bytes = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await;
                    bytes.map(|bytes| bytes.to_bytes().to_vec()).map_err(|error| server.broken(call, &*error))
                };
                match tokio::time::timeout(self.answer, whole).await {
                    Ok(bytes) => Ok((server.url.clone(), bytes?)),
                    Err(_) => Err(server.silent(self.answer)),
                }
            }
            .boxed()
        })
        .await
    }

    /// Lets one server after another try, the one that answered last first.
    async fn in_turn<'a, T>(
        &'a self,
        call: &'a Call,
        attempt: impl Fn(&'a Server) -> BoxFuture<'a, Result<T, Failure>>,
    ) -> Result<T, ApiError> {
        let (first, count) = (self.best.load(Ordering::Relaxed), self.servers.len());
        let mut tried = Vec::new();
        let mut refused = None;
        for number in (0..count).map(|number| (first + number) % count) {
            let Some(server) = self.servers.get(number) else { continue };
            match attempt(server).await {
                Ok(answer) => {
                    self.best.store(number, Ordering::Relaxed);
                    return Ok(answer);
                }
                // A server that is up before its store is.
                Err(Failure::Final(error)) if matches!(error.code(), Some(502..=504)) && count > 1 => {
                    tried.push(error.to_string());
                    refused = Some(error);
                }
                Err(Failure::Final(error)) => {
                    self.best.store(number, Ordering::Relaxed);
                    return Err(error);
                }
                Err(Failure::Next(reason)) => tried.push(format!("{}: {reason}", server.url)),
            }
        }
        Err(refused.unwrap_or(ApiError::Unreachable { what: call.what.clone(), tried }))
    }
}

impl Server {
    async fn send(&self, call: &Call, within: Duration) -> Result<Response<Body>, Failure> {
        let request = call.request().map_err(Failure::Final)?.map(Body::from);
        let client = self.client.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let response = match tokio::time::timeout(within, client.send(request)).await {
            Err(_) => return Err(self.silent(within)),
            Ok(Err(error)) => return Err(Failure::Next(chain(&error))),
            Ok(Ok(response)) => response,
        };
        let code = response.status().as_u16();
        if response.status().is_success() {
            return Ok(response);
        }
        let body = Limited::new(response.into_body(), MAX_REFUSAL_BYTES).collect();
        let body = match tokio::time::timeout(within, body).await {
            Ok(Ok(body)) => body.to_bytes(),
            _ => Default::default(),
        };
        Err(Failure::Final(Box::new(Refused::read(&call.what, &self.url, code, &body)).into()))
    }

    /// What it would have said is not waited for, and its connections are not trusted any more.
    fn silent(&self, within: Duration) -> Failure {
        if let Ok(fresh) = client(&self.config) {
            *self.client.lock().unwrap_or_else(PoisonError::into_inner) = fresh;
        }
        Failure::Next(format!("no answer within {} s", within.as_secs()))
    }

    fn broken(&self, call: &Call, error: &(dyn std::error::Error + 'static)) -> Failure {
        if !error.is::<LengthLimitError>() {
            return Failure::Next(chain(error));
        }
        Failure::Final(ApiError::Strange {
            what: call.what.clone(),
            server: self.url.clone(),
            reason: format!("more than {MAX_ANSWER_BYTES} bytes"),
        })
    }
}

/// An error with all of its causes, each said once.
pub(super) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let one = error.to_string();
        if text.is_empty() || one.contains(&text) {
            text = one;
        } else if !text.contains(&one) {
            text = format!("{text}: {one}");
        }
        next = error.source();
    }
    let text = plain(&text);
    text.strip_prefix("ServiceError: ").unwrap_or(&text).to_owned()
}

/// A client of one server. Not kube's usual one, which retries and logs by itself.
fn client(config: &Config) -> kube::Result<Client> {
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_connect_timeout(Some(CONNECT));
    http.set_keepalive(Some(IDLE));
    let https = config.rustls_https_connector_with_connector(http)?;
    let mut builder = hyper_util::client::legacy::Client::builder(TokioExecutor::new());
    let service = builder.pool_idle_timeout(IDLE).build::<_, Body>(https).map_err(BoxError::from);
    let service = option_layer(config.auth_layer()?).layer(service);
    Ok(Client::new(config.base_uri_layer().layer(service), config.default_namespace.clone()))
}
