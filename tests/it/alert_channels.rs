//! Alerts over HTTP: every form, and every way in which a receiver can be bad.

use std::collections::BTreeMap;
use std::time::Duration;

use rackhaven_controller::alerts::channel::config::{RawChannel, channels};
use rackhaven_controller::alerts::channel::{Channel, Item, ItemState, Notification, SendError, SendLimits};
use rackhaven_controller::alerts::deadman::RawDeadman;
use rackhaven_proto::model::Severity;
use rackhaven_tests::process::{command, run_to_end};
use rackhaven_tests::{Identity, Receiver, Reply, address};
use serde_json::{Value, json};

/// Long, for what is to succeed.
pub(crate) const LIMITS: SendLimits = SendLimits { timeout: Duration::from_secs(30) };
/// Short, for who never answers.
const SHORT: SendLimits = SendLimits { timeout: Duration::from_millis(500) };

/// The channel of these settings.
pub(crate) fn channel(settings: Value) -> Channel {
    let raw: RawChannel = serde_json::from_value(settings).unwrap();
    channels(vec![raw]).unwrap().remove(0)
}

/// A node is down.
pub(crate) fn notification() -> Notification {
    let item = Item {
        key: "4f1c".to_owned(),
        rule: "node-down".to_owned(),
        state: ItemState::Firing,
        severity: Severity::Critical,
        node: Some("pi3".to_owned()),
        instance: String::new(),
        summary: "node is down – März".to_owned(),
        advice: "Look at its power.".to_owned(),
        value: None,
        since_unix_ms: 1_767_323_000_000,
        ended_unix_ms: None,
        labels: BTreeMap::new(),
    };
    Notification {
        id: "n-1".to_owned(),
        cluster: "attic".to_owned(),
        items: vec![item],
        sent_unix_ms: 1_767_323_045_000,
        status_line: "DEGRADED: 1 of 6 nodes down".to_owned(),
    }
}

#[tokio::test]
async fn every_form_arrives_over_tls() {
    let folder = tempfile::tempdir().unwrap();
    let identity = Identity::new(folder.path()).await.unwrap();
    let receiver = Receiver::start(Reply::status(200, "", "{}"), Some(&identity)).await.unwrap();
    let base = format!("https://{}", receiver.address());
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let hidden = file("url", &format!("{base}/services/se-same\n"));
    let token = file("token", "42:se-same\n");
    let ca_file = identity.certificate();
    let settings = [
        json!({"kind": "webhook", "url": format!("{base}/hook"), "secret_file": token}),
        json!({"kind": "ntfy", "url": format!("{base}/my-rack"), "token_file": token}),
        json!({"kind": "telegram", "url": base, "chat": "-10042", "token_file": token}),
        json!({"kind": "slack", "url_file": hidden}),
        json!({"kind": "discord", "url_file": hidden}),
    ];
    for mut settings in settings {
        settings["name"] = settings["kind"].clone();
        settings["ca_file"] = json!(ca_file);
        channel(settings).send(&notification(), &LIMITS).await.unwrap();
    }
    let received = receiver.received();
    let lines: Vec<_> = received.iter().map(|request| request.head.lines().next().unwrap()).collect();
    assert_eq!(
        lines,
        [
            "POST /hook HTTP/1.1",
            "POST / HTTP/1.1",
            "POST /bot42:se-same/sendMessage HTTP/1.1",
            "POST /services/se-same HTTP/1.1",
            "POST /services/se-same HTTP/1.1",
        ]
    );
    let host = receiver.address().to_string();
    for request in &received {
        assert_eq!(request.header("content-type"), Some("application/json"));
        assert_eq!(request.header("host"), Some(host.as_str()));
        assert!(request.body.contains("pi3: node is down – März"), "{}", request.body);
        serde_json::from_str::<Value>(&request.body).unwrap();
    }
    assert_eq!(received[1].header("authorization"), Some("Bearer 42:se-same"));

    // The webhook's signature, looked at with another's tools.
    let hook = &received[0];
    assert_eq!(hook.header("x-rackhaven-id"), Some("n-1"));
    let signed = format!("{}.{}", hook.header("x-rackhaven-timestamp").unwrap(), hook.body);
    let signed = file("signed", &signed);
    let mut openssl = command("openssl");
    openssl.args(["dgst", "-sha256", "-hmac", "42:se-same", "-r"]).arg(signed);
    let digest = run_to_end(openssl).await.unwrap().out;
    let expected = format!("sha256={}", digest.split_whitespace().next().unwrap());
    assert_eq!(hook.header("x-rackhaven-signature"), Some(expected.as_str()));
}

#[tokio::test]
async fn bad_receivers_are_told_apart_and_no_secret_is_told() {
    let temporary = |text: &str| SendError::Temporary(format!("HOST{text}"));
    let permanent = |text: &str| SendError::Permanent(format!("HOST{text}"));
    let echo = "no such page: /services/se-same-se-same";
    for (reply, limits, expected) in [
        (Reply::status(500, "", "oops\u{1b}[2J"), LIMITS, temporary(" answered 500: oops [2J")),
        (Reply::status(404, "", echo), LIMITS, permanent(" answered 404: no such page: …")),
        (Reply::status(302, "location: /x\r\n", ""), LIMITS, temporary(" answered 302; redirects are not followed")),
        (
            Reply::status(429, "retry-after: 7\r\n", ""),
            LIMITS,
            SendError::RetryAfter(Duration::from_secs(7), "HOST answered 429".to_owned()),
        ),
        (
            Reply::Bytes(b"220 mail.example ESMTP\r\n".to_vec()),
            LIMITS,
            temporary(": asking: invalid HTTP version parsed"),
        ),
        (Reply::Hangup, LIMITS, temporary(": asking: connection closed before message completed")),
        (Reply::Silence, SHORT, temporary(": no answer in 500ms")),
        (Reply::Endless(b"HTTP/1.1 200 So\r\nx: ".to_vec()), LIMITS, temporary(": asking: message head is too large")),
    ] {
        let receiver = Receiver::start(reply.clone(), None).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("url");
        std::fs::write(&file, format!("http://{}/services/se-same-se-same", receiver.address())).unwrap();
        let channel = channel(json!({"name": "s", "kind": "slack", "url_file": file}));
        let error = channel.send(&notification(), &limits).await.unwrap_err();
        let host = receiver.address().to_string();
        let shown = |text: String| text.replace(&host, "HOST");
        let error = match error {
            SendError::Temporary(text) => SendError::Temporary(shown(text)),
            SendError::Permanent(text) => SendError::Permanent(shown(text)),
            SendError::RetryAfter(wait, text) => SendError::RetryAfter(wait, shown(text)),
        };
        assert_eq!(error, expected, "{reply:?}");
        assert_eq!(receiver.received().len(), 1, "{reply:?}");
    }
}

#[tokio::test]
async fn a_body_without_end_is_not_read_to_its_end() {
    let start = |status| format!("HTTP/1.1 {status} So\r\ncontent-length: 99999999999\r\n\r\n").into_bytes();
    let send = async |status| {
        let receiver = Receiver::start(Reply::Endless(start(status)), None).await.unwrap();
        let url = format!("http://{}/", receiver.address());
        channel(json!({"name": "w", "kind": "webhook", "url": url})).send(&notification(), &LIMITS).await
    };
    send(200).await.unwrap();
    let Err(SendError::Permanent(text)) = send(400).await else { panic!("it is something else") };
    assert!(text.ends_with("xxx…") && text.len() < 300, "{text}");
}

#[tokio::test]
async fn nobody_there_and_nobody_to_believe() {
    let folder = tempfile::tempdir().unwrap();
    let identity = Identity::new(folder.path()).await.unwrap();
    let other = tempfile::tempdir().unwrap();
    let stranger = Identity::new(other.path()).await.unwrap();
    let told = async |url: String, ca_file: &Identity| {
        let settings = json!({"name": "w", "kind": "webhook", "url": url, "ca_file": ca_file.certificate()});
        let Err(SendError::Temporary(text)) = channel(settings).send(&notification(), &LIMITS).await else {
            panic!("it is something else")
        };
        text
    };
    let receiver = Receiver::start(Reply::status(200, "", ""), Some(&identity)).await.unwrap();
    let url = format!("https://{}/", receiver.address());
    let text = told(url, &stranger).await;
    assert!(text.contains("TLS: invalid peer certificate"), "{text}");
    assert_eq!(receiver.received().len(), 0);
    let text = told(format!("https://{}/", address::fresh()), &identity).await;
    assert!(text.contains("connecting: Connection refused"), "{text}");

    let plain = Receiver::start(Reply::status(200, "", ""), None).await.unwrap();
    let text = told(format!("https://{}/", plain.address()), &identity).await;
    assert!(text.contains("TLS: "), "{text}");
    assert_eq!(plain.received().len(), 0);
}

#[tokio::test]
async fn the_dead_mans_ping_goes_out_only_while_all_is_well() {
    let receiver = Receiver::start(Reply::status(200, "", "OK"), None).await.unwrap();
    let url = format!("http://{}/ping/1", receiver.address());
    let raw: RawDeadman = serde_json::from_value(json!({"url": url, "every_seconds": 86_400})).unwrap();
    let deadman = raw.check().unwrap().unwrap();
    let (well, health) = tokio::sync::watch::channel(false);
    let task = tokio::spawn(deadman.clone().keep(health));
    deadman.ping().await.unwrap();
    assert_eq!(receiver.received().len(), 1, "nothing but the ping asked for here");
    well.send_replace(true);
    rackhaven_tests::wait_until("the ping", async || receiver.received().len() == 2).await.unwrap();
    assert!(receiver.received().iter().all(|request| request.head.starts_with("GET /ping/1 HTTP/1.1")));
    task.abort();
}
