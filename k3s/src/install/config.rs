//! The configuration of K3s as we write it. What admins add to `config.yaml.d` is read after it, and left alone.

use std::fmt::Write;

use rackhaven_proto::model::k3s::{K3sPlace, K3sSecret, K3sSettings};

use crate::paths::{AGENT_TOKEN, TOKEN};

/// The whole of `config.yaml`.
#[must_use]
pub fn config(settings: &K3sSettings) -> String {
    let mut text = "# Written by Rackhaven, which replaces it. Your own keys belong into config.yaml.d.\n".to_owned();
    let mut set = |key: &str, value: &str| {
        // What is quoted so means itself in YAML.
        let _ = writeln!(text, "{key}: {}", quoted(value));
    };
    set("node-name", settings.node_name.as_str());
    set("token-file", TOKEN);
    if let Some((url, _)) = settings.joins() {
        set("server", &url.to_string());
    }
    if settings.server().is_some_and(|server| server.agent_password.is_some()) {
        set("agent-token-file", AGENT_TOKEN);
    }
    if !settings.node_ips.is_empty() {
        let ips: Vec<String> = settings.node_ips.iter().map(ToString::to_string).collect();
        set("node-ip", &ips.join(","));
    }
    if let Some(name) = &settings.flannel_iface {
        set("flannel-iface", name.as_str());
    }
    if let K3sPlace::First { server, .. } = &settings.place
        && server.embedded_etcd
    {
        text.push_str("cluster-init: true\n");
    }
    let mut list = |key: &str, values: Vec<String>| {
        if !values.is_empty() {
            let _ = writeln!(text, "{key}:");
            for value in values {
                let _ = writeln!(text, "  - {}", quoted(&value));
            }
        }
    };
    list("node-label", settings.labels.iter().map(ToString::to_string).collect());
    list("node-taint", settings.taints.iter().map(ToString::to_string).collect());
    if let Some(server) = settings.server() {
        list("tls-san", server.tls_names.iter().map(ToString::to_string).collect());
        list("disable", server.disable.iter().map(ToString::to_string).collect());
    }
    text
}

/// A text of YAML's in double quotes, which JSON's are too.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// What belongs into the files of tokens: by what the node joins or is joined, and by what agents do.
#[must_use]
pub fn tokens(settings: &K3sSettings) -> (&str, Option<&str>) {
    let own = match &settings.place {
        K3sPlace::First { password, .. } => password.reveal(),
        K3sPlace::Further { token, .. } | K3sPlace::Agent { token, .. } => token.reveal(),
    };
    (own, settings.server().and_then(|server| server.agent_password.as_ref()).map(K3sSecret::reveal))
}

#[cfg(test)]
pub(crate) mod tests {
    use rackhaven_proto::model::k3s::{K3sJoinToken, K3sPlace, K3sServer, K3sSettings, K3sTokenFor};

    use super::{config, tokens};
    use crate::files::sha256;

    pub(crate) fn first() -> K3sSettings {
        K3sSettings {
            node_name: "master".parse().unwrap(),
            place: K3sPlace::First {
                password: "hunter22".parse().unwrap(),
                server: K3sServer { agent_password: None, embedded_etcd: false, tls_names: vec![], disable: vec![] },
            },
            labels: vec![],
            taints: vec![],
            node_ips: vec![],
            flannel_iface: None,
        }
    }

    fn token(opens: K3sTokenFor) -> K3sJoinToken {
        K3sJoinToken::new(sha256(b""), opens, &"hunter33".parse().unwrap()).unwrap()
    }

    pub(crate) fn agent() -> K3sSettings {
        let url = "https://10.0.0.1:6443".parse().unwrap();
        let place = K3sPlace::Agent { url, token: token(K3sTokenFor::Agents) };
        K3sSettings { node_name: "pi-1".parse().unwrap(), place, ..first() }
    }

    const HEAD: &str = "# Written by Rackhaven, which replaces it. Your own keys belong into config.yaml.d.\n";

    #[test]
    fn golden() {
        assert_eq!(config(&first()), format!("{HEAD}node-name: \"master\"\ntoken-file: \"/etc/rancher/k3s/token\"\n"));
        assert_eq!(
            config(&agent()),
            format!(
                "{HEAD}node-name: \"pi-1\"\ntoken-file: \"/etc/rancher/k3s/token\"\nserver: \"https://10.0.0.1:6443\"\n"
            )
        );
        let server = K3sServer {
            agent_password: Some("hunter44".parse().unwrap()),
            embedded_etcd: true,
            tls_names: vec!["rack.lan".parse().unwrap(), "fd00::5".parse().unwrap()],
            disable: vec!["traefik".parse().unwrap()],
        };
        let all = K3sSettings {
            place: K3sPlace::First { password: "hunter22".parse().unwrap(), server: server.clone() },
            labels: vec!["disk=ssd".parse().unwrap(), "rack.example/shelf=2".parse().unwrap()],
            taints: vec!["slow=yes:NoSchedule".parse().unwrap()],
            node_ips: vec!["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()],
            flannel_iface: Some("zt0".parse().unwrap()),
            ..first()
        };
        let rest = "agent-token-file: \"/etc/rancher/k3s/agent-token\"\n\
                    node-ip: \"10.0.0.1,fd00::1\"\n\
                    flannel-iface: \"zt0\"\n";
        let lists = "node-label:\n  - \"disk=ssd\"\n  - \"rack.example/shelf=2\"\n\
                     node-taint:\n  - \"slow=yes:NoSchedule\"\n\
                     tls-san:\n  - \"rack.lan\"\n  - \"fd00::5\"\n\
                     disable:\n  - \"traefik\"\n";
        assert_eq!(
            config(&all),
            format!(
                "{HEAD}node-name: \"master\"\ntoken-file: \"/etc/rancher/k3s/token\"\n{rest}cluster-init: true\n{lists}"
            )
        );
        let place =
            K3sPlace::Further { url: "https://rack:6443".parse().unwrap(), token: token(K3sTokenFor::Servers), server };
        let further = K3sSettings { place, ..all };
        assert_eq!(
            config(&further),
            format!(
                "{HEAD}node-name: \"master\"\ntoken-file: \"/etc/rancher/k3s/token\"\nserver: \"https://rack:6443\"\n{rest}{lists}"
            )
        );
        let text = config(&further);
        assert!(!text.contains("hunter"), "{text}");
        let (own, agents) = tokens(&further);
        assert!(own.starts_with("K10e3b0") && own.ends_with("::server:hunter33"), "{own}");
        assert_eq!((agents, tokens(&first())), (Some("hunter44"), ("hunter22", None)));
    }
}
