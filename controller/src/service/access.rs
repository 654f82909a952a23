use std::sync::Arc;

use rackhaven_pki::Subject;
use rackhaven_proto::model::{Labels, Role, Severity, UserName};
use rackhaven_proto::v1;
use rackhaven_proto::v1::access_server::Access;
use tonic::{Request, Response, Status};

use super::fleet::{NewInvitation, store_invitation};
use super::{Answers, bad_input, store_failed};
use crate::access::Caller;
use crate::audit::first_break;
use crate::core::Core;
use crate::net::call_context;
use crate::store::TokenPurpose;

/// Most audit records of one answer.
const MAX_AUDIT: u32 = 100_000;
const DEFAULT_AUDIT: u32 = 100;

/// Users, roles and the audit log.
pub(super) struct AccessService {
    core: Arc<Core>,
}

impl AccessService {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self { core }
    }
}

#[tonic::async_trait]
impl Access for AccessService {
    type ListAuditStream = Answers<v1::AuditRecord>;

    async fn who_am_i(&self, request: Request<v1::WhoAmIRequest>) -> Result<Response<v1::WhoAmIResponse>, Status> {
        let context = call_context(&request)?;
        let role = match context.caller {
            Caller::User(_, role) => role,
            _ => Role::Admin,
        };
        Ok(Response::new(v1::WhoAmIResponse {
            name: context.caller.to_string(),
            role: v1::Role::from(role).into(),
            cluster_id: self.core.cluster.id.to_string(),
            cluster_name: self.core.cluster.name.clone(),
        }))
    }

    async fn invite_user(
        &self,
        request: Request<v1::InviteUserRequest>,
    ) -> Result<Response<v1::UserInvitation>, Status> {
        let context = call_context(&request)?;
        let request = request.into_inner();
        let name: UserName = request.name.parse().map_err(bad_input)?;
        let role = v1::Role::try_from(request.role)
            .map_err(|_| Status::invalid_argument(format!("role: {} is not known", request.role)))
            .and_then(|role| Role::try_from(role).map_err(bad_input))?;
        let new = NewInvitation {
            action: "Access/InviteUser",
            purpose: TokenPurpose::User(role),
            name: name.to_string(),
            labels: Labels::default(),
            ttl_s: request.ttl_seconds,
            uses: 1,
        };
        let (token, ends_ms) = store_invitation(&self.core, &context, new).await?;
        Ok(Response::new(v1::UserInvitation {
            token: token.reveal(),
            ends_unix_ms: ends_ms,
            endpoints: self.core.endpoints(),
        }))
    }

    async fn list_users(&self, _: Request<v1::ListUsersRequest>) -> Result<Response<v1::ListUsersResponse>, Status> {
        let users = self.core.store.users().await.map_err(store_failed)?;
        let users = users
            .into_iter()
            .map(|user| v1::User {
                name: user.name.to_string(),
                role: v1::Role::from(user.role).into(),
                created_unix_ms: user.created_ms,
                revoked_unix_ms: user.revoked_ms,
                certificate_ends_unix_ms: user.certificate_ends_s.map(|end_s| end_s.saturating_mul(1000)),
            })
            .collect();
        Ok(Response::new(v1::ListUsersResponse { users }))
    }

    async fn revoke_user(
        &self,
        request: Request<v1::RevokeUserRequest>,
    ) -> Result<Response<v1::RevokeUserResponse>, Status> {
        let context = call_context(&request)?;
        let core = &self.core;
        let name: UserName = request.into_inner().name.parse().map_err(bad_input)?;
        let audit = core.audit_entry(&context.caller, &context.origin, "Access/RevokeUser", name.as_str(), "ok");
        let revoked = core.store.revoke_user(name.clone(), core.clock.wall_ms(), audit).await.map_err(store_failed)?;
        if !revoked {
            return Err(Status::not_found(format!("there is no user {name} with access")));
        }
        let subject = Subject::User(name.clone());
        core.directory.revoke(&subject, None);
        core.directory.remove_user(&name);
        core.connections.end(&subject, None);
        let message = format!("access of {name} was ended by {}", context.caller);
        core.events.observe(&core.clock, None, "user.revoked", Severity::Warning, message).await;
        core.access_changed.notify_one();
        Ok(Response::new(v1::RevokeUserResponse {}))
    }

    async fn list_audit(
        &self,
        request: Request<v1::ListAuditRequest>,
    ) -> Result<Response<Self::ListAuditStream>, Status> {
        let request = request.into_inner();
        if request.limit > MAX_AUDIT {
            return Err(Status::invalid_argument(format!("limit: {} is more than {MAX_AUDIT}", request.limit)));
        }
        let limit = if request.limit == 0 { DEFAULT_AUDIT } else { request.limit };
        let read = if request.verify { MAX_AUDIT } else { limit };
        let mut rows = self.core.store.audit_records(read).await.map_err(store_failed)?;
        if request.verify
            && let Some(position) = first_break(&rows, MAX_AUDIT as usize)
        {
            return Err(Status::data_loss(format!(
                "the audit log was changed: record {position} does not fit the chain"
            )));
        }
        rows.drain(..rows.len().saturating_sub(limit as usize));
        let records = rows.into_iter().map(|row| {
            Ok(v1::AuditRecord {
                position: row.position,
                wall_unix_ms: row.entry.wall_ms,
                who: row.entry.who,
                from: row.entry.origin,
                action: row.entry.action,
                target: row.entry.target,
                outcome: row.entry.outcome,
                hash: row.hash,
            })
        });
        Ok(Response::new(Box::pin(tokio_stream::iter(records))))
    }
}
