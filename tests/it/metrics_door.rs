//! Who knocks at the door of the metrics: with and without a token, slowly, with garbage, in crowds.

use std::fs;
use std::net::SocketAddr;

use rackhaven_proto::model::NodeState;
use rackhaven_tests::web::{ask, get, say};
use rackhaven_tests::{Fleet, SmallDisk, address, wait_for, wait_until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A controller that has just been made takes so much, and some more.
const DISK_BYTES: u64 = 8 * 1024 * 1024;

async fn wait_for_door(address: SocketAddr) {
    wait_until("the door to open", async || get(address, "/healthz", &[]).await.is_ok()).await.unwrap();
}

async fn fleet(more: &[(&str, &str)]) -> (Fleet, SocketAddr) {
    let address = address::fresh();
    let listen = format!("['{address}']");
    let settings: Vec<_> = more.iter().copied().chain([("metrics.listen", &*listen)]).collect();
    let fleet = Fleet::start_with(&settings).await.unwrap();
    wait_for_door(address).await;
    (fleet, address)
}

#[tokio::test]
async fn who_has_no_token_learns_nothing() {
    let token = tempfile::NamedTempFile::new().unwrap();
    fs::write(token.path(), "hunter2\n").unwrap();
    let (fleet, address) = fleet(&[("metrics.token_file", &format!("'{}'", token.path().display()))]).await;
    for header in [&[][..], &["Authorization: Bearer hunter3"], &["Authorization: Basic aHVudGVyMg=="]] {
        let refused = get(address, "/metrics", header).await.unwrap();
        assert_eq!(refused.status, 401, "{refused:?}");
        assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
        assert!(!refused.body.contains("rackhaven_") && !refused.body.contains("hunter"), "{refused:?}");
    }
    let shown = ["Authorization: Bearer hunter2"];
    let told = get(address, "/metrics", &shown).await.unwrap();
    assert_eq!(told.status, 200);
    assert_eq!(told.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    // Whether it lives, everybody may ask.
    assert_eq!(get(address, "/healthz", &[]).await.unwrap().body, "ok\n");
    let refusal = "denied: the bearer token is wrong";
    let audited = fleet.wait_for_audit("the refusal", |record| record.action == "metrics" && record.outcome == refusal);
    assert_eq!(audited.await.unwrap().who, "anonymous");
    // Another token needs no restart; none at all lets nobody in.
    fs::write(token.path(), "hunter4\n").unwrap();
    assert_eq!(get(address, "/metrics", &shown).await.unwrap().status, 401);
    assert_eq!(get(address, "/metrics", &["Authorization: Bearer hunter4"]).await.unwrap().status, 200);
    drop(token);
    assert_eq!(get(address, "/metrics", &["Authorization: Bearer hunter4"]).await.unwrap().status, 503);
    assert!(!fleet.controller_log().contains("hunter"), "a token is in the log");
}

#[tokio::test]
async fn nothing_else_is_served() {
    let (fleet, address) = fleet(&[]).await;
    for path in ["/", "/metrics/", "/metrics/../healthz", "/favicon.ico", "/debug/pprof"] {
        assert_eq!(get(address, path, &[]).await.unwrap().status, 404, "{path}");
    }
    assert_eq!(get(address, "/metrics?x=y", &[]).await.unwrap().status, 200);
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"] {
        let refused = ask(address, method, "/metrics", &[]).await.unwrap();
        assert_eq!((refused.status, refused.header("allow")), (405, Some("GET, HEAD")), "{method}");
    }
    let head = ask(address, "HEAD", "/metrics", &[]).await.unwrap();
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert!(head.header("content-length").unwrap().parse::<usize>().unwrap() > 1000, "{head:?}");
    drop(fleet);
}

#[tokio::test]
async fn who_is_slow_or_talks_nonsense_or_comes_in_crowds_harms_nobody() {
    let (fleet, address) = fleet(&[]).await;
    for nonsense in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"GET\r\n\r\n",
        b"\0\0\0\0\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\n",
    ] {
        let answer = say(address, nonsense).await.unwrap();
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer:.200}");
    }
    let long = format!("GET /metrics HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(64 * 1024));
    assert!(say(address, long.as_bytes()).await.unwrap().starts_with("HTTP/1.1 431"), "a head without an end");
    let many = format!("GET /metrics HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(500));
    assert!(say(address, many.as_bytes()).await.unwrap().starts_with("HTTP/1.1 431"), "headers without an end");
    // One request a connection.
    let two = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    assert_eq!(say(address, two.as_bytes()).await.unwrap().matches("HTTP/1.1 200").count(), 1);
    // A crowd that says nothing: others are answered at once, the first of the crowd make room.
    let mut crowd = Vec::new();
    for _ in 0..100 {
        crowd.push(TcpStream::connect(address).await.unwrap());
    }
    assert_eq!(get(address, "/metrics", &[]).await.unwrap().status, 200);
    let mut ended = 0;
    for mut silent in crowd.drain(..60) {
        ended += usize::from(matches!(silent.read(&mut [0]).await, Ok(0) | Err(_)));
    }
    assert_eq!(ended, 60);
    // Who begins and does not go on is not waited for.
    let mut slow = TcpStream::connect(address).await.unwrap();
    slow.write_all(b"GET /metrics HTTP/1.1\r\nHost:").await.unwrap();
    let ended = wait_for("the slow one to be ended", async || {
        let mut text = Vec::new();
        let _ = slow.read_to_end(&mut text).await;
        Ok(Some(String::from_utf8_lossy(&text).into_owned()))
    });
    assert!(!ended.await.unwrap().contains("rackhaven_"));
    assert_eq!(get(address, "/healthz", &[]).await.unwrap().status, 200);
    drop(fleet);
}

/// A controller that cannot remember is not well, and says why; it still tells its metrics.
#[tokio::test]
async fn healthz_tells_what_is_wrong() {
    let address = address::fresh();
    let mut fleet = Fleet::prepare().unwrap();
    fleet.settings.set("metrics.listen", format!("'{address}'"));
    let disk = SmallDisk::mount(fleet.state(), DISK_BYTES).unwrap();
    fleet.init().await.unwrap();
    fleet.start_controller().await.unwrap();
    wait_for_door(address).await;
    let mut pi = fleet.join("pi-1").await.unwrap();
    assert_eq!(get(address, "/healthz", &[]).await.unwrap().status, 200);
    disk.fill().unwrap();
    // There is something to be written down.
    pi.kill().await.unwrap();
    fleet.wait_for_state("pi-1", NodeState::Down).await.unwrap();
    let ill = wait_for("healthz to complain", async || {
        Ok(Some(get(address, "/healthz", &[]).await?).filter(|answer| answer.status == 503))
    });
    let ill = ill.await.unwrap();
    assert!(ill.body.contains("written down") || ill.body.contains("the store"), "{ill:?}");
    assert_eq!(get(address, "/metrics", &[]).await.unwrap().status, 200);
    disk.make_room().unwrap();
    wait_until("all to be well", async || get(address, "/healthz", &[]).await.is_ok_and(|well| well.status == 200))
        .await
        .unwrap();
}

/// An address that is not to be had keeps nobody from looking after nodes, and is taken when it can be.
#[tokio::test]
async fn a_taken_address_is_taken_later() {
    let address = address::fresh();
    let taken = TcpListener::bind(address).await.unwrap();
    let fleet = Fleet::start_with(&[("metrics.listen", &format!("'{address}'"))]).await.unwrap();
    wait_until("the complaint", async || fleet.controller_log().contains("no metrics until this can be listened at"))
        .await
        .unwrap();
    fleet.client().status().await.unwrap();
    drop(taken);
    wait_for_door(address).await;
}
