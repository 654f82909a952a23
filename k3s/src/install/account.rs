//! By what the controller speaks with the cluster: the token of its account, as the cluster made it.

use std::time::Duration;

use anyhow::{Context, bail};
use data_encoding::BASE64;
use rackhaven_proto::v1;

use crate::child::{command, run};
use crate::clock::steady;
use crate::news::Done;
use crate::order::Work;
use crate::paths::PROGRAM;

/// The secret in which the cluster puts the token.
const SECRET: &str = "/api/v1/namespaces/kube-system/secrets/rackhaven-controller-token";
/// How long the cluster may take to make the account.
const TIME: Duration = Duration::from_secs(180);
/// How often it is asked.
const LOOK: Duration = Duration::from_secs(1);
/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(20);

/// Asks until it is there.
pub(super) fn fetch(work: &mut Work) -> anyhow::Result<Done> {
    let begun = steady();
    loop {
        match ask(work) {
            Ok(access) => {
                work.report.access = Some(access);
                return Ok(Done::Unchanged("the controller's account is there".to_owned()));
            }
            Err(error) if steady().duration_since(begun) >= TIME => {
                return Err(error.context(format!("waited {} s for the controller's account", TIME.as_secs())));
            }
            Err(error) => work.news.waits(&format!("{error:#}")),
        }
        work.pause(LOOK)?;
    }
}

fn ask(work: &Work) -> anyhow::Result<v1::K3sAccess> {
    let mut k3s = command(work.root.at(PROGRAM));
    // Asked for so, kubectl keeps nothing in anybody's home.
    k3s.args(["kubectl", "get", "--raw", SECRET]);
    let ended = run(k3s, b"", ANSWER, work.stop)?.fine("asking for the account's token")?;
    parse(&ended.output)
}

/// Of a secret as the API shows it.
fn parse(json: &[u8]) -> anyhow::Result<v1::K3sAccess> {
    // The error of a parser could repeat what it read.
    let secret: serde_json::Value = serde_json::from_slice(json).ok().context("the account's secret is no JSON")?;
    let field = |name: &str| -> anyhow::Result<String> {
        let text = secret.get("data").and_then(|data| data.get(name)).and_then(serde_json::Value::as_str);
        let text = text.with_context(|| format!("the account's secret has no {name} yet"))?;
        let bytes = BASE64.decode(text.as_bytes()).ok().with_context(|| format!("{name} is not base64"))?;
        String::from_utf8(bytes).ok().with_context(|| format!("{name} is no text"))
    };
    let (authority_pem, token) = (field("ca.crt")?, field("token")?);
    if !authority_pem.starts_with("-----BEGIN CERTIFICATE-----") {
        bail!("ca.crt is no certificate");
    }
    Ok(v1::K3sAccess { authority_pem, token })
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn golden() {
        let json = |data: &str| format!("{{\"kind\":\"Secret\",\"data\":{{{data}}}}}").into_bytes();
        let pem = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCg==";
        let access = parse(&json(&format!("\"ca.crt\":\"{pem}\",\"token\":\"aHVudGVyMjI=\""))).unwrap();
        assert_eq!(access.authority_pem, "-----BEGIN CERTIFICATE-----\n");
        assert_eq!(access.token, "hunter22");
        for (data, refusal) in [
            (String::new(), "the account's secret has no ca.crt yet"),
            (format!("\"ca.crt\":\"{pem}\""), "the account's secret has no token yet"),
            (format!("\"ca.crt\":\"{pem}\",\"token\":\"hunter22!\""), "token is not base64"),
            ("\"ca.crt\":\"aGk=\",\"token\":\"aGk=\"".to_owned(), "ca.crt is no certificate"),
        ] {
            assert_eq!(parse(&json(&data)).unwrap_err().to_string(), refusal);
        }
        assert!(parse(b"hunter22").is_err());
    }
}
