//! `k3s agent`, and what every node does.

use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use rackhaven_pki::hex;
use tokio::signal::unix::{SignalKind, signal};

use super::config::{Config, check_machine};
use super::http::ask;
use super::paths::{at, end_with_node, pause, text, write};
use super::release::version;
use super::supervisor::{NodeWords, basic, boot_id, check_authority, credentials, show_on_board};

const PASSWORD: &str = "/etc/rancher/node/password";
/// How often a node says that it is there, and how soon it tries again.
const PACE: Duration = Duration::from_secs(1);

pub(super) fn main(arguments: &[String]) -> anyhow::Result<()> {
    end_with_node();
    show_on_board(std::process::id());
    let config = Config::read("agent", arguments)?;
    let (url, token) = (config.text("server"), config.secret("token")?);
    ensure!(!url.is_empty(), "--server is required");
    ensure!(!token.is_empty(), "--token is required");
    check_machine(&config)?;
    let (user, password) = credentials(&token, "node");
    ensure!(user == "node", "agents are given the agents' token, not that of servers");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut stop = signal(SignalKind::terminate())?;
        tokio::select! {
            _ = stop.recv() => Ok(()),
            ended = run(&config, &url, &token, &user, &password) => ended,
        }
    })
}

/// Tries for ever, as the real one does.
async fn run(config: &Config, url: &str, token: &str, user: &str, password: &str) -> anyhow::Result<()> {
    let mut joined = loop {
        let joining = async {
            check_authority(url, token)
                .await
                .with_context(|| format!("Failed to validate connection to cluster at {url}"))?;
            Joined::join(config, url, user, password, false).await
        };
        match joining.await {
            Ok(joined) => break joined,
            Err(error) => eprintln!("level=error msg={:?}", format!("{error:#}")),
        }
        tokio::time::sleep(PACE).await;
    };
    hold_a_pod()?;
    ready();
    loop {
        if let Err(error) = joined.say().await {
            eprintln!("level=error msg={:?}", format!("{error:#}"));
        }
    }
}

/// A node that the cluster knows.
#[derive(Debug)]
pub(super) struct Joined {
    url: String,
    headers: Vec<(&'static str, String)>,
    words: NodeWords,
    is_refused: bool,
}

impl Joined {
    /// Registers with a server.
    pub(super) async fn join(
        config: &Config,
        url: &str,
        user: &str,
        password: &str,
        is_server: bool,
    ) -> anyhow::Result<Self> {
        let words = words(config, is_server)?;
        let headers = vec![
            ("Authorization", basic(user, password)),
            ("k3s-Node-Name", words.name.clone()),
            ("k3s-Node-Password", node_password()?),
        ];
        let mut joined = Self { url: url.to_owned(), headers, words, is_refused: false };
        match ask(url, "POST", "/v1-k3s/serving-kubelet.crt", &joined.headers, "").await? {
            (200, _) => {}
            (403, _) => bail!(
                "Node password rejected, duplicate hostname or contents of '/etc/rancher/node/password' may not match \
                 server node-passwd entry, try enabling a unique node name with the --with-node-id flag"
            ),
            (401, _) => bail!("https://{url}/v1-k3s/serving-kubelet.crt: 401 Unauthorized"),
            (code, text) => bail!("{code}: {text}"),
        }
        joined.tell().await?;
        joined.words.begins = false;
        Ok(joined)
    }

    /// Says after a while that it is there.
    pub(super) async fn say(&mut self) -> anyhow::Result<()> {
        tokio::time::sleep(PACE).await;
        self.tell().await
    }

    /// Whether it was told that it may not any more.
    pub(super) fn is_refused(&self) -> bool {
        self.is_refused
    }

    async fn tell(&mut self) -> anyhow::Result<()> {
        let words = serde_json::to_string(&self.words)?;
        match ask(&self.url, "POST", "/v1-k3s/connect", &self.headers, &words).await? {
            (200, _) => Ok(()),
            (code, text) => {
                self.is_refused = code == 401;
                bail!("Remotedialer proxy error: {code}: {}", text.trim())
            }
        }
    }
}

/// What this node says of itself.
pub(super) fn words(config: &Config, is_server: bool) -> anyhow::Result<NodeWords> {
    let name = config.text("node-name");
    ensure!(!name.is_empty(), "no node-name is configured");
    Ok(NodeWords {
        name,
        is_server,
        boot_id: boot_id(),
        version: version(),
        labels: config.list("node-label"),
        taints: config.list("node-taint"),
        ips: config.list("node-ip"),
        begins: true,
    })
}

/// The password by which the cluster knows the node again.
pub(super) fn node_password() -> anyhow::Result<String> {
    if let Ok(known) = text(PASSWORD) {
        return Ok(known.trim().to_owned());
    }
    let password = hex(&rackhaven_pki::random::<16>()?);
    write(PASSWORD, format!("{password}\n"), 0o600)?;
    Ok(password)
}

/// What outlives K3s: a process that holds a pod, its folders, its interface, its rules.
pub(super) fn hold_a_pod() -> anyhow::Result<()> {
    for folder in ["/run/k3s/containerd", "/var/lib/kubelet/pods", "/var/lib/rancher/k3s/agent/etc"] {
        std::fs::create_dir_all(at(folder)).with_context(|| format!("making {folder}"))?;
    }
    let bin = at("/var/lib/rancher/k3s/data/current/bin");
    std::fs::create_dir_all(&bin)?;
    let shim = bin.join("containerd-shim-runc-v2");
    let _ = std::fs::hard_link(std::fs::read_link("/proc/self/exe")?, &shim);
    if !shim.exists() {
        std::fs::copy("/proc/self/exe", &shim)?;
    }
    // It is gone with the boot.
    let held = at("/run/k3s/containerd/held");
    if held.exists() {
        return Ok(());
    }
    std::fs::write(&held, "")?;
    let held = command_of(&[&shim.display().to_string()]).process_group(0).spawn()?;
    show_on_board(held.id());
    if std::env::var_os(super::paths::ROOT).is_some() {
        std::fs::create_dir_all(at("/sys/class/net/cni0"))?;
        return Ok(());
    }
    // A node that is a machine has more to be undone: what runs in the pod, its volume, its interface.
    let pod = ["systemd-run", "--quiet", "--scope", "--slice=kubepods.slice", "--unit=cri-containerd-held.scope"];
    command_of(&[&pod[..], &[&shim.display().to_string()]].concat()).process_group(0).spawn()?;
    let volume = "/var/lib/kubelet/pods/held/volume";
    std::fs::create_dir_all(volume)?;
    let mount = command_of(&["mount", "-t", "tmpfs", "none", volume]).status()?;
    ensure!(mount.success(), "mounting {volume}: {mount}");
    if !at("/sys/class/net/cni0").exists() {
        let link = command_of(&["ip", "link", "add", "cni0", "type", "bridge"]).status()?;
        ensure!(link.success(), "making cni0: {link}");
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "the double does what containerd and flannel do")]
fn command_of(words: &[&str]) -> Command {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// A process that holds a pod. As that of many pods, it does not end when it is asked to.
pub(super) fn hold() -> anyhow::Result<()> {
    let asked = nix::sys::signal::SigSet::from_iter([nix::sys::signal::Signal::SIGTERM]);
    asked.thread_block()?;
    end_with_node();
    loop {
        pause(Duration::from_secs(60));
    }
}

/// Tells systemd that it is up.
pub(super) fn ready() {
    if let Ok(place) = std::env::var("NOTIFY_SOCKET") {
        let told = UnixDatagram::unbound().and_then(|socket| match place.strip_prefix('@') {
            Some(name) => {
                use std::os::linux::net::SocketAddrExt;
                let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
                socket.send_to_addr(b"READY=1\n", &address)
            }
            None => socket.send_to(b"READY=1\n", &place),
        });
        if let Err(error) = told {
            eprintln!("level=error msg=\"telling systemd: {error}\"");
        }
    }
}
