//! What a server answers to nodes: K3s's own paths on the port of the API.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use data_encoding::BASE64;
use hyper::http::request::Parts;
use rackhaven_pki::{hex, sha256};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::kube::{Aside, World};

use super::http::ask;
use super::kubectl::KUBECONFIG;
use super::paths::{at, text, write};

/// Where a server keeps by which passwords others join.
const PASSWORDS: &str = "/var/lib/rancher/k3s/server/cred/passwd.json";
/// Where its keys are.
pub(super) const TLS: &str = "/var/lib/rancher/k3s/server/tls";
/// After so long without a word a node is not ready; with the real one it takes 40 s.
const SILENCE: Duration = Duration::from_secs(8);

/// By which passwords others join.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Passwords {
    server: String,
    agent: Option<String>,
}

impl Passwords {
    /// Those that are kept, which must be the ones of the configuration; or those, if none are kept.
    pub(super) fn settle(server: &str, agent: &str) -> anyhow::Result<Self> {
        let server = server.rsplit(':').next().unwrap_or_default();
        let told = Self {
            server: if server.is_empty() { hex(&rackhaven_pki::random::<16>()?) } else { server.to_owned() },
            agent: (!agent.is_empty()).then(|| agent.to_owned()),
        };
        if let Ok(kept) = text(PASSWORDS) {
            let kept: Self = serde_json::from_str(&kept)?;
            ensure!(
                server.is_empty() || kept.server == told.server,
                "starting kubernetes: preparing server: bootstrap data already found and encrypted with different token"
            );
            if server.is_empty() {
                return Ok(kept);
            }
        }
        told.keep()?;
        Ok(told)
    }

    fn keep(&self) -> anyhow::Result<()> {
        write(PASSWORDS, serde_json::to_vec(self)?, 0o600)
    }

    /// Writes the tokens by which others join, as a server does.
    pub(super) fn write_tokens(&self, authority_pem: &str) -> anyhow::Result<()> {
        let hash = hex(&sha256(authority_pem.as_bytes()));
        let agent = self.agent.as_ref().unwrap_or(&self.server);
        write("/var/lib/rancher/k3s/server/token", format!("K10{hash}::server:{}\n", self.server), 0o600)?;
        write("/var/lib/rancher/k3s/server/agent-token", format!("K10{hash}::node:{agent}\n"), 0o600)
    }

    /// Whether somebody may do what servers may, or what agents may.
    fn let_in(&self, parts: &Parts, as_server: bool) -> bool {
        let Some(given) = parts.headers.get("authorization").and_then(|value| value.to_str().ok()) else {
            return false;
        };
        let decoded = given.strip_prefix("Basic ").and_then(|given| BASE64.decode(given.as_bytes()).ok());
        let Some((user, password)) = decoded.and_then(|bytes| {
            let text = String::from_utf8(bytes).ok()?;
            text.split_once(':').map(|(user, password)| (user.to_owned(), password.to_owned()))
        }) else {
            return false;
        };
        match user.as_str() {
            "server" => password == self.server,
            "node" => !as_server && password == *self.agent.as_ref().unwrap_or(&self.server),
            _ => false,
        }
    }
}

/// What a node says of itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct NodeWords {
    pub(super) name: String,
    pub(super) is_server: bool,
    pub(super) boot_id: String,
    pub(super) version: String,
    pub(super) labels: Vec<String>,
    pub(super) taints: Vec<String>,
    pub(super) ips: Vec<String>,
    /// Whether its kubelet has just begun: it registers.
    pub(super) begins: bool,
}

/// The nodes as the server hears them.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    heard: BTreeMap<String, Instant>,
}

impl Nodes {
    /// Takes in what a node says.
    #[expect(clippy::disallowed_methods, reason = "the double's clock")]
    pub(super) fn hear(&mut self, world: &mut World, words: &NodeWords) {
        self.heard.insert(words.name.clone(), Instant::now());
        if world.object("nodes", "", &words.name).is_none() {
            if !words.begins {
                // A node that was deleted registers only when its kubelet begins anew.
                return;
            }
            world.add_node(&words.name, words.is_server);
            world.change_object("nodes", "", &words.name, |node| register(node, words));
        }
        let is_ready = |node: &Value| {
            let conditions = node["status"]["conditions"].as_array();
            conditions.into_iter().flatten().any(|it| it["type"] == "Ready" && it["status"] == "True")
        };
        if !world.object("nodes", "", &words.name).is_some_and(|node| is_ready(&node)) {
            world.set_node_ready(&words.name, "True", false);
        }
        world.change_object("nodes", "", &words.name, |node| {
            let info = &mut node["status"]["nodeInfo"];
            (info["bootID"], info["kubeletVersion"]) = (words.boot_id.as_str().into(), words.version.as_str().into());
        });
    }

    /// Nodes that have not been heard for long are not known to be ready; a password without its node is forgotten.
    #[expect(clippy::disallowed_methods, reason = "the double's clock")]
    pub(super) fn look(&mut self, world: &mut World) {
        for node in world.objects("nodes") {
            let name = node["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            let heard = *self.heard.entry(name.clone()).or_insert_with(Instant::now);
            let conditions = node["status"]["conditions"].as_array();
            let ready = conditions.into_iter().flatten().any(|it| it["type"] == "Ready" && it["status"] == "True");
            if ready && heard.elapsed() > SILENCE {
                world.set_node_ready(&name, "Unknown", false);
            }
        }
        let gone: Vec<String> =
            self.heard.keys().filter(|name| world.object("nodes", "", name).is_none()).cloned().collect();
        for name in gone {
            self.heard.remove(&name);
            world.erase("secrets", "kube-system", &format!("{name}.node-password.k3s"));
        }
    }
}

fn register(node: &mut Value, words: &NodeWords) {
    for (key, value) in words.labels.iter().filter_map(|label| label.split_once('=')) {
        node["metadata"]["labels"][key] = value.into();
    }
    let taints: Vec<Value> = words
        .taints
        .iter()
        .filter_map(|taint| {
            let (what, effect) = taint.rsplit_once(':')?;
            let (key, value) = what.split_once('=').unwrap_or((what, ""));
            Some(json!({ "key": key, "value": value, "effect": effect }))
        })
        .collect();
    if !taints.is_empty() {
        node["spec"]["taints"] = taints.into();
    }
    if !words.ips.is_empty() {
        let mut addresses: Vec<Value> =
            words.ips.iter().map(|ip| json!({ "type": "InternalIP", "address": ip })).collect();
        addresses.push(json!({ "type": "Hostname", "address": words.name }));
        node["status"]["addresses"] = addresses.into();
    }
}

/// Compares a node's password with the one that it had at first.
fn know_again(world: &mut World, name: &str, password: &str) -> bool {
    let hash = BASE64.encode(hex(&sha256(password.as_bytes())).as_bytes());
    let secret = format!("{name}.node-password.k3s");
    match world.object("secrets", "kube-system", &secret) {
        Some(known) => known["data"]["hash"] == hash.as_str(),
        None => {
            let metadata = json!({ "name": secret, "namespace": "kube-system" });
            world.put("secrets", json!({ "metadata": metadata, "type": "Opaque", "data": { "hash": hash } }));
            true
        }
    }
}

/// The answers.
pub(super) fn answers(passwords: Passwords, nodes: Arc<Mutex<Nodes>>) -> Aside {
    let passwords = Mutex::new(passwords);
    Aside(Box::new(move |world, parts, body| {
        let mut passwords = passwords.lock().unwrap_or_else(PoisonError::into_inner);
        let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let refused = (401, "Unauthorized\n".to_owned());
        match parts.uri.path() {
            "/ping" => (200, "pong".to_owned()),
            "/cacerts" => (200, text(&format!("{TLS}/server-ca.crt")).unwrap_or_default()),
            "/v1-k3s/server-bootstrap" | "/v1-k3s/token" if !passwords.let_in(parts, true) => refused,
            "/v1-k3s/server-bootstrap" => {
                let read = |name: &str| text(&format!("{TLS}/{name}")).unwrap_or_default();
                (200, json!({ "crt": read("server-ca.crt"), "key": read("server-ca.key") }).to_string())
            }
            "/v1-k3s/token" => {
                passwords.server = String::from_utf8_lossy(body).into_owned();
                let authority = text(&format!("{TLS}/server-ca.crt")).unwrap_or_default();
                match passwords.keep().and_then(|()| passwords.write_tokens(&authority)) {
                    Ok(()) => (200, String::new()),
                    Err(error) => (500, format!("{error:#}\n")),
                }
            }
            _ if !passwords.let_in(parts, false) => refused,
            "/v1-k3s/serving-kubelet.crt" => {
                if know_again(world, header("k3s-node-name"), header("k3s-node-password")) {
                    (200, "a certificate".to_owned())
                } else {
                    (403, "node password not set correctly\n".to_owned())
                }
            }
            "/v1-k3s/connect" => match serde_json::from_slice::<NodeWords>(body) {
                Ok(words) => {
                    nodes.lock().unwrap_or_else(PoisonError::into_inner).hear(world, &words);
                    (200, String::new())
                }
                Err(error) => (400, format!("{error}\n")),
            },
            _ => (404, "404 page not found\n".to_owned()),
        }
    }))
}

/// `k3s token rotate`: both tokens come by the environment.
pub(super) fn ask_to_rotate() -> anyhow::Result<()> {
    let secret = |name: &str| std::env::var(name).with_context(|| format!("{name} is missing"));
    let (old, new) = (secret("K3S_TOKEN")?, secret("K3S_NEW_TOKEN")?);
    let config: Value = serde_saphyr::from_str(&text(KUBECONFIG)?)?;
    let url = config["clusters"][0]["cluster"]["server"].as_str().context("no server")?.to_owned();
    let authorization = basic("server", old.rsplit(':').next().unwrap_or_default());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let headers = [("Authorization", authorization)];
    let asked = ask(&url, "POST", "/v1-k3s/token", &headers, new.rsplit(':').next().unwrap_or_default());
    match runtime.block_on(asked)? {
        (200, _) => {
            println!(
                "WARNING: Recommended to keep a record of the old token. If restoring from a snapshot, you must use the token associated with that snapshot."
            );
            Ok(())
        }
        (code, text) => bail!("token rotation failed: {code}: {}", text.trim()),
    }
}

/// The header that says who one is.
pub(super) fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", BASE64.encode(format!("{user}:{password}").as_bytes()))
}

/// Refuses a server that is not the one of the token.
pub(super) async fn check_authority(url: &str, token: &str) -> anyhow::Result<String> {
    let (_, pem) = ask(url, "GET", "/cacerts", &[], "").await.context("failed to get CA certs")?;
    if let Some((told, _)) = token.strip_prefix("K10").and_then(|rest| rest.split_once("::")) {
        let found = hex(&sha256(pem.as_bytes()));
        ensure!(told == found, "token CA hash does not match the Cluster CA certificate hash: {told} != {found}");
    }
    Ok(pem)
}

/// User and password of a token.
pub(super) fn credentials(token: &str, otherwise: &str) -> (String, String) {
    let rest = token.strip_prefix("K10").and_then(|rest| rest.split_once("::")).map_or(token, |(_, rest)| rest);
    let (user, password) = rest.split_once(':').unwrap_or((otherwise, rest));
    (user.to_owned(), password.to_owned())
}

/// The boot of this node.
pub(super) fn boot_id() -> String {
    text("/proc/sys/kernel/random/boot_id").map_or_else(|_| "boot-unknown".to_owned(), |id| id.trim().to_owned())
}

/// Makes a process of ours seen on a node that is a folder.
pub(super) fn show_on_board(pid: u32) {
    let place = at(&format!("/proc/{pid}"));
    if !place.exists() {
        // Nobody looks for it where that is not possible.
        let _ = std::os::unix::fs::symlink(format!("/proc/{pid}"), place);
    }
}
