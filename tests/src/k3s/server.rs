//! `k3s server`.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use rackhaven_pki::{hex, sha256};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_rustls::TlsAcceptor;

use super::agent::{hold_a_pod, node_password, ready, words};
use super::config::{Config, check_machine};
use super::http::{ask, connect};
use super::kept::Datastore;
use super::kubectl::KUBECONFIG;
use super::paths::{at, end_with_node, write};
use super::supervisor::{Nodes, Passwords, TLS, answers, basic, check_authority, credentials, show_on_board};
use crate::kube::{ADMIN_TOKEN, Kube, access_objects, server_tls};

const MANIFESTS: &str = "/var/lib/rancher/k3s/server/manifests";
/// How often a server looks around.
const PACE: Duration = Duration::from_millis(300);

pub(super) fn main(arguments: &[String]) -> anyhow::Result<()> {
    end_with_node();
    show_on_board(std::process::id());
    let config = Config::read("server", arguments)?;
    check_machine(&config)?;
    std::fs::create_dir_all(at(TLS))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(serve(&config))
}

/// Where it listens, and by which addresses it is known.
fn places(config: &Config) -> anyhow::Result<(SocketAddr, Vec<IpAddr>)> {
    let port: u16 = match config.text("https-listen-port").as_str() {
        "" => 6443,
        port => port.parse()?,
    };
    let bind: IpAddr = match config.text("bind-address").as_str() {
        "" => "0.0.0.0".parse()?,
        bind => bind.parse()?,
    };
    let told = config.text("node-ip");
    let mut names: Vec<IpAddr> = told.split(',').filter_map(|ip| ip.parse().ok()).collect();
    names.extend(config.list("tls-san").iter().filter_map(|san| san.parse::<IpAddr>().ok()));
    names.extend([bind, "127.0.0.1".parse()?]);
    // The address by which others are reached is the one by which they reach us; nothing is sent.
    let towards = UdpSocket::bind("0.0.0.0:0").and_then(|socket| socket.connect("192.0.2.1:9").map(|()| socket));
    names.extend(towards.and_then(|socket| socket.local_addr()).map(|local| local.ip()).ok());
    Ok((SocketAddr::new(bind, port), names))
}

fn write_kubeconfig(address: SocketAddr, authority_pem: &str) -> anyhow::Result<()> {
    let ip = if address.ip().is_unspecified() { "127.0.0.1".parse()? } else { address.ip() };
    let authority = data_encoding::BASE64.encode(authority_pem.as_bytes());
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: default\nclusters:\n- name: default\n  cluster:\n    server: \
         https://{}\n    certificate-authority-data: {authority}\ncontexts:\n- name: default\n  context:\n    cluster: \
         default\n    user: default\nusers:\n- name: default\n  user:\n    token: {ADMIN_TOKEN}\n",
        SocketAddr::new(ip, address.port())
    );
    write(KUBECONFIG, text, 0o600)
}

async fn serve(config: &Config) -> anyhow::Result<()> {
    let mut stop = signal(SignalKind::terminate())?;
    let (address, names) = places(config)?;
    let token = config.secret("token")?;
    let url = config.text("server");
    if !url.is_empty() {
        return follow(config, &url, &token, address, &names).await;
    }
    let datastore = Datastore::choose(config);
    let passwords = Passwords::settle(&token, &config.secret("agent-token")?)?;
    let nodes = Arc::new(Mutex::new(Nodes::default()));
    let aside = answers(passwords.clone(), Arc::clone(&nodes));
    let saved = datastore.load()?;
    let kube = Kube::start_kept(address, &names, &at(TLS), saved.as_ref(), aside).await?;
    passwords.write_tokens(kube.authority_pem())?;
    write_kubeconfig(address, kube.authority_pem())?;
    std::fs::create_dir_all(at(MANIFESTS))?;
    let mut applied = BTreeMap::new();
    apply(&kube, &mut applied)?;
    let mut own = words(config, true)?;
    node_password()?;
    let mut last = Value::Null;
    hold_a_pod()?;
    loop {
        apply(&kube, &mut applied)?;
        let saved = kube.with(|world| {
            let mut nodes = nodes.lock().unwrap_or_else(PoisonError::into_inner);
            nodes.hear(world, &own);
            nodes.look(world);
            world.saved()
        });
        if saved != last {
            datastore.save(&saved)?;
            last = saved;
        }
        if own.begins {
            own.begins = false;
            ready();
        }
        tokio::select! {
            _ = stop.recv() => break,
            () = tokio::time::sleep(PACE) => {}
        }
    }
    datastore.save(&kube.with(|world| world.saved()))
}

/// Applies what lies in the folder of manifests, as K3s does, once for each state of a file.
fn apply(kube: &Kube, applied: &mut BTreeMap<String, String>) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(at(MANIFESTS))?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(entry.path())?;
        let sum = hex(&sha256(text.as_bytes()));
        if !name.ends_with(".yaml") || applied.get(&name) == Some(&sum) {
            continue;
        }
        let objects = access_objects(&text).with_context(|| format!("applying {name}"))?;
        let authority = data_encoding::BASE64.encode(kube.authority_pem().as_bytes());
        kube.with(|world| {
            world.put_all(&objects);
            // A token comes with the authority of the cluster.
            for secret in
                world.objects("secrets").iter().filter(|it| it["type"] == "kubernetes.io/service-account-token")
            {
                let word = |field: &str| secret["metadata"][field].as_str().unwrap_or_default().to_owned();
                world.change_object("secrets", &word("namespace"), &word("name"), |secret| {
                    secret["data"]["ca.crt"] = authority.as_str().into();
                });
            }
        });
        applied.insert(name, sum);
    }
    Ok(())
}

/// A further server: a node like others, and a door to the API that leads to the server which it has joined.
async fn follow(config: &Config, url: &str, token: &str, address: SocketAddr, names: &[IpAddr]) -> anyhow::Result<()> {
    let mut stop = signal(SignalKind::terminate())?;
    let preparing = "starting kubernetes: preparing server: failed to validate server configuration";
    let authority = check_authority(url, token).await.context(preparing)?;
    let (user, password) = credentials(token, "server");
    ensure!(user == "server", "{preparing}: not authorized");
    let authorization = [("Authorization", basic(&user, &password))];
    let (code, text) = ask(url, "GET", "/v1-k3s/server-bootstrap", &authorization, "").await?;
    ensure!(code == 200, "{preparing}: {url}/v1-k3s/server-bootstrap: {code} Unauthorized");
    let keys: Value = serde_json::from_str(&text)?;
    for (field, name) in [("crt", "server-ca.crt"), ("key", "server-ca.key")] {
        write(&format!("{TLS}/{name}"), keys[field].as_str().context("no keys")?, 0o600)?;
    }
    Passwords::settle(token, &config.secret("agent-token")?)?.write_tokens(&authority)?;
    write_kubeconfig(address, &authority)?;
    Datastore::Etcd.save(&serde_json::json!({ "member-of": url }))?;
    let acceptor = TlsAcceptor::from(server_tls(&at(TLS), names)?);
    let listener = TcpListener::bind(address).await.context("listening as a further server")?;
    let mut joined = super::agent::Joined::join(config, url, &user, &password, true).await?;
    hold_a_pod()?;
    ready();
    let place = url.trim_start_matches("https://").to_owned();
    loop {
        tokio::select! {
            _ = stop.recv() => return Ok(()),
            accepted = listener.accept() => {
                let (stream, _) = accepted?;
                let (acceptor, place) = (acceptor.clone(), place.clone());
                tokio::spawn(async move {
                    let (mut near, mut far) = (acceptor.accept(stream).await?, connect(&place).await?);
                    tokio::io::copy_bidirectional(&mut near, &mut far).await?;
                    anyhow::Ok(())
                });
            }
            said = joined.say() => if let Err(error) = said { eprintln!("level=error msg={:?}", format!("{error:#}")) },
        }
        if joined.is_refused() {
            bail!("the cluster does not know this server any more");
        }
    }
}
