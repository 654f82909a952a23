//! TLS with a real NUT server.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use rackhaven_controller::nut::{TlsMode, UpsConfig};
use rackhaven_tests::process::{command, run_to_end as run};
use rackhaven_tests::{Ups, UpsWatch, address};

/// Lets NSS, whose TLS Debian's `upsd` has, make a certificate for this address; returns what `upsd.conf` says of it, and
/// the certificate.
async fn certificate(folder: &Path, ip: IpAddr) -> ([String; 2], PathBuf) {
    let database = format!("sql:{}", folder.display());
    let noise = folder.join("noise");
    std::fs::write(&noise, format!("{folder:?}").repeat(8)).unwrap();
    let certutil = async |arguments: &[&str]| {
        let mut command = command("certutil");
        command.args(arguments).args(["-d", &database]);
        let ran = run(command).await.unwrap();
        assert_eq!(ran.code, Some(0), "certutil: {}", ran.err);
        ran.out
    };
    certutil(&["-N", "--empty-password"]).await;
    let noise = noise.to_str().unwrap();
    let san = format!("ip:{ip}");
    let named = ["-s", "CN=upsd", "--extSAN", &san];
    certutil(&[&["-S", "-n", "upsd", "-x", "-t", "CTu,,", "-v", "12", "-z", noise], &named[..]].concat()).await;
    let pem = folder.join("upsd.pem");
    std::fs::write(&pem, certutil(&["-L", "-n", "upsd", "-a"]).await).unwrap();
    ([format!("CERTPATH {}", folder.display()), "CERTIDENT upsd \"\"".to_owned()], pem)
}

#[tokio::test]
async fn tls_is_used_where_it_is_offered() {
    let folder = tempfile::tempdir().unwrap();
    let ip = address::fresh().ip();
    let (lines, pem) = certificate(folder.path(), ip).await;
    let ups = Ups::start_with(ip, &[&lines[0], &lines[1]]).await.unwrap();
    let config = |tls, ca_file: Option<&PathBuf>| UpsConfig {
        tls,
        ca_file: ca_file.cloned(),
        ..UpsConfig::new(ups.name().parse().unwrap())
    };
    UpsWatch::start(config(TlsMode::Required, None)).status("OL").await.unwrap();
    UpsWatch::start(config(TlsMode::WhenOffered, None)).status("OL").await.unwrap();
    UpsWatch::start(config(TlsMode::Off, None)).status("OL").await.unwrap();
    UpsWatch::start(config(TlsMode::WhenOffered, Some(&pem))).status("OL").await.unwrap();

    let other = tempfile::tempdir().unwrap();
    let (_, others_pem) = certificate(other.path(), ip).await;
    let reason = UpsWatch::start(config(TlsMode::WhenOffered, Some(&others_pem))).lost().await.unwrap();
    assert!(reason.starts_with("TLS with the server: invalid peer certificate: "), "{reason}");
}

#[tokio::test]
async fn tls_that_is_required_is_not_done_without() {
    let ups = Ups::start().await.unwrap();
    let config = |tls| UpsConfig { tls, ..UpsConfig::new(ups.name().parse().unwrap()) };
    let reason = UpsWatch::start(config(TlsMode::Required)).lost().await.unwrap();
    assert_eq!(reason, "the server offers no TLS, and tls is \"required\"");
    UpsWatch::start(config(TlsMode::WhenOffered)).status("OL").await.unwrap();
}
