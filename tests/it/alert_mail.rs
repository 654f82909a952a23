//! Alerts by mail, to a real mail server.

use std::path::Path;
use std::time::Duration;

use rackhaven_controller::alerts::channel::{SendError, SendLimits};
use rackhaven_tests::{Identity, MailServer, address};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::alert_channels::{LIMITS, channel, notification};

/// A mail server in a folder of its own, and the settings that lead to it.
async fn server(tls: &str) -> (TempDir, MailServer, Value) {
    let folder = tempfile::tempdir().unwrap();
    let identity = Identity::new(folder.path()).await.unwrap();
    let server = MailServer::start(folder.path(), &identity, tls).await.unwrap();
    let mut settings = json!({
        "name": "mail",
        "kind": "smtp",
        "server": server.address().ip().to_string(),
        "port": server.address().port(),
        "tls": tls,
        "from": "Rack <rack@example.org>",
        "to": ["a@example.org", "b@example.org"],
    });
    if tls != "none" {
        let password = folder.path().join("password");
        std::fs::write(&password, "sesame\n").unwrap();
        settings["user"] = json!("rack");
        settings["password_file"] = json!(password);
        settings["ca_file"] = json!(identity.certificate());
    }
    (folder, server, settings)
}

fn letter(folder: &Path, number: usize) -> String {
    std::fs::read_to_string(folder.join(format!("{number}.eml"))).unwrap().replace('\r', "")
}

#[tokio::test]
async fn letters_arrive_however_it_is_encrypted() {
    for tls in ["none", "starttls", "tls"] {
        let (folder, _server, settings) = server(tls).await;
        channel(settings).send(&notification(), &LIMITS).await.unwrap();
        let letter = letter(folder.path(), 1);
        let secure = if tls == "none" { "False" } else { "True" };
        let envelope = format!("envelope: rack@example.org -> a@example.org b@example.org tls={secure}");
        assert!(tls == "tls" || letter.starts_with(&envelope), "{tls}: {letter}");
        for line in ["Message-ID: <n-1@example.org>", "To: a@example.org, b@example.org", "Look at its power."] {
            assert!(letter.lines().any(|found| found == line), "{tls}: no {line:?} in {letter}");
        }
    }
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_not_told() {
    for tls in ["starttls", "tls"] {
        let (folder, _server, settings) = server(tls).await;
        std::fs::write(folder.path().join("password"), "hunter2").unwrap();
        let Err(SendError::Permanent(text)) = channel(settings).send(&notification(), &LIMITS).await else {
            panic!("it is something else")
        };
        assert!(text.ends_with(": the login was refused (535)"), "{text}");
    }
}

#[tokio::test]
async fn one_unknown_recipient_keeps_the_others_from_nothing() {
    let (folder, _server, mut settings) = server("none").await;
    settings["to"] = json!(["unknown@example.org", "b@example.org"]);
    channel(settings.clone()).send(&notification(), &LIMITS).await.unwrap();
    assert!(letter(folder.path(), 1).starts_with("envelope: rack@example.org -> b@example.org "));
    settings["to"] = json!(["unknown@example.org"]);
    let Err(SendError::Permanent(text)) = channel(settings.clone()).send(&notification(), &LIMITS).await else {
        panic!()
    };
    assert!(text.contains("RCPT TO: permanent error (550): no such user here"), "{text}");
    settings["to"] = json!(["b@example.org", "busy@example.org"]);
    let Err(SendError::Temporary(text)) = channel(settings).send(&notification(), &LIMITS).await else {
        panic!("it is something else")
    };
    assert!(text.contains("RCPT TO: transient error (451): come again later"), "{text}");
    assert!(!folder.path().join("2.eml").exists());
}

#[tokio::test]
async fn no_letter_goes_where_it_is_not_safe() {
    let (folder, _server, mut settings) = server("none").await;
    settings["tls"] = json!("starttls");
    let Err(SendError::Temporary(text)) = channel(settings).send(&notification(), &LIMITS).await else {
        panic!("it is something else")
    };
    assert!(text.contains("offers no STARTTLS"), "{text}");
    for tls in ["starttls", "tls"] {
        let (folder, _server, mut settings) = server(tls).await;
        let other = tempfile::tempdir().unwrap();
        settings["ca_file"] = json!(Identity::new(other.path()).await.unwrap().certificate());
        let Err(SendError::Temporary(text)) = channel(settings).send(&notification(), &LIMITS).await else {
            panic!("it is something else")
        };
        assert!(text.contains("invalid peer certificate"), "{text}");
        assert!(!folder.path().join("1.eml").exists());
    }
    assert!(!folder.path().join("1.eml").exists());
}

/// What a channel to a server says that greets with this, again and again or once, and then is silent.
async fn greeted_by(greeting: &'static str, for_ever: bool, limits: SendLimits) -> SendError {
    let listener = TcpListener::bind((address::fresh().ip(), 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        while stream.write_all(greeting.as_bytes()).await.is_ok() && for_ever {}
        stream.read_to_end(&mut Vec::new()).await
    });
    let settings = json!({
        "name": "m", "kind": "smtp", "tls": "none", "from": "a@b.c", "to": ["a@b.c"],
        "server": address.ip().to_string(), "port": address.port(),
    });
    let error = channel(settings).send(&notification(), &limits).await.unwrap_err();
    server.abort();
    error
}

#[tokio::test]
async fn bad_mail_servers_end_the_attempt() {
    let short = SendLimits { timeout: Duration::from_millis(500) };
    for (greeting, for_ever, limits, reason) in [
        ("", false, short, ": no answer in 500ms"),
        ("220 mail.example ESMTP\r\n", false, short, ": no answer in 500ms"),
        ("xxxxxxxxxxxxxxxx", true, LIMITS, ": greeting: network error: answers without end"),
        ("HTTP/1.1 200 OK\r\n\r\n", false, LIMITS, ": greeting: response error: "),
    ] {
        let SendError::Temporary(text) = greeted_by(greeting, for_ever, limits).await else { panic!("{greeting:?}") };
        assert!(text.contains(reason), "{greeting:?}: {text}");
    }
}
