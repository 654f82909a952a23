//! The agent's way to the controller: dial, one session, again.

mod back_off;
mod backup;
mod node;
mod power;
mod renewal;
mod session;

use std::sync::Arc;
use std::time::Duration;

use rackhaven_pki::Credentials;
use rackhaven_pki::client::{DialError, channel, dial, tls};
use rackhaven_pki::clock::TrustClock;
use rackhaven_proto::model::{Endpoint, NodeName};
use tonic::Code;
use tonic::transport::Channel;

pub use back_off::BackOff;
pub use node::{Node, Parts, Request};
pub use session::SessionEnd;

use crate::service;
use crate::state::{StateFolder, save_identity};
use crate::trust::BoardTrust;

/// A session that lasted so long counts as a success: the next wait is short again, milliseconds.
const GOOD_SESSION_MS: u64 = 30_000;

/// Who the node is, and where it keeps that.
pub struct Link {
    folder: StateFolder,
    credentials: Credentials,
    trust: Arc<BoardTrust>,
    renew_unix_s: i64,
    kept_floor_unix_s: i64,
}

/// How one attempt ended.
enum Attempt {
    /// There was a session, for so long in milliseconds.
    Session(u64, SessionEnd),
    /// There was none.
    Failed(String),
}

impl Link {
    /// As the holder of `credentials`, with the clock that certificates are judged by.
    pub fn new(folder: StateFolder, credentials: Credentials, trust: Arc<BoardTrust>) -> Self {
        let kept_floor_unix_s = trust.floor_unix_s();
        let renew_unix_s = renew_unix_s(&credentials);
        Self { folder, credentials, trust, renew_unix_s, kept_floor_unix_s }
    }

    /// The node's name, from its certificate.
    ///
    /// # Errors
    /// When the identity is a user's.
    pub fn node_name(&self) -> Result<NodeName, String> {
        match &self.credentials.identity.subject {
            rackhaven_pki::Subject::Node(name) => Ok(name.clone()),
            user => Err(format!("the identity is of {user}, not of a node")),
        }
    }

    /// Dials, holds a session, and dials again, until the node says that it stops.
    ///
    /// # Errors
    /// When the identity cannot be used at all.
    pub async fn run(&mut self, node: &mut Node) -> Result<(), String> {
        let name = self.node_name()?;
        let mut back_off = BackOff::default();
        let mut last_failure = String::new();
        loop {
            match self.attempt(node).await {
                Attempt::Session(_, SessionEnd::Stop) => return Ok(()),
                Attempt::Session(_, SessionEnd::Reconnect) => {
                    back_off.reset();
                    continue;
                }
                Attempt::Session(lasted_ms, SessionEnd::Lost(reason)) => {
                    if lasted_ms >= GOOD_SESSION_MS {
                        back_off.reset();
                    }
                    tracing::warn!("the session was lost: {reason}");
                    service::status(&format!("node {name}: the session was lost: {reason}"));
                    last_failure.clear();
                }
                Attempt::Failed(reason) => {
                    if reason != last_failure {
                        tracing::warn!("no session: {reason}");
                        service::status(&format!("node {name}: no session: {reason}"));
                    }
                    last_failure = reason;
                }
            }
            let jitter =
                rackhaven_pki::random().map_or(0.5, |bytes| f64::from(u32::from_le_bytes(bytes)) / 4_294_967_296.0);
            let wait = Duration::from_millis(back_off.next_ms(jitter));
            if node.idle(wait).await {
                return Ok(());
            }
        }
    }

    async fn attempt(&mut self, node: &mut Node) -> Attempt {
        // Into a black hole this takes its time, in which the node goes on.
        let channel = tokio::select! {
            channel = self.prepare() => match channel {
                Ok(channel) => channel,
                Err(reason) => return Attempt::Failed(reason),
            },
            () = node.obey_until_stop() => return Attempt::Session(0, SessionEnd::Stop),
        };
        let began_ms = node.clock().monotonic_ms();
        let end = node.session(self, channel.clone()).await;
        let lasted_ms = node.clock().monotonic_ms().saturating_sub(began_ms);
        match end {
            Ok(end) => Attempt::Session(lasted_ms, end),
            Err(status) if status.code() == Code::Unauthenticated => {
                // The board's clock may not know that the certificate has expired; the controller does.
                match self.renew(&channel).await {
                    Ok(()) => Attempt::Session(lasted_ms, SessionEnd::Reconnect),
                    Err(renewal) => Attempt::Failed(format!("{} ({})", status.message(), renewal.message())),
                }
            }
            Err(status) => Attempt::Failed(status.message().to_owned()),
        }
    }

    /// A connection, and a certificate that is not about to end.
    async fn prepare(&mut self) -> Result<Channel, String> {
        let channel = self.connect().await?;
        if self.renewal_due()
            && let Err(status) = self.renew(&channel).await
        {
            // Only an expired certificate cannot do without; that shows in a moment.
            self.renewal_failed(status.message());
        }
        Ok(channel)
    }

    /// A connection to the first endpoint that answers as our controller.
    async fn connect(&self) -> Result<Channel, String> {
        let trust: Arc<dyn TrustClock> = Arc::clone(&self.trust) as Arc<dyn TrustClock>;
        let config = tls(&self.credentials, trust).map_err(|error| error.to_string())?;
        let server_name = self.credentials.cluster_id.server_name();
        let mut reasons = Vec::new();
        for endpoint in &self.credentials.endpoints {
            match dial(endpoint, &config, &server_name).await {
                Ok(stream) => return channel(stream).await.map_err(|error| format!("{endpoint}: {error}")),
                Err(error @ (DialError::Unreachable { .. } | DialError::Untrusted { .. })) => {
                    reasons.push(error.to_string());
                }
            }
        }
        Err(reasons.join("; "))
    }

    fn renewal_due(&self) -> bool {
        self.renew_unix_s <= self.trust.likely_unix_s()
    }

    /// Renewal was refused or not answered: said, and tried again later.
    fn renewal_failed(&mut self, reason: &str) {
        tracing::warn!("the certificate was not renewed: {reason}");
        self.renew_unix_s = self.trust.likely_unix_s().saturating_add(RENEWAL_AGAIN_S);
    }

    /// The controller says that it is so late, seconds since 1970-01-01 UTC. Written down when it has moved by a day,
    /// so that the disk is not written all the time.
    fn vouched(&mut self, unix_s: i64) {
        self.trust.vouched(unix_s);
        let floor = self.trust.floor_unix_s();
        if floor >= self.kept_floor_unix_s.saturating_add(FLOOR_STEP_S) {
            match self.folder.save_clock_floor(floor) {
                Ok(()) => self.kept_floor_unix_s = floor,
                Err(error) => tracing::warn!(%error, "the clock's floor could not be kept"),
            }
        }
    }

    /// Takes up where the controller says that it can be reached; what worked before is kept as a last resort.
    fn learn_endpoints(&mut self, told: &[String]) {
        let told: Vec<Endpoint> = told.iter().filter_map(|text| text.parse().ok()).collect();
        if told.is_empty() {
            return;
        }
        let known = std::mem::take(&mut self.credentials.endpoints);
        let mut merged = told;
        for endpoint in &known {
            if !merged.contains(endpoint) && merged.len() < MAX_ENDPOINTS {
                merged.push(endpoint.clone());
            }
        }
        let changed = merged != known;
        self.credentials.endpoints = merged;
        if changed && let Err(error) = save_identity(&self.folder, &self.credentials) {
            tracing::warn!(%error, "new endpoints could not be kept");
        }
    }
}

/// Most endpoints that are kept.
const MAX_ENDPOINTS: usize = 8;
/// When a renewal that failed is tried again, seconds.
const RENEWAL_AGAIN_S: i64 = 60;
/// The clock's floor is written down when it has moved by so much, seconds: a write a day.
const FLOOR_STEP_S: i64 = 24 * 3600;

/// When a certificate wants renewing; at once if it cannot be read.
fn renew_unix_s(credentials: &Credentials) -> i64 {
    credentials.certificate().map_or(0, |info| info.renew_unix_s())
}
