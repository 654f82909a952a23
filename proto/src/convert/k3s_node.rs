//! Orders about K3s: from the wire to the model and back, and what is refused of what a node tells.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::model::k3s::{InterfaceName, K3sOrder, K3sPlace, K3sRole, K3sSecret, K3sServer, K3sSettings, K3sTask};
use crate::model::{Invalid, plain_text};
use crate::v1;
use crate::v1::k3s_order::Task;

/// Longest text of a step or a finding, in bytes.
pub const MAX_K3S_TEXT_BYTES: usize = 2048;
/// Longest certificates of a cluster, and longest token of an account, in bytes.
const MAX_ACCESS_BYTES: usize = 16 * 1024;

/// Another name for a field that was refused: the one in the contract.
fn in_field(field: &str) -> impl Fn(Invalid) -> Invalid + '_ {
    move |invalid| Invalid { field: field.to_owned(), ..invalid }
}

fn secret(field: &str, text: &str) -> Result<K3sSecret, Invalid> {
    text.parse().map_err(in_field(field))
}

fn words<T: FromStr<Err = Invalid>>(texts: &[String]) -> Result<Vec<T>, Invalid> {
    texts.iter().map(|text| text.parse()).collect()
}

fn texts<T: ToString>(words: &[T]) -> Vec<String> {
    words.iter().map(T::to_string).collect()
}

impl TryFrom<v1::K3sSettings> for K3sSettings {
    type Error = Invalid;

    fn try_from(wire: v1::K3sSettings) -> Result<Self, Invalid> {
        let role = match v1::K3sRole::try_from(wire.role) {
            Ok(v1::K3sRole::Server) => K3sRole::Server,
            Ok(v1::K3sRole::Agent) => K3sRole::Agent,
            Ok(v1::K3sRole::Unspecified) => return Err(Invalid::new("role", "is missing")),
            Err(_) => return Err(Invalid::new("role", format!("{} is not known to this version", wire.role))),
        };
        let server = || {
            Ok::<_, Invalid>(K3sServer {
                agent_password: match wire.agent_token.as_str() {
                    "" => None,
                    password => Some(secret("agent_token", password)?),
                },
                embedded_etcd: wire.embedded_etcd,
                tls_names: words(&wire.tls_sans)?,
                disable: words(&wire.disable)?,
            })
        };
        let place = match (role, wire.server_url.as_str()) {
            (K3sRole::Server, "") => K3sPlace::First { password: secret("token", &wire.token)?, server: server()? },
            (K3sRole::Server, url) => {
                K3sPlace::Further { url: url.parse()?, token: wire.token.parse()?, server: server()? }
            }
            (K3sRole::Agent, "") => return Err(Invalid::new("server_url", "is missing: an agent joins a server")),
            (K3sRole::Agent, url) => {
                for (field, is_there) in [
                    ("agent_token", !wire.agent_token.is_empty()),
                    ("embedded_etcd", wire.embedded_etcd),
                    ("tls_sans", !wire.tls_sans.is_empty()),
                    ("disable", !wire.disable.is_empty()),
                ] {
                    if is_there {
                        return Err(Invalid::new(field, "is for servers only"));
                    }
                }
                K3sPlace::Agent { url: url.parse()?, token: wire.token.parse()? }
            }
        };
        let address = |text: &String| -> Result<IpAddr, Invalid> {
            text.parse().map_err(|_| Invalid::new("node_ips", format!("{text:?} is not an address")))
        };
        let settings = Self {
            node_name: wire.node_name.parse()?,
            place,
            labels: words(&wire.labels)?,
            taints: words(&wire.taints)?,
            node_ips: wire.node_ips.iter().map(address).collect::<Result<_, _>>()?,
            flannel_iface: match wire.flannel_iface.as_str() {
                "" => None,
                name => Some(name.parse()?),
            },
        };
        settings.checked()
    }
}

impl From<K3sSettings> for v1::K3sSettings {
    fn from(settings: K3sSettings) -> Self {
        let role = match settings.role() {
            K3sRole::Server => v1::K3sRole::Server,
            K3sRole::Agent => v1::K3sRole::Agent,
        };
        let token = match &settings.place {
            K3sPlace::First { password, .. } => password.reveal(),
            K3sPlace::Further { token, .. } | K3sPlace::Agent { token, .. } => token.reveal(),
        };
        let server = settings.server();
        let agent_password = server.and_then(|server| server.agent_password.as_ref());
        Self {
            role: role.into(),
            node_name: settings.node_name.to_string(),
            server_url: settings.joins().map_or_else(String::new, |(url, _)| url.to_string()),
            token: token.to_owned(),
            agent_token: agent_password.map_or("", K3sSecret::reveal).to_owned(),
            embedded_etcd: server.is_some_and(|server| server.embedded_etcd),
            labels: texts(&settings.labels),
            taints: texts(&settings.taints),
            node_ips: texts(&settings.node_ips),
            flannel_iface: settings.flannel_iface.as_ref().map_or_else(String::new, InterfaceName::to_string),
            tls_sans: server.map_or_else(Vec::new, |server| texts(&server.tls_names)),
            disable: server.map_or_else(Vec::new, |server| texts(&server.disable)),
        }
    }
}

fn settings(wire: Option<v1::K3sSettings>) -> Result<K3sSettings, Invalid> {
    wire.ok_or_else(|| Invalid::new("settings", "is missing"))?.try_into()
}

impl TryFrom<v1::K3sOrder> for K3sOrder {
    type Error = Invalid;

    fn try_from(wire: v1::K3sOrder) -> Result<Self, Invalid> {
        plain_text("order.requested_by", &wire.requested_by, 128)?;
        let task = match wire.task {
            None => return Err(Invalid::new("order.task", "is missing or not known to this version")),
            Some(Task::Check(check)) => K3sTask::Check { settings: settings(check.settings)?, fix: check.fix },
            Some(Task::Install(install)) => K3sTask::Install {
                settings: settings(install.settings)?,
                version: install.version.parse()?,
                fix: install.fix,
            },
            Some(Task::Remove(v1::K3sRemove {})) => K3sTask::Remove,
            Some(Task::Snapshot(snapshot)) if snapshot.keep == 0 => {
                return Err(Invalid::new("snapshot.keep", "is 0"));
            }
            Some(Task::Snapshot(snapshot)) => K3sTask::Snapshot { name: snapshot.name.parse()?, keep: snapshot.keep },
            Some(Task::NewToken(token)) => K3sTask::NewToken {
                old: secret("new_token.old", &token.old)?,
                new: secret("new_token.new", &token.new)?,
            },
        };
        let artifacts = wire.artifacts.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?;
        Self { id: wire.id.parse()?, requested_by: wire.requested_by, artifacts, task }.checked()
    }
}

impl From<K3sOrder> for v1::K3sOrder {
    fn from(order: K3sOrder) -> Self {
        let task = match order.task {
            K3sTask::Check { settings, fix } => Task::Check(v1::K3sCheck { settings: Some(settings.into()), fix }),
            K3sTask::Install { settings, version, fix } => {
                Task::Install(v1::K3sInstall { settings: Some(settings.into()), version: version.to_string(), fix })
            }
            K3sTask::Remove => Task::Remove(v1::K3sRemove {}),
            K3sTask::Snapshot { name, keep } => Task::Snapshot(v1::K3sSnapshot { name: name.to_string(), keep }),
            K3sTask::NewToken { old, new } => {
                Task::NewToken(v1::K3sNewToken { old: old.reveal().to_owned(), new: new.reveal().to_owned() })
            }
        };
        Self {
            id: order.id.to_string(),
            requested_by: order.requested_by,
            artifacts: order.artifacts.into_iter().map(Into::into).collect(),
            task: Some(task),
        }
    }
}

/// Refuses access to a cluster's API, as a node reports it, that is not well-formed.
///
/// # Errors
/// The first field that is not; what it is is not repeated, for it may be the secret itself.
pub fn check_k3s_access(access: &v1::K3sAccess) -> Result<(), Invalid> {
    for (field, text) in [("access.authority_pem", &access.authority_pem), ("access.token", &access.token)] {
        let allowed = |byte: u8| byte.is_ascii_graphic() || byte == b' ' || byte == b'\n';
        if text.is_empty() || text.len() > MAX_ACCESS_BYTES || !text.bytes().all(allowed) {
            return Err(Invalid::new(field, format!("is not 1 to {MAX_ACCESS_BYTES} bytes of text")));
        }
    }
    Ok(())
}

impl fmt::Debug for v1::K3sSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("K3sSettings");
        shown.field("role", &self.role).field("node_name", &self.node_name).field("server_url", &self.server_url);
        shown.finish_non_exhaustive()
    }
}

impl fmt::Debug for v1::K3sNewToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("K3sNewToken").finish_non_exhaustive()
    }
}

impl fmt::Debug for v1::K3sAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("K3sAccess").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
