//! Where K3s's files are on a node, and which of them are ours.

/// The program.
pub const PROGRAM: &str = "/usr/local/bin/k3s";
/// Other names of the program, made where nothing else has them.
pub const LINKS: [&str; 3] = ["/usr/local/bin/kubectl", "/usr/local/bin/crictl", "/usr/local/bin/ctr"];
/// All that K3s keeps.
pub const DATA: &str = "/var/lib/rancher/k3s";
/// From here it takes the images of its own pods.
pub const IMAGES: &str = "/var/lib/rancher/k3s/agent/images";
/// What it applies to the cluster by itself: the account that the controller works with.
pub const ACCOUNT: &str = "/var/lib/rancher/k3s/server/manifests/rackhaven.yaml";
/// The datastores of servers.
pub const DB: &str = "/var/lib/rancher/k3s/server/db";
/// The token for servers, as a server writes it itself.
pub const SERVER_TOKEN: &str = "/var/lib/rancher/k3s/server/token";
/// Its configuration, with all that admins add.
pub const CONFIG_FOLDER: &str = "/etc/rancher/k3s";
/// The part of its configuration that is ours.
pub const CONFIG: &str = "/etc/rancher/k3s/config.yaml";
/// The admin's part.
pub const CONFIG_D: &str = "/etc/rancher/k3s/config.yaml.d";
/// By what it joins, or others do.
pub const TOKEN: &str = "/etc/rancher/k3s/token";
/// By what agents join.
pub const AGENT_TOKEN: &str = "/etc/rancher/k3s/agent-token";
/// Written by servers: how an admin of the node reaches the API.
pub const KUBECONFIG: &str = "/etc/rancher/k3s/k3s.yaml";
/// The password by which the cluster knows the node again.
pub const NODE_PASSWORD: &str = "/etc/rancher/node";
/// The folder of units.
pub const UNITS: &str = "/etc/systemd/system";
/// What is known of the installation; that it is there says that it is ours.
pub const RECORD: &str = "/var/lib/rackhaven-k3s/installed";
/// Its folder.
pub const STATE: &str = "/var/lib/rackhaven-k3s";
/// Which modules are loaded at each boot, by `--fix`.
pub const MODULES_LOAD: &str = "/etc/modules-load.d/rackhaven-k3s.conf";
/// What the kernel is told at each boot, by `--fix`.
pub const SYSCTL: &str = "/etc/sysctl.d/90-rackhaven-k3s.conf";
/// Held by the engine that works.
pub const LOCK: &str = "/run/rackhaven-k3s.lock";

/// What only K3s keeps there: removed with it.
pub const OF_K3S: [&str; 3] = [DATA, "/run/k3s", "/run/flannel"];

/// What K3s keeps there, and others could have kept before: removed with it if it was not there before.
pub const OF_PODS: [&str; 3] = [NODE_PASSWORD, "/var/lib/kubelet", "/var/lib/cni"];

/// Folders that others may use, too: removed when they are empty and were not there before. Deepest first.
pub const SHARED: [&str; 6] =
    [CONFIG_FOLDER, "/etc/rancher", "/var/lib/rancher", "/usr/local/bin", "/etc/modules-load.d", "/etc/sysctl.d"];
