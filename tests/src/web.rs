//! HTTP as a browser's author would test it: requests as they are written, answers as they come.

use std::net::SocketAddr;

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::wait::PATIENCE;

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Such as 200.
    pub status: u16,
    /// The lines above the body.
    pub head: String,
    /// The body.
    pub body: String,
}

impl Answer {
    /// A header's value; its name in small letters.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.head.lines().filter_map(|line| line.split_once(": "));
        headers.find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// Asks for a path, with headers as they are written.
///
/// # Errors
/// When nothing that is HTTP is answered.
pub async fn get(address: SocketAddr, path: &str, headers: &[&str]) -> anyhow::Result<Answer> {
    ask(address, "GET", path, headers).await
}

/// The same by any method.
///
/// # Errors
/// When nothing that is HTTP is answered.
pub async fn ask(address: SocketAddr, method: &str, path: &str, headers: &[&str]) -> anyhow::Result<Answer> {
    // The version has no pieces in its answers, and ends the connection behind them.
    let mut request = format!("{method} {path} HTTP/1.0\r\nHost: {address}\r\n");
    headers.iter().for_each(|header| request.extend([*header, "\r\n"]));
    request.push_str("\r\n");
    let text = say(address, request.as_bytes()).await?;
    parse(&text).with_context(|| format!("{method} {path}: not an answer: {text:.200}"))
}

/// Sends bytes and reads until the other side ends the connection.
///
/// # Errors
/// When it does not end it.
pub async fn say(address: SocketAddr, bytes: &[u8]) -> anyhow::Result<String> {
    let said = async {
        let mut stream = TcpStream::connect(address).await.with_context(|| format!("connecting to {address}"))?;
        // Who refuses may not read all of it.
        let _ = stream.write_all(bytes).await;
        let mut text = Vec::new();
        let _ = stream.read_to_end(&mut text).await;
        anyhow::Ok(String::from_utf8_lossy(&text).into_owned())
    };
    timeout(PATIENCE, said).await.context("the connection is not ended")?
}

fn parse(text: &str) -> Option<Answer> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, head: head.to_owned(), body: body.to_owned() })
}
