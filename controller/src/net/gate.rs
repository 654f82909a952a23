use std::convert::Infallible;
use std::sync::Arc;

use http::{Request, Response};
use hyper::body::Incoming;
use tonic::Status;
use tonic::body::Body;
use tonic::service::Routes;
use tower::ServiceExt;

use super::{Peer, Proof};
use crate::access::{Caller, Denial, decide, short_name};
use crate::core::Core;

/// Who called and from where; in the extensions of every request that passed the gate.
#[derive(Debug, Clone)]
pub struct CallContext {
    /// Who.
    pub caller: Caller,
    /// The peer's address.
    pub origin: String,
    /// The address without its port.
    pub host: String,
    /// Serial number of the caller's certificate, if it has one.
    pub serial: Option<String>,
}

/// Takes the context of a call out of its request.
///
/// # Errors
/// When the request did not come through the gate.
pub fn call_context<T>(request: &tonic::Request<T>) -> Result<CallContext, Status> {
    request.extensions().get::<CallContext>().cloned().ok_or_else(|| Status::internal("the call has no context"))
}

/// Lets pass what the table of methods allows, and writes down what it does not.
pub struct Gate {
    core: Arc<Core>,
    routes: Routes,
}

impl Gate {
    /// In front of `routes`.
    pub fn new(core: Arc<Core>, routes: Routes) -> Self {
        Self { core, routes: routes.prepare() }
    }

    /// The controller's parts.
    pub(super) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// Answers one request of `peer`.
    ///
    /// # Errors
    /// Never; hyper wants the form.
    pub(super) async fn answer(
        self: Arc<Self>,
        peer: Arc<Peer>,
        mut request: Request<Incoming>,
    ) -> Result<Response<Body>, Infallible> {
        let context = self.context(&peer);
        let method = request.uri().path().to_owned();
        if let Err(denial) = decide(&context.caller, &method) {
            let (status, reason) = match denial {
                Denial::Unauthenticated(reason) => (Status::unauthenticated(&reason), reason),
                Denial::NotAllowed(reason) => (Status::permission_denied(&reason), reason),
            };
            Box::pin(self.refused(&context, &method, &reason)).await;
            return Ok(status.into_http());
        }
        request.extensions_mut().insert(context.clone());
        // In a task of its own: a caller that hangs up must not stop a call between what it has stored and what follows
        // from that.
        let response = match tokio::spawn(self.routes.clone().oneshot(request.map(Body::new))).await {
            Ok(Ok(response)) => response,
            Ok(Err(never)) => match never {},
            Err(panicked) => {
                tracing::error!(method, %panicked, "a call ended in a panic");
                return Ok(Status::internal("this is a mistake in the controller; see its log").into_http());
            }
        };
        // tonic refuses a message that is too large before the service sees it.
        if response.headers().get("grpc-status").is_some_and(|code| code.as_bytes() == b"11") {
            Box::pin(self.refused(&context, &method, "a message was too large")).await;
        }
        Ok(response)
    }

    fn context(&self, peer: &Peer) -> CallContext {
        use rackhaven_pki::clock::TrustClock;
        let clock = &self.core.clock;
        let (caller, serial) = match &peer.proof {
            Proof::Nothing => (Caller::Anonymous, None),
            Proof::Local { uid } => (Caller::Local(*uid), None),
            Proof::Certificate { serial, subject } => {
                let now_s = clock.now_unix_s().max(clock.floor_unix_s());
                (self.core.directory.caller(serial, subject, now_s), Some(serial.clone()))
            }
        };
        CallContext { caller, origin: peer.address.clone(), host: peer.host().to_owned(), serial }
    }

    async fn refused(&self, context: &CallContext, method: &str, reason: &str) {
        let action: String = short_name(method).chars().filter(|c| !c.is_control()).take(80).collect();
        let outcome = format!("denied: {reason}");
        let entry = self.core.audit_entry(&context.caller, &context.origin, &action, "", &outcome);
        self.core.denials.record(&context.host, entry).await;
    }
}
