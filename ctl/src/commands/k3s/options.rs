use clap::Args;
use rackhaven_proto::v1::K3sNodeOptions;

/// How a node is set up; labels and taints count when it registers.
#[derive(Debug, Args)]
pub(super) struct NodeOptions {
    /// A label of the node in the cluster; may be given several times
    #[arg(long = "label", value_name = "KEY=VALUE")]
    labels: Vec<String>,
    /// A taint that keeps pods away; may be given several times
    #[arg(long = "taint", value_name = "KEY=VALUE:EFFECT")]
    taints: Vec<String>,
    /// The node's address in the cluster, such as that on the VPN; one of IPv4, one of IPv6
    #[arg(long = "node-ip", value_name = "ADDRESS")]
    node_ips: Vec<String>,
    /// The interface of the pods' network, such as that of the VPN
    #[arg(long, value_name = "INTERFACE", default_value = "", hide_default_value = true)]
    flannel_iface: String,
}

/// The same for servers.
#[derive(Debug, Args)]
pub(super) struct ServerOptions {
    /// The host by which other nodes reach this server; otherwise its --node-ip, or the address its agent dials from
    #[arg(long, value_name = "HOST", default_value = "", hide_default_value = true)]
    pub(super) address: String,
    /// A further name or address in the API's certificate; may be given several times
    #[arg(long = "tls-san", value_name = "NAME")]
    pub(super) tls_sans: Vec<String>,
}

impl NodeOptions {
    /// As it is asked; none if nothing was said, and then a member stays as it is.
    pub(super) fn asked(self, tls_sans: Vec<String>, disable: Vec<String>) -> Option<K3sNodeOptions> {
        let Self { labels, taints, node_ips, flannel_iface } = self;
        let options = K3sNodeOptions { labels, taints, node_ips, flannel_iface, tls_sans, disable };
        (options != K3sNodeOptions::default()).then_some(options)
    }
}
