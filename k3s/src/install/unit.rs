//! The unit of systemd's that runs K3s.

use rackhaven_proto::model::k3s::K3sRole;

use crate::paths::{PROGRAM, UNITS};

/// Where the unit is.
#[must_use]
pub fn unit_path(role: K3sRole) -> String {
    format!("{UNITS}/{}", role.unit())
}

/// Where its environment is.
#[must_use]
pub fn environment_path(role: K3sRole) -> String {
    format!("{UNITS}/{}.env", role.unit())
}

/// The unit. Pods outlive a restart of K3s (`KillMode`), and it is up when it says so (`notify`), however long it takes.
#[must_use]
pub fn unit(role: K3sRole) -> String {
    let (what, name) = match role {
        K3sRole::Server => ("K3s, a server of the cluster", "k3s"),
        K3sRole::Agent => ("K3s, an agent of the cluster", "k3s-agent"),
    };
    format!(
        "# Written by Rackhaven, which replaces it. Changes belong into {unit}.d.\n\
         [Unit]\n\
         Description={what}\n\
         Documentation=https://docs.k3s.io\n\
         Wants=network-online.target\n\
         After=network-online.target\n\
         \n\
         [Service]\n\
         Type=notify\n\
         EnvironmentFile=-/etc/default/{name}\n\
         EnvironmentFile=-{environment}\n\
         ExecStartPre=-modprobe br_netfilter\n\
         ExecStartPre=-modprobe overlay\n\
         ExecStart={PROGRAM} {role}\n\
         KillMode=process\n\
         Delegate=yes\n\
         LimitNOFILE=1048576\n\
         LimitNPROC=infinity\n\
         LimitCORE=infinity\n\
         TasksMax=infinity\n\
         TimeoutStartSec=0\n\
         Restart=always\n\
         RestartSec=5s\n\
         \n\
         [Install]\n\
         WantedBy=multi-user.target\n",
        unit = role.unit(),
        environment = environment_path(role),
    )
}

/// Its environment: a place for an admin's lines is beside it.
#[must_use]
pub fn environment(role: K3sRole) -> String {
    let name = match role {
        K3sRole::Server => "k3s",
        K3sRole::Agent => "k3s-agent",
    };
    format!(
        "# Written by Rackhaven, which replaces it. A proxy and the like belong into /etc/default/{name}.\n\
         K3S_CONFIG_FILE={}\n",
        crate::paths::CONFIG
    )
}

#[cfg(test)]
mod tests {
    use rackhaven_proto::model::k3s::K3sRole;

    use super::{environment, environment_path, unit, unit_path};

    const AGENT: &str = r"# Written by Rackhaven, which replaces it. Changes belong into k3s-agent.service.d.
[Unit]
Description=K3s, an agent of the cluster
Documentation=https://docs.k3s.io
Wants=network-online.target
After=network-online.target

[Service]
Type=notify
EnvironmentFile=-/etc/default/k3s-agent
EnvironmentFile=-/etc/systemd/system/k3s-agent.service.env
ExecStartPre=-modprobe br_netfilter
ExecStartPre=-modprobe overlay
ExecStart=/usr/local/bin/k3s agent
KillMode=process
Delegate=yes
LimitNOFILE=1048576
LimitNPROC=infinity
LimitCORE=infinity
TasksMax=infinity
TimeoutStartSec=0
Restart=always
RestartSec=5s

[Install]
WantedBy=multi-user.target
";

    #[test]
    fn golden() {
        assert_eq!(unit(K3sRole::Agent), AGENT);
        let server =
            AGENT.replace("k3s-agent", "k3s").replace("an agent", "a server").replace("k3s agent", "k3s server");
        assert_eq!(unit(K3sRole::Server), server);
        assert_eq!(unit_path(K3sRole::Server), "/etc/systemd/system/k3s.service");
        assert_eq!(environment_path(K3sRole::Agent), "/etc/systemd/system/k3s-agent.service.env");
        assert!(environment(K3sRole::Server).ends_with("K3S_CONFIG_FILE=/etc/rancher/k3s/config.yaml\n"));
    }
}
