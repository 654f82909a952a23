//! `rackhaven-agent join`: an invitation for a certificate.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use rackhaven_pki::client::{channel, dial, enrolment_tls};
use rackhaven_pki::clock::TrustClock;
use rackhaven_pki::{Credentials, PrivateKey, Token};
use rackhaven_proto::model::{Endpoint, NodeName};
use rackhaven_proto::v1::enrolment_client::EnrolmentClient;
use rackhaven_proto::v1::{EnrolRequest, SubjectKind};

use crate::host::Clock;
use crate::state::{
    IdentityError, PendingKey, StateFolder, forget_pending_key, load_identity, load_pending_key, save_identity,
    save_pending_key,
};
use crate::trust::BoardTrust;

/// What a joining machine is told.
pub struct Join {
    /// Where the controller is.
    pub endpoint: Endpoint,
    /// The invitation.
    pub token: Token,
    /// The wanted name; none takes the invitation's, or this host's.
    pub name: Option<NodeName>,
    /// Whether an identity that is here already may be replaced.
    pub replace: bool,
}

/// Where the invitation comes from, in the order in which it is looked for.
///
/// # Errors
/// When there is none, or it cannot be read.
pub fn read_token(flag: Option<String>, file: Option<PathBuf>) -> anyhow::Result<Token> {
    let text = match (flag, file) {
        (Some(text), _) => text,
        (None, Some(path)) if path == Path::new("-") => {
            std::io::read_to_string(std::io::stdin()).context("reading the invitation from standard input")?
        }
        (None, Some(path)) => std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?,
        (None, None) => match std::env::var("RACKHAVEN_TOKEN") {
            Ok(text) => text,
            Err(_) => bail!("no invitation: give --token, --token-file (- for standard input) or RACKHAVEN_TOKEN"),
        },
    };
    Ok(text.parse()?)
}

/// Enrols this machine: its key is made here and stays here.
///
/// # Errors
/// When the controller cannot be reached or refuses, or the state folder cannot be written.
pub async fn join(folder: &StateFolder, clock: Arc<dyn Clock>, hostname: &str, join: Join) -> anyhow::Result<NodeName> {
    if !join.replace {
        match load_identity(folder) {
            Ok(there) => bail!("this machine is {} already; to join anew, give --replace", there.identity.subject),
            Err(IdentityError::Missing(_)) => {}
            // It is being replaced already.
            Err(error) => tracing::warn!("{error}"),
        }
    }
    let key = match load_pending_key(folder, &join.token.id) {
        Some(key) => key,
        None => {
            let pending = PendingKey { token: join.token.id.clone(), key: PrivateKey::generate()? };
            save_pending_key(folder, &pending)?;
            pending.key
        }
    };
    let trust: Arc<dyn TrustClock> = Arc::new(BoardTrust::new(clock, folder.clock_floor()));
    let tls = enrolment_tls(join.token.ca_fingerprint, trust)?;
    // The name is not known yet; the fingerprint of the CA stands for it.
    let stream = dial(&join.endpoint, &tls, "controller.internal").await?;
    let request = EnrolRequest {
        token_id: join.token.id.to_string(),
        token_secret: join.token.secret().to_owned(),
        csr_der: key.signing_request()?,
        kind: SubjectKind::Node.into(),
        name: join.name.as_ref().map_or_else(String::new, ToString::to_string),
        fallback_name: host_label(hostname),
    };
    let answer = EnrolmentClient::new(channel(stream).await?).enrol(request).await;
    let answer = answer.map_err(|status| anyhow::anyhow!("{}: {}", join.endpoint, status.message()))?;
    let credentials = Credentials::from_enrolment(&join.token, &key, &join.endpoint, answer.into_inner())
        .context("the controller's answer")?;
    let rackhaven_pki::Subject::Node(name) = credentials.identity.subject.clone() else {
        bail!("the controller gave an identity that is not a node's");
    };
    save_identity(folder, &credentials)?;
    forget_pending_key(folder)?;
    Ok(name)
}

/// The first label of a host name, in the form of a node's name; empty if nothing is left.
fn host_label(hostname: &str) -> String {
    let first = hostname.split('.').next().unwrap_or_default().to_ascii_lowercase();
    let label: String = first.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(63).collect();
    label.trim_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::host_label;

    #[test]
    fn a_host_name_becomes_a_label() {
        for (hostname, label) in [("pi-3.lan", "pi-3"), ("Rack_Pi", "rack-pi"), ("-", ""), ("", "")] {
            assert_eq!(host_label(hostname), label);
        }
    }
}
