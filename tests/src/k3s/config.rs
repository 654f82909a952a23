//! The configuration as K3s reads it: `config.yaml`, then `config.yaml.d` in the order of names; the last one wins, and a
//! key with `+` adds to what is there.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use super::paths::{at, text};

const FILE: &str = "/etc/rancher/k3s/config.yaml";
const FOLDER: &str = "/etc/rancher/k3s/config.yaml.d";
/// Of both roles.
const KEYS: [&str; 11] = [
    "flannel-iface",
    "kubelet-arg",
    "node-external-ip",
    "node-ip",
    "node-label",
    "node-name",
    "node-taint",
    "token",
    "token-file",
    "with-node-id",
    "debug",
];
const SERVER_KEYS: [&str; 12] = [
    "advertise-address",
    "agent-token",
    "agent-token-file",
    "bind-address",
    "cluster-init",
    "datastore-endpoint",
    "disable",
    "https-listen-port",
    "secrets-encryption",
    "server",
    "tls-san",
    "write-kubeconfig-mode",
];
const AGENT_KEYS: [&str; 1] = ["server"];

/// What K3s was told.
#[derive(Debug, Default)]
pub(super) struct Config(BTreeMap<String, Value>);

impl Config {
    /// Reads it; `role` is `server` or `agent`. Whatever is not as it must be ends K3s.
    pub(super) fn read(role: &str, arguments: &[String]) -> anyhow::Result<Self> {
        ensure!(arguments.is_empty(), "flag provided but not expected by this double: {}", arguments.len());
        ensure!(nix::unistd::geteuid().is_root(), "{role} must run as root");
        for secret in ["K3S_TOKEN", "K3S_AGENT_TOKEN"] {
            ensure!(std::env::var_os(secret).is_none(), "{secret} stands in the environment, which others can see");
        }
        let mut config = Self::default();
        // Stricter than K3s, which reads what it is given.
        is_private(FILE)?;
        config.take(FILE, &known(role), true)?;
        let folder = std::fs::read_dir(at(FOLDER)).into_iter().flatten().flatten();
        let mut names: Vec<String> = folder.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        for name in names.iter().filter(|name| name.ends_with(".yaml") || name.ends_with(".yml")) {
            config.take(&format!("{FOLDER}/{name}"), &known(role), false)?;
        }
        Ok(config)
    }

    fn take(&mut self, path: &str, known: &[&str], strict: bool) -> anyhow::Result<()> {
        let text = text(path)?;
        if text.lines().all(|line| line.trim().is_empty() || line.starts_with('#')) {
            return Ok(());
        }
        let value: Value = serde_saphyr::from_str(&text).with_context(|| format!("failed to parse {path}"))?;
        let Value::Object(map) = value else { bail!("{path} is no map") };
        for (key, value) in map {
            let plain = key.trim_end_matches('+');
            if !known.contains(&plain) {
                // K3s passes over it with a word; what we write must be known.
                ensure!(!strict, "Unknown flag --{plain} found in {path}");
                eprintln!("level=warning msg=\"Unknown flag --{plain} found in {path}, skipping\"");
                continue;
            }
            if key.ends_with('+') {
                let mut all = self.list(plain);
                all.extend(list_of(&value));
                self.0.insert(plain.to_owned(), all.into());
            } else {
                self.0.insert(plain.to_owned(), value);
            }
        }
        Ok(())
    }

    /// A key's text; empty without it.
    pub(super) fn text(&self, key: &str) -> String {
        match self.0.get(key) {
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => String::new(),
        }
    }

    /// A key's list.
    pub(super) fn list(&self, key: &str) -> Vec<String> {
        self.0.get(key).map(list_of).unwrap_or_default()
    }

    /// Whether a key says yes.
    pub(super) fn says(&self, key: &str) -> bool {
        self.0.get(key) == Some(&Value::Bool(true))
    }

    /// A secret that stands in a file of its own, or here.
    pub(super) fn secret(&self, key: &str) -> anyhow::Result<String> {
        let file = self.text(&format!("{key}-file"));
        if file.is_empty() {
            return Ok(self.text(key));
        }
        is_private(&file)?;
        let secret = text(&file)?.trim().to_owned();
        ensure!(!secret.is_empty(), "{file} is empty");
        Ok(secret)
    }
}

fn known(role: &str) -> Vec<&'static str> {
    let more: &[&str] = if role == "server" { &SERVER_KEYS } else { &AGENT_KEYS };
    KEYS.iter().chain(more).copied().collect()
}

fn list_of(value: &Value) -> Vec<String> {
    match value {
        Value::Array(all) => all.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Value::String(text) => text.split(',').map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

fn is_private(path: &str) -> anyhow::Result<()> {
    let mode = std::fs::metadata(at(path)).with_context(|| format!("looking at {path}"))?.permissions().mode();
    ensure!(mode & 0o077 == 0, "{path} can be read by others: {:o}", mode & 0o7777);
    Ok(())
}

/// What the kubelet needs of the machine.
pub(super) fn check_machine(config: &Config) -> anyhow::Result<()> {
    let controllers = text("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default();
    let of_v1 = text("/proc/cgroups").unwrap_or_default();
    let has = controllers.split_ascii_whitespace().any(|word| word == "memory")
        || (controllers.is_empty() && of_v1.lines().any(|line| line.starts_with("memory") && line.ends_with('1')));
    ensure!(has, "failed to find memory cgroup (v2)");
    let routes = text("/proc/net/route").unwrap_or_default();
    let default = routes.lines().any(|line| line.split_ascii_whitespace().nth(1) == Some("00000000"));
    ensure!(default || !config.text("node-ip").is_empty(), "no default routes found in \"/proc/net/route\"");
    let name = config.text("flannel-iface");
    ensure!(name.is_empty() || at(&format!("/sys/class/net/{name}")).exists(), "unable to find interface {name:?}");
    for label in config.list("node-label") {
        ensure!(label.contains('='), "invalid label {label:?}");
        let forbidden = label.starts_with("node-role.kubernetes.io/");
        ensure!(!forbidden, "unknown 'kubernetes.io' or 'k8s.io' labels specified with --node-labels: {label}");
    }
    for taint in config.list("node-taint") {
        let effect = taint.rsplit(':').next().unwrap_or_default();
        ensure!(["NoSchedule", "PreferNoSchedule", "NoExecute"].contains(&effect), "invalid taint spec: {taint}");
    }
    Ok(())
}
