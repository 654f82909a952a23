use data_encoding::HEXLOWER;
use ring::hmac;
use serde_json::json;

use super::http::Call;
use super::message;
use super::secret::Secret;
use super::url::Url;
use super::{Item, Notification};

/// The form's version: raised when a field changes its meaning or goes, not when one comes.
const VERSION: u32 = 1;

/// The request that is documented for webhooks. With a secret it is signed, over the moment of sending and the body.
pub(super) fn call(notification: &Notification, url: Url, secret: Option<Secret>, now_unix_s: i64) -> Call {
    let body = body(notification);
    let mut headers =
        vec![("x-rackhaven-id", message::clean(&notification.id)), ("x-rackhaven-timestamp", now_unix_s.to_string())];
    if let Some(secret) = &secret {
        headers.push(("x-rackhaven-signature", signature(secret, now_unix_s, &body)));
    }
    Call { url, headers, json: Some(body), secrets: secret.into_iter().collect() }
}

fn signature(secret: &Secret, now_unix_s: i64, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
    let tag = hmac::sign(&key, format!("{now_unix_s}.{body}").as_bytes());
    format!("sha256={}", HEXLOWER.encode(tag.as_ref()))
}

fn body(notification: &Notification) -> String {
    json!({
        "version": VERSION,
        "id": notification.id,
        "cluster": notification.cluster,
        "title": message::title(notification),
        "status": message::clean(&notification.status_line),
        "sent_unix_ms": notification.sent_unix_ms,
        "alerts": notification.items.iter().map(alert).collect::<Vec<_>>(),
    })
    .to_string()
}

fn alert(item: &Item) -> serde_json::Value {
    json!({
        "key": item.key,
        "rule": item.rule,
        "state": item.state.as_str(),
        "severity": item.severity.as_str(),
        "node": item.node,
        "instance": message::clean(&item.instance),
        "summary": message::clean(&item.summary),
        "advice": message::clean(&item.advice),
        "value": item.value,
        "since_unix_ms": item.since_unix_ms,
        "ended_unix_ms": item.ended_unix_ms,
        "labels": item.labels,
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{one, resolved};
    use super::{Secret, Url, body, call, signature};

    #[test]
    fn bodies() {
        for (name, notification) in [("one", one()), ("resolved", resolved())] {
            let json: serde_json::Value = serde_json::from_str(&body(&notification)).unwrap();
            insta::assert_snapshot!(name, serde_json::to_string_pretty(&json).unwrap());
        }
    }

    #[test]
    fn signed_as_openssl_does_it() {
        // printf '1700000000.{}' | openssl dgst -sha256 -hmac sesame
        let expected = "sha256=d3abd3f5600670832b9e0ff7116224a4ba4b043d1ef3a02836e89810336ec0cc";
        assert_eq!(signature(&Secret::from("sesame"), 1_700_000_000, "{}"), expected);
        let url = || Url::parse("https://h/").unwrap();
        assert!(call(&one(), url(), None, 5).headers.iter().all(|(name, _)| *name != "x-rackhaven-signature"));
        assert_eq!(call(&one(), url(), Some(Secret::from("sesame")), 5).headers.len(), 3);
    }
}
