use std::net::SocketAddr;

use rackhaven_proto::Invalid;
use serde::Deserialize;

use crate::alerts::channel::SecretSource;
use crate::config::{OneOrMany, addresses};

/// The checked `[metrics]` table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MetricsConfig {
    /// Where to answer HTTP; nowhere if empty.
    pub listen: Vec<SocketAddr>,
    /// What who asks for metrics must show; none to answer everybody.
    pub(crate) token: Option<SecretSource>,
}

/// The table's form.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawMetrics {
    listen: Option<OneOrMany>,
    token_file: Option<String>,
}

impl TryFrom<RawMetrics> for MetricsConfig {
    type Error = Invalid;

    fn try_from(raw: RawMetrics) -> Result<Self, Invalid> {
        let listen = raw
            .listen
            .map_or_else(|| Ok(Vec::new()), |listen| addresses("metrics.listen", listen, "127.0.0.1:9743"))?;
        let token = raw
            .token_file
            .map(|text| SecretSource::parse(&text).map_err(|reason| Invalid::new("metrics.token_file", reason)));
        Ok(Self { listen, token: token.transpose()? })
    }
}
