//! Reading from servers that are broken, slow, or none.

use std::net::SocketAddr;
use std::time::Duration;

use rackhaven_controller::nut::{TlsMode, UpsConfig};
use rackhaven_tests::{UpsWatch, address};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// What a peer does with each connection.
#[derive(Clone)]
enum Peer {
    /// Says nothing.
    Silent,
    /// One byte, again and again, and never a whole line, once it was asked something.
    Dribbling,
    /// Bytes that are no text, and no lines, once it was asked something.
    Garbage,
    /// This behind each request.
    Answers(String),
}

async fn start(peer: Peer) -> SocketAddr {
    let address = address::fresh();
    let listener = TcpListener::bind(address).await.unwrap();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            tokio::spawn(talk(tcp, peer.clone()));
        }
    });
    address
}

/// Until the other side has had enough.
async fn talk(mut tcp: TcpStream, peer: Peer) {
    match peer {
        Peer::Silent => while tcp.read_u8().await.is_ok() {},
        Peer::Dribbling => {
            let _ = tcp.read_u8().await;
            while tcp.write_all(b"V").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Peer::Garbage => {
            let _ = tcp.read_u8().await;
            while tcp.write_all(&[0xff, 0, 0x1b, b'[', b'"']).await.is_ok() {}
        }
        Peer::Answers(answer) => {
            let mut lines = BufReader::new(tcp);
            let mut line = String::new();
            while lines.read_line(&mut line).await.is_ok_and(|length| length > 0) {
                if lines.write_all(answer.as_bytes()).await.is_err() {
                    break;
                }
            }
        }
    }
}

async fn reason(peer: Peer, tls: TlsMode) -> String {
    let address = start(peer).await;
    let config = UpsConfig { tls, ..UpsConfig::new(format!("ups@{address}").parse().unwrap()) };
    UpsWatch::start(config).lost().await.unwrap()
}

#[tokio::test]
async fn whatever_a_server_does_it_is_told_within_bounds() {
    let answers = |text: &str| Peer::Answers(text.to_owned());
    let endless = format!("BEGIN LIST CMD ups\n{}", "CMD ups beeper.mute\n".repeat(5000));
    let long = format!("OK {}\n", "x".repeat(100_000));
    let told = [
        (Peer::Silent, "no answer to LIST CMD within 2 s"),
        (answers("OK\nOK\n"), "the server answered LIST CMD with something else: \"OK\""),
        (Peer::Dribbling, "no answer to LIST CMD within 2 s"),
        (Peer::Garbage, "the server does not speak NUT's protocol: a line is longer than 1024 bytes"),
        (answers(&long), "the server does not speak NUT's protocol: a line is longer than 1024 bytes"),
        (answers(&endless), "the server's list is longer than 1024 lines"),
        (answers("BEGIN LIST CMD ups\nCMD ups beep"), "no answer to LIST CMD within 2 s"),
        (
            answers("BEGIN LIST CMD other\n"),
            "the server answered LIST CMD with something else: \"BEGIN LIST CMD other\"",
        ),
        (
            answers("\u{1b}[31mHTTP/1.1 400\u{7}\n"),
            "the server does not speak NUT's protocol: \"[31mHTTP/1.1 400\" is no answer",
        ),
        (
            answers("ERR ACCESS-DENIED\n"),
            "LIST VAR was refused: ACCESS-DENIED (the server allows this address or user nothing)",
        ),
    ]
    .map(|(peer, told)| async move { assert_eq!(reason(peer, TlsMode::Off).await, told) });
    futures_util::future::join_all(told).await;
}

#[tokio::test]
async fn nobody_comes_between_by_pretending() {
    let refused = Peer::Answers("ERR FEATURE-NOT-CONFIGURED\n".to_owned());
    assert_eq!(reason(refused, TlsMode::Required).await, "the server offers no TLS, and tls is \"required\"");
    let spoke_on = Peer::Answers("OK STARTTLS\nOK\nOK\n".to_owned());
    assert_eq!(reason(spoke_on, TlsMode::WhenOffered).await, "TLS with the server: the server spoke on in the clear");
    let no_tls = Peer::Answers("OK STARTTLS\n".to_owned());
    let told = reason(no_tls, TlsMode::WhenOffered).await;
    assert!(told.starts_with("TLS with the server: ") || told.contains("no answer to the TLS handshake"), "{told}");
}
