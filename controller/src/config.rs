//! `controller.toml`: raw TOML, then a type whose values can all be used.

use std::net::SocketAddr;
use std::path::PathBuf;

use rackhaven_proto::Invalid;
use rackhaven_proto::daemon::LogSettings;
use rackhaven_proto::model::Endpoint;
use serde::Deserialize;

use crate::alerts::config::{AlertsConfig, RawAlerts};
use crate::metrics::config::{MetricsConfig, RawMetrics};
use crate::power::config::{PowerConfig, RawPower};

/// Seconds of a day.
const DAY_S: u64 = 24 * 3600;

/// The checked configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Where to listen for gRPC.
    pub listen: Vec<SocketAddr>,
    /// The Unix socket for root on this machine; none to have none.
    pub socket: Option<PathBuf>,
    /// Where agents and users reach this controller, in order of preference; told to them.
    pub endpoints: Vec<Endpoint>,
    /// Heartbeats and what follows from missing ones.
    pub session: SessionConfig,
    /// How long certificates live.
    pub certificates: CertificateConfig,
    /// How much of the past is kept.
    pub history: HistoryConfig,
    /// Bounds against floods.
    pub limits: LimitConfig,
    /// What counts as wrong, and how it is told.
    pub alerts: AlertsConfig,
    /// Where Prometheus is answered.
    pub metrics: MetricsConfig,
    /// UPSes, stages, and what happens when mains fails.
    pub power: PowerConfig,
    /// A K3s cluster that was not made here.
    pub k3s: K3sConfig,
    /// The log.
    pub log: LogSettings,
}

/// The `[k3s]` table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct K3sConfig {
    /// By which kubeconfig a cluster is reached that was not made here.
    pub kubeconfig: Option<PathBuf>,
}

/// The `[session]` table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionConfig {
    /// Between two heartbeats, milliseconds.
    pub heartbeat_ms: u32,
    /// Between two samples, milliseconds.
    pub sample_ms: u32,
    /// After so many missed heartbeats a node is suspect.
    pub suspect_after_missed: u32,
    /// After so many missed heartbeats a node is down.
    pub down_after_missed: u32,
}

/// The `[certificates]` table; lives in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CertificateConfig {
    /// Of a node's certificate.
    pub node_life_s: i64,
    /// Of a user's.
    pub user_life_s: i64,
    /// Of the controller's own.
    pub server_life_s: i64,
}

/// The `[history]` table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryConfig {
    /// Whether anything is kept at all.
    pub enabled: bool,
    /// Samples of each node that are kept in memory.
    pub recent_points: usize,
    /// How long minutes are kept, hours.
    pub minutes_keep_hours: u32,
    /// How long ten minutes are kept, days.
    pub ten_minutes_keep_days: u32,
    /// How long two hours are kept, days.
    pub two_hours_keep_days: u32,
}

/// The `[limits]` table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitConfig {
    /// Most open connections.
    pub connections: usize,
    /// Most handshakes at a time; beyond it the oldest is dropped.
    pub handshakes: usize,
    /// Most connections without a certificate.
    pub anonymous_connections: usize,
    /// Enrolments that one address may try in a minute.
    pub enrolments_per_minute: u32,
}

/// The file's form.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawConfig {
    listen: Option<OneOrMany>,
    socket: Option<String>,
    endpoints: Option<Vec<String>>,
    #[serde(default)]
    session: RawSession,
    #[serde(default)]
    certificates: RawCertificates,
    #[serde(default)]
    history: RawHistory,
    #[serde(default)]
    limits: RawLimits,
    #[serde(default)]
    alerts: RawAlerts,
    #[serde(default)]
    metrics: RawMetrics,
    #[serde(default)]
    power: RawPower,
    #[serde(default)]
    k3s: RawK3s,
    #[serde(default)]
    log: LogSettings,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawK3s {
    kubeconfig: Option<PathBuf>,
}

impl TryFrom<RawK3s> for K3sConfig {
    type Error = Invalid;

    fn try_from(raw: RawK3s) -> Result<Self, Invalid> {
        match raw.kubeconfig.filter(|path| !path.as_os_str().is_empty()) {
            Some(path) if path.is_relative() => {
                Err(Invalid::new("k3s.kubeconfig", format!("{:?} is not an absolute path", path.display().to_string())))
            }
            kubeconfig => Ok(Self { kubeconfig }),
        }
    }
}

/// A text or a list of texts.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSession {
    heartbeat_ms: Option<u32>,
    sample_ms: Option<u32>,
    suspect_after_missed: Option<u32>,
    down_after_missed: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCertificates {
    node_life_seconds: Option<u64>,
    user_life_seconds: Option<u64>,
    server_life_seconds: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawHistory {
    enabled: Option<bool>,
    recent_points: Option<usize>,
    minutes_keep_hours: Option<u32>,
    ten_minutes_keep_days: Option<u32>,
    two_hours_keep_days: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLimits {
    connections: Option<usize>,
    handshakes: Option<usize>,
    anonymous_connections: Option<usize>,
    enrolments_per_minute: Option<u32>,
}

/// A number within bounds, or its default.
fn within<T>(key: &str, value: Option<T>, default: T, least: T, most: T) -> Result<T, Invalid>
where
    T: PartialOrd + Copy + std::fmt::Display,
{
    let value = value.unwrap_or(default);
    if value < least || value > most {
        return Err(Invalid::new(key, format!("{value} is not between {least} and {most}")));
    }
    Ok(value)
}

/// Where to listen: at least one address and port, such as `example`.
pub(crate) fn addresses(key: &str, listen: OneOrMany, example: &str) -> Result<Vec<SocketAddr>, Invalid> {
    let texts = match listen {
        OneOrMany::One(one) => vec![one],
        OneOrMany::Many(many) => many,
    };
    let wrong = |text: &String| Invalid::new(key, format!("{text:?} is not ADDRESS:PORT, such as {example}"));
    let parsed = texts.iter().map(|text| text.parse().map_err(|_| wrong(text)));
    let addresses = parsed.collect::<Result<Vec<_>, _>>()?;
    if addresses.is_empty() {
        return Err(Invalid::new(key, "names no address"));
    }
    Ok(addresses)
}

fn life(key: &str, value: Option<u64>, default_days: u64) -> Result<i64, Invalid> {
    within(key, value, default_days * DAY_S, 30, 10 * 365 * DAY_S).map(u64::cast_signed)
}

impl TryFrom<RawConfig> for Config {
    type Error = Invalid;

    fn try_from(raw: RawConfig) -> Result<Self, Invalid> {
        const LISTEN: &str = "[::]:7443";
        let listen = raw.listen.unwrap_or_else(|| OneOrMany::One(LISTEN.to_owned()));
        let listen = addresses("listen", listen, LISTEN)?;
        let socket = raw.socket.unwrap_or_else(|| "/run/rackhaven/controller.sock".to_owned());
        let endpoints = raw
            .endpoints
            .unwrap_or_default()
            .iter()
            .map(|text| text.parse().map_err(|invalid: Invalid| Invalid::new("endpoints", invalid.reason)))
            .collect::<Result<Vec<_>, _>>()?;
        let session = &raw.session;
        let suspect_after_missed = within("session.suspect_after_missed", session.suspect_after_missed, 3, 1, 1000)?;
        Ok(Self {
            listen,
            socket: (!socket.is_empty()).then(|| PathBuf::from(socket)),
            endpoints,
            session: SessionConfig {
                heartbeat_ms: within("session.heartbeat_ms", session.heartbeat_ms, 2000, 100, 60_000)?,
                sample_ms: within("session.sample_ms", session.sample_ms, 5000, 200, 3_600_000)?,
                suspect_after_missed,
                down_after_missed: within(
                    "session.down_after_missed",
                    session.down_after_missed,
                    suspect_after_missed.max(4) + 1,
                    suspect_after_missed + 1,
                    10_000,
                )?,
            },
            certificates: CertificateConfig {
                node_life_s: life("certificates.node_life_seconds", raw.certificates.node_life_seconds, 90)?,
                user_life_s: life("certificates.user_life_seconds", raw.certificates.user_life_seconds, 365)?,
                server_life_s: life("certificates.server_life_seconds", raw.certificates.server_life_seconds, 365)?,
            },
            history: HistoryConfig {
                enabled: raw.history.enabled.unwrap_or(true),
                recent_points: within("history.recent_points", raw.history.recent_points, 60, 0, 1000)?,
                minutes_keep_hours: within("history.minutes_keep_hours", raw.history.minutes_keep_hours, 48, 1, 8784)?,
                ten_minutes_keep_days: within(
                    "history.ten_minutes_keep_days",
                    raw.history.ten_minutes_keep_days,
                    90,
                    1,
                    3660,
                )?,
                two_hours_keep_days: within(
                    "history.two_hours_keep_days",
                    raw.history.two_hours_keep_days,
                    1100,
                    1,
                    36_600,
                )?,
            },
            limits: LimitConfig {
                connections: within("limits.connections", raw.limits.connections, 16_384, 16, 1_000_000)?,
                handshakes: within("limits.handshakes", raw.limits.handshakes, 2048, 8, 65_536)?,
                anonymous_connections: within(
                    "limits.anonymous_connections",
                    raw.limits.anonymous_connections,
                    256,
                    8,
                    65_536,
                )?,
                enrolments_per_minute: within(
                    "limits.enrolments_per_minute",
                    raw.limits.enrolments_per_minute,
                    120,
                    1,
                    100_000,
                )?,
            },
            alerts: raw.alerts.try_into()?,
            metrics: raw.metrics.try_into()?,
            power: raw.power.try_into()?,
            k3s: raw.k3s.try_into()?,
            log: raw.log,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rackhaven_proto::daemon::parse_toml;

    use super::{Config, RawConfig};

    fn parse(text: &str) -> Result<Config, String> {
        parse_toml::<RawConfig, Config>(text, Path::new("controller.toml")).map_err(|error| error.to_string())
    }

    #[test]
    fn an_empty_file_is_whole() {
        let config = parse("").unwrap();
        assert_eq!(config.session.down_after_missed, 5);
        assert_eq!(config.listen, ["[::]:7443".parse().unwrap()]);
    }

    #[test]
    fn the_shipped_file_is_the_defaults() {
        assert_eq!(parse(include_str!("../../packaging/controller.toml")), parse(""));
    }

    #[test]
    fn mistakes_are_named() {
        for (text, message) in [
            (
                "lisen = 'x'",
                "controller.toml: line 1: unknown field `lisen`, expected one of `listen`, `socket`, `endpoints`, `session`, `certificates`, `history`, `limits`, `alerts`, `metrics`, `power`, `k3s`, `log`; did you mean `listen`?",
            ),
            ("listen = 'x'", "controller.toml: listen: \"x\" is not ADDRESS:PORT, such as [::]:7443"),
            ("listen = []", "controller.toml: listen: names no address"),
            (
                "[metrics]\nlisten = ':9743'",
                "controller.toml: metrics.listen: \":9743\" is not ADDRESS:PORT, such as 127.0.0.1:9743",
            ),
            (
                "[metrics]\ntoken_file = 'token'",
                "controller.toml: metrics.token_file: \"token\" is neither an absolute path nor credential:NAME",
            ),
            ("[k3s]\nkubeconfig = 'k3s.yaml'", "controller.toml: k3s.kubeconfig: \"k3s.yaml\" is not an absolute path"),
            ("endpoints = ['a:0']", "controller.toml: endpoints: \"0\" is not a port from 1 to 65535"),
            ("[session]\nheartbeat_ms = 5", "controller.toml: session.heartbeat_ms: 5 is not between 100 and 60000"),
            (
                "[session]\nsuspect_after_missed = 9\ndown_after_missed = 9",
                "controller.toml: session.down_after_missed: 9 is not between 10 and 10000",
            ),
        ] {
            assert_eq!(parse(text), Err(message.to_owned()));
        }
    }
}
