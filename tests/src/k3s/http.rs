//! One HTTPS request, and its answer.

use std::sync::Arc;

use anyhow::{Context, bail};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Takes any certificate: what is believed is decided by the token, as K3s does it.
#[derive(Debug)]
struct Anybody(rustls::crypto::CryptoProvider);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// What goes over TLS to `HOST:PORT`.
pub(super) async fn connect(place: &str) -> anyhow::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let provider = rustls::crypto::ring::default_provider();
    let config = ClientConfig::builder_with_provider(Arc::new(provider.clone()))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_no_client_auth();
    let (host, _) = place.rsplit_once(':').context("no port")?;
    let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())?;
    let stream = TcpStream::connect(place).await.with_context(|| format!("dial tcp {place}"))?;
    Ok(TlsConnector::from(Arc::new(config)).connect(name, stream).await?)
}

/// Asks `https://HOST:PORT` for a path; status and body.
pub(super) async fn ask(
    url: &str,
    method: &str,
    path: &str,
    headers: &[(&str, String)],
    body: &str,
) -> anyhow::Result<(u16, String)> {
    let asking = async {
        let place = url.strip_prefix("https://").context("not https")?;
        let mut stream = connect(place).await?;
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {place}\r\nConnection: close\r\n");
        request += &format!("Content-Length: {}\r\n", body.len());
        headers.iter().for_each(|(name, value)| request += &format!("{name}: {value}\r\n"));
        stream.write_all(format!("{request}\r\n{body}").as_bytes()).await?;
        let mut answer = Vec::new();
        // Some end without the end of TLS.
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8(answer)?;
        let (head, rest) = answer.split_once("\r\n\r\n").context("no answer")?;
        let code: u16 = head.split(' ').nth(1).context("no status")?.parse()?;
        let chunked = head.to_lowercase().contains("transfer-encoding: chunked");
        Ok((code, if chunked { unchunked(rest)? } else { rest.to_owned() }))
    };
    match tokio::time::timeout(std::time::Duration::from_secs(10), asking).await {
        Ok(answer) => answer,
        Err(_) => bail!("Get \"{url}{path}\": context deadline exceeded"),
    }
}

fn unchunked(mut rest: &str) -> anyhow::Result<String> {
    let mut body = String::new();
    loop {
        let (length, after) = rest.split_once("\r\n").context("a chunk without a length")?;
        let length = usize::from_str_radix(length.trim(), 16)?;
        if length == 0 {
            return Ok(body);
        }
        body += after.get(..length).context("a short chunk")?;
        rest = after.get(length + 2..).context("a short chunk")?;
    }
}
