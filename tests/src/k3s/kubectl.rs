//! As much of kubectl as an engine asks for.

use anyhow::{Context, bail};
use serde_json::Value;

use super::http::ask;
use super::paths::text;

/// Where a server writes how its API is reached.
pub(super) const KUBECONFIG: &str = "/etc/rancher/k3s/k3s.yaml";

/// `kubectl get --raw PATH`, `kubectl [--namespace NS] get KIND [NAME] -o json`.
pub(super) fn main(words: &[String]) -> anyhow::Result<()> {
    let config = text(KUBECONFIG).context("Unable to read /etc/rancher/k3s/k3s.yaml, please start server")?;
    let config: Value = serde_saphyr::from_str(&config)?;
    let url = config["clusters"][0]["cluster"]["server"].as_str().context("no server")?.to_owned();
    let token = config["users"][0]["user"]["token"].as_str().context("no token")?.to_owned();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let path = match words.as_slice() {
        ["get", "--raw", path] => (*path).to_owned(),
        ["--namespace" | "-n", namespace, "get", kind, rest @ .., "-o", "json"] => {
            format!("/api/v1/namespaces/{namespace}/{}{}", plural(kind), named(rest))
        }
        ["get", kind, rest @ .., "-o", "json"] => format!("/api/v1/{}{}", plural(kind), named(rest)),
        _ => bail!("the double's kubectl does not know {words:?}"),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (code, body) =
        runtime.block_on(ask(&url, "GET", &path, &[("Authorization", format!("Bearer {token}"))], ""))?;
    if code != 200 {
        let status: Value = serde_json::from_str(&body).unwrap_or_default();
        bail!(
            "Error from server ({}): {}",
            status["reason"].as_str().unwrap_or("?"),
            status["message"].as_str().unwrap_or(&body)
        );
    }
    println!("{body}");
    Ok(())
}

fn plural(kind: &str) -> String {
    if kind.ends_with('s') { kind.to_owned() } else { format!("{kind}s") }
}

fn named(rest: &[&str]) -> String {
    rest.first().map_or_else(String::new, |name| format!("/{name}"))
}
