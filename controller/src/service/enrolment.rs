use std::num::NonZeroU32;
use std::sync::Arc;

use governor::clock::DefaultClock;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};
use rackhaven_pki::{Authority, CertificateInfo, Subject, TokenId, Validity};
use rackhaven_proto::model::Severity;
use rackhaven_proto::v1::enrolment_server::Enrolment;
use rackhaven_proto::v1::{EnrolRequest, EnrolResponse, RenewRequest, SubjectKind};
use tonic::{Request, Response, Status};

use super::store_failed;
use crate::access::Caller;
use crate::core::Core;
use crate::enrolment::{Asked, Refusal, decide};
use crate::net::{CallContext, call_context};
use crate::store;

type Tries = RateLimiter<String, DefaultKeyedStateStore<String>, DefaultClock>;

/// Invitations for certificates.
pub(super) struct EnrolmentService {
    core: Arc<Core>,
    tries: Tries,
}

impl EnrolmentService {
    pub(super) fn new(core: Arc<Core>) -> Self {
        let per_minute = NonZeroU32::new(core.config.load().limits.enrolments_per_minute).unwrap_or(NonZeroU32::MIN);
        Self { core, tries: RateLimiter::keyed(Quota::per_minute(per_minute)) }
    }

    fn life_s(&self, subject: &Subject) -> i64 {
        let lives = self.core.config.load().certificates;
        match subject {
            Subject::Node(_) => lives.node_life_s,
            Subject::User(_) => lives.user_life_s,
        }
    }

    fn issue(&self, subject: &Subject, csr_der: &[u8]) -> Result<(String, CertificateInfo), Status> {
        let validity = Validity { now_unix_s: self.core.clock.wall_ms() / 1000, life_s: self.life_s(subject) };
        let identity = self.core.identity(subject.clone());
        let pem = self
            .core
            .authority
            .issue_client(&identity, csr_der, validity)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let info = CertificateInfo::from_pem(&pem).map_err(|error| Status::internal(error.to_string()))?;
        Ok((pem, info))
    }

    /// An invitation; and what the same key got by it before, because that is the same enrolment again, whose answer was
    /// lost on the way.
    async fn find(
        &self,
        token_id: &TokenId,
        key_hash: [u8; 32],
        secret: &str,
    ) -> Result<(Option<store::TokenRow>, Option<Response<EnrolResponse>>), Status> {
        let found = self.core.store.token(token_id.clone(), key_hash).await.map_err(store_failed)?;
        let Some((token, earlier)) = found else { return Ok((None, None)) };
        let answer = match earlier.filter(|_| token.secret_hash.matches(secret)) {
            None => None,
            Some(pem) => {
                let info = CertificateInfo::from_pem(&pem).map_err(|error| Status::internal(error.to_string()))?;
                let identity = info.identity().map_err(|error| Status::internal(error.to_string()))?;
                Some(self.answer(&identity.subject, pem))
            }
        };
        Ok((Some(token), answer))
    }

    fn answer(&self, subject: &Subject, certificate_pem: String) -> Response<EnrolResponse> {
        Response::new(EnrolResponse {
            certificate_pem,
            ca_pem: self.core.authority.certificate_pem().to_owned(),
            cluster_id: self.core.cluster.id.to_string(),
            cluster_name: self.core.cluster.name.clone(),
            name: subject.name().to_owned(),
            endpoints: self.core.endpoints(),
        })
    }

    async fn refuse(&self, context: &CallContext, token: &TokenId, name: &str, refusal: &Refusal) -> Status {
        let detail = match refusal {
            Refusal::WrongSecret => "wrong secret".to_owned(),
            other => other.to_string(),
        };
        let outcome = format!("denied: {detail}");
        let target =
            format!("invitation {token} {}", name.chars().filter(|c| !c.is_control()).take(63).collect::<String>());
        let entry = self.core.audit_entry(&context.caller, &context.origin, "Enrolment/Enrol", target.trim(), &outcome);
        self.core.denials.record(&context.host, entry).await;
        if let Refusal::WrongSecret = refusal
            && let Err(error) = self.core.store.count_token_failure(token.clone()).await
        {
            return store_failed(error);
        }
        match refusal {
            Refusal::NameTaken(_) => Status::already_exists(refusal.to_string()),
            Refusal::BadName(_) => Status::invalid_argument(refusal.to_string()),
            _ => Status::permission_denied(refusal.to_string()),
        }
    }
}

#[tonic::async_trait]
impl Enrolment for EnrolmentService {
    async fn enrol(&self, request: Request<EnrolRequest>) -> Result<Response<EnrolResponse>, Status> {
        let context = call_context(&request)?;
        self.tries.retain_recent();
        if self.tries.check_key(&context.host).is_err() {
            return Err(Status::resource_exhausted("too many enrolments from this address; try again in a minute"));
        }
        let request = request.into_inner();
        let kind = SubjectKind::try_from(request.kind).unwrap_or(SubjectKind::Unspecified);
        let token_id: TokenId = request.token_id.parse().map_err(super::bad_input)?;
        let key_hash = Authority::request_key_hash(&request.csr_der)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let (token, earlier) = self.find(&token_id, key_hash, &request.token_secret).await?;
        if let Some(answer) = earlier {
            return Ok(answer);
        }
        let asked =
            Asked { secret: &request.token_secret, kind, name: &request.name, fallback_name: &request.fallback_name };
        let now_ms = self.core.clock.wall_ms();
        let exists = |name: &str| self.core.registry.contains(name);
        let subject = match decide(token.as_ref(), &asked, now_ms, exists) {
            Ok(subject) => subject,
            Err(refusal) => {
                // Whoever lost the line and asks again at once may overtake its own first try.
                if matches!(refusal, Refusal::UsedUp | Refusal::NameTaken(_))
                    && let (_, Some(answer)) = self.find(&token_id, key_hash, asked.secret).await?
                {
                    return Ok(answer);
                }
                if refusal == Refusal::UsedUp {
                    let message = format!("the used-up invitation {token_id} was tried again from {}", context.host);
                    let events = &self.core.events;
                    events.observe(&self.core.clock, None, "enrolment.replayed", Severity::Warning, message).await;
                }
                return Err(self.refuse(&context, &token_id, asked.name, &refusal).await);
            }
        };
        let Some(token) = token else { return Err(Status::internal("no invitation")) };
        let (pem, info) = self.issue(&subject, &request.csr_der)?;
        let audit = self.core.audit_entry(
            &context.caller,
            &context.origin,
            "Enrolment/Enrol",
            &format!("{subject} by invitation {token_id}"),
            "ok",
        );
        let enrolment = store::Enrolment {
            token: token_id.clone(),
            purpose: token.purpose,
            subject: subject.clone(),
            labels: token.labels.clone(),
            certificate: info.clone(),
            pem: pem.clone(),
            now_ms,
            audit,
        };
        if !self.core.store.enrol(enrolment).await.map_err(store_failed)? {
            // As above.
            if let (_, Some(answer)) = self.find(&token_id, key_hash, asked.secret).await? {
                return Ok(answer);
            }
            return Err(self.refuse(&context, &token_id, asked.name, &Refusal::UsedUp).await);
        }
        self.take_up(&subject, &token, info).await;
        Ok(self.answer(&subject, pem))
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<EnrolResponse>, Status> {
        let context = call_context(&request)?;
        let subject = match &context.caller {
            Caller::Node(name) => Subject::Node(name.clone()),
            Caller::User(name, _) => Subject::User(name.clone()),
            Caller::Expired(subject) => subject.clone(),
            _ => return Err(Status::permission_denied("only the holder of a certificate can renew it")),
        };
        let (pem, info) = self.issue(&subject, &request.into_inner().csr_der)?;
        let now_ms = self.core.clock.wall_ms();
        self.core
            .store
            .store_certificate(subject.clone(), info.clone(), pem.clone(), now_ms)
            .await
            .map_err(store_failed)?;
        self.core.directory.add_certificate(info.serial, subject.clone(), info.not_after_unix_s);
        self.core.access_changed.notify_one();
        tracing::info!(%subject, "certificate renewed");
        Ok(self.answer(&subject, pem))
    }
}

impl EnrolmentService {
    /// Makes an enrolment known to the parts in memory.
    async fn take_up(&self, subject: &Subject, token: &store::TokenRow, info: CertificateInfo) {
        let core = &self.core;
        // A subject has one key after an enrolment: what it held before ends here.
        core.directory.revoke(subject, None);
        core.connections.end(subject, None);
        core.directory.add_certificate(info.serial, subject.clone(), info.not_after_unix_s);
        let verb = if token.purpose == store::TokenPurpose::Rejoin { "rejoined" } else { "enrolled" };
        match subject {
            Subject::Node(name) => {
                let (wall_ms, now_ms) = (core.clock.wall_ms(), core.clock.monotonic_ms());
                core.registry.add(name.clone(), token.labels.clone(), wall_ms, now_ms);
                let message = format!("{name} {verb}");
                core.events.observe(&core.clock, Some(name), "node.enrolled", Severity::Info, message).await;
            }
            Subject::User(name) => {
                if let store::TokenPurpose::User(role) = token.purpose {
                    core.directory.add_user(name.clone(), role);
                }
                let message = format!("user {name} logged in for the first time");
                core.events.observe(&core.clock, None, "user.enrolled", Severity::Info, message).await;
            }
        }
        core.access_changed.notify_one();
    }
}
