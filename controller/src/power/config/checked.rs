//! From the table's form to its values.

use std::collections::BTreeMap;

use rackhaven_proto::Invalid;
use rackhaven_proto::model::{NodeName, StepKind};

use super::raw::{RawFacade, RawFacadeUser, RawPower, RawStage, RawSteps, RawUps};
use super::{FacadeSettings, Master, PowerConfig, Selector, WakeSetting};
use crate::nut::facade::{FacadeConfig, FacadeUser};
use crate::nut::{UpsConfig, UpsUser};
use crate::power::policy::{Need, Policy, Shed, Stage, Wake};

/// How long a NUT client of a stage may take to log out, unless told otherwise, milliseconds.
const CLIENTS_MS: u64 = 60_000;
/// Most NUT clients at a time.
const MOST_CLIENTS: usize = 64;

/// Seconds within bounds, or their default, as milliseconds.
fn ms(key: &str, value: Option<f64>, default_s: f64, least_s: f64, most_s: f64) -> Result<u64, Invalid> {
    let seconds = value.unwrap_or(default_s);
    if !(least_s..=most_s).contains(&seconds) {
        return Err(Invalid::new(format!("power.{key}"), format!("{seconds} is not between {least_s} and {most_s}")));
    }
    Ok((seconds * 1000.0).round() as u64)
}

fn parsed<T: std::str::FromStr<Err = Invalid>>(key: &str, texts: Option<Vec<String>>) -> Result<Vec<T>, Invalid> {
    let named = |invalid: Invalid| Invalid::new(format!("power.{key}"), invalid.reason);
    texts.unwrap_or_default().iter().map(|text| text.parse().map_err(named)).collect()
}

fn optional_ms(key: &str, value: Option<f64>, most_s: f64) -> Result<Option<u64>, Invalid> {
    value.map(|seconds| ms(key, Some(seconds), 0.0, 0.1, most_s)).transpose()
}

/// A charge; 0 switches it off.
fn percent(key: &str, value: Option<f32>, default: f32) -> Result<Option<f32>, Invalid> {
    let percent = value.unwrap_or(default);
    if !(0.0..=100.0).contains(&percent) {
        return Err(Invalid::new(format!("power.{key}"), format!("{percent} is not between 0 and 100")));
    }
    Ok((percent > 0.0).then_some(percent))
}

/// Whom a text means: a node's name, or a label as KEY=VALUE.
pub(crate) fn selector(key: &str, text: &str) -> Result<Selector, Invalid> {
    let named = |invalid: Invalid| Invalid::new(key, invalid.reason);
    match text.split_once('=') {
        Some((label, value)) => Ok(Selector::Label(label.parse().map_err(named)?, value.parse().map_err(named)?)),
        None => Ok(Selector::Node(text.parse().map_err(named)?)),
    }
}

fn need(key: &str, text: &str) -> Result<Need, Invalid> {
    match text.strip_prefix("mount:") {
        Some(path) if path.starts_with('/') => Ok(Need::Mount(path.to_owned())),
        Some(path) => Err(Invalid::new(key, format!("{path:?} is not an absolute path"))),
        None => text.parse().map(Need::Node).map_err(|invalid: Invalid| Invalid::new(key, invalid.reason)),
    }
}

fn stage(raw: &RawStage, with_clients: bool) -> Result<(Stage, Vec<Selector>), Invalid> {
    let key = |field: &str| format!("stage.{}.{field}", raw.name);
    let nodes_key = format!("power.{}", key("nodes"));
    let shed = Shed {
        charge_percent: percent(&key("shed_charge_percent"), raw.shed_charge_percent, 0.0)?,
        time_ms: optional_ms(&key("shed_after_seconds"), raw.shed_after_seconds, 86_400.0)?,
        runtime_ms: optional_ms(&key("shed_runtime_seconds"), raw.shed_runtime_seconds, 86_400.0)?,
    };
    let given = shed.charge_percent.is_some() || shed.time_ms.is_some() || shed.runtime_ms.is_some();
    let clients_ms = ms(&key("clients_seconds"), raw.clients_seconds, CLIENTS_MS as f64 / 1000.0, 1.0, 3600.0)?;
    let needs_key = format!("power.{}", key("needs"));
    let stage = Stage {
        name: raw.name.clone(),
        cap_ms: optional_ms(&key("cap_seconds"), raw.cap_seconds, 86_400.0)?,
        shed: given.then_some(shed),
        needs: raw.needs.iter().map(|text| need(&needs_key, text)).collect::<Result<_, _>>()?,
        clients_ms: with_clients.then_some(clients_ms),
    };
    let nodes = raw.nodes.iter().map(|text| selector(&nodes_key, text)).collect::<Result<Vec<_>, _>>()?;
    if nodes.is_empty() && !with_clients {
        return Err(Invalid::new(nodes_key, "names nobody: node names, or labels as key=value"));
    }
    Ok((stage, nodes))
}

fn stages(raw: &[RawStage], facade: Option<&FacadeSettings>) -> Result<Vec<(Stage, Vec<Selector>)>, Invalid> {
    let of_clients = |name: &str| {
        facade.is_some_and(|facade| facade.served.users.iter().any(|user| user.stage.as_deref() == Some(name)))
    };
    let mut stages: Vec<(Stage, Vec<Selector>)> = Vec::with_capacity(raw.len());
    for raw in raw {
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if raw.name.is_empty() || raw.name.len() > 32 || !raw.name.chars().all(allowed) {
            let reason = format!("{:?} is not 1 to 32 letters, digits, hyphens and underscores", raw.name);
            return Err(Invalid::new("power.stage.name", reason));
        }
        if matches!(raw.name.as_str(), "others" | "master") || stages.iter().any(|(stage, _)| stage.name == raw.name) {
            return Err(Invalid::new("power.stage.name", format!("{:?} is taken", raw.name)));
        }
        stages.push(stage(raw, of_clients(&raw.name))?);
    }
    let known = |name: &str| stages.iter().any(|(stage, _)| stage.name == name);
    let users = facade.into_iter().flat_map(|facade| &facade.served.users);
    match users.filter_map(|user| user.stage.as_deref()).find(|name| !known(name)) {
        Some(name) => Err(Invalid::new("power.facade.user.stage", format!("there is no stage {name:?}"))),
        None => Ok(stages),
    }
}

fn ups(raw: RawUps) -> Result<UpsConfig, Invalid> {
    let address = raw.name.parse().map_err(|invalid: Invalid| Invalid::new("power.ups.name", invalid.reason))?;
    let user = match (raw.user, raw.password_file) {
        (Some(name), Some(password_file)) => Some(UpsUser { name, password_file, login: raw.login.unwrap_or(true) }),
        (None, None) => None,
        _ => return Err(Invalid::new("power.ups.user", "and password_file go together")),
    };
    Ok(UpsConfig { address, tls: raw.tls, ca_file: raw.ca_file, user })
}

fn facade(raw: RawFacade) -> Result<FacadeSettings, Invalid> {
    let listen = raw.listen.iter().map(|text| {
        let reason = || Invalid::new("power.facade.listen", format!("{text:?} is not ADDRESS:PORT, such as [::]:3493"));
        text.parse().map_err(|_| reason())
    });
    let listen = listen.collect::<Result<Vec<_>, _>>()?;
    if listen.is_empty() {
        return Err(Invalid::new("power.facade.listen", "names no address"));
    }
    let user =
        |user: RawFacadeUser| FacadeUser { name: user.name, password_file: user.password_file, stage: user.stage };
    let served = FacadeConfig {
        ups: raw.ups.unwrap_or_else(|| "ups".to_owned()),
        description: "as Rackhaven sees it".to_owned(),
        users: raw.user.into_iter().map(user).collect(),
        max_clients: MOST_CLIENTS,
    };
    Ok(FacadeSettings { listen, served })
}

fn wake(raw: &BTreeMap<String, String>) -> Result<BTreeMap<NodeName, WakeSetting>, Invalid> {
    let each = raw.iter().map(|(node, how)| {
        let key = format!("power.wake.{node}");
        let node = node.parse().map_err(|invalid: Invalid| Invalid::new(&key, invalid.reason))?;
        let setting = match how.as_str() {
            "wake-on-lan" => WakeSetting::How(Wake::WakeOnLan),
            "power-cycle" => WakeSetting::How(Wake::PowerCycle),
            "by-hand" => WakeSetting::How(Wake::ByHand),
            address => {
                let reason = || format!("{address:?} is none of wake-on-lan, power-cycle, by-hand, and no MAC address");
                WakeSetting::Address(address.parse().map_err(|_: Invalid| Invalid::new(&key, reason()))?)
            }
        };
        Ok((node, setting))
    });
    each.collect()
}

fn policy(raw: &RawPower, ups_count: usize) -> Result<Policy, Invalid> {
    let minimum = raw.minimum_supplies.unwrap_or(ups_count.max(1));
    if minimum == 0 || minimum > ups_count.max(1) {
        let reason = format!("{minimum} is not between 1 and the number of UPSes, {ups_count}");
        return Err(Invalid::new("power.minimum_supplies", reason));
    }
    let RawSteps {
        drain_seconds,
        stop_k3s_seconds,
        stop_backups_seconds,
        hooks_seconds,
        unmount_seconds,
        sync_seconds,
        power_off_seconds,
    } = &raw.steps;
    let given = [
        ("drain_seconds", drain_seconds),
        ("stop_k3s_seconds", stop_k3s_seconds),
        ("stop_backups_seconds", stop_backups_seconds),
        ("hooks_seconds", hooks_seconds),
        ("unmount_seconds", unmount_seconds),
        ("sync_seconds", sync_seconds),
        ("power_off_seconds", power_off_seconds),
    ];
    let mut timeouts: Vec<(StepKind, u32)> = Vec::new();
    for ((key, seconds), (kind, default_ms)) in given.into_iter().zip(Policy::STEP_TIMEOUTS_MS) {
        let timeout_ms = ms(&format!("steps.{key}"), *seconds, f64::from(default_ms) / 1000.0, 0.1, 3600.0)?;
        timeouts.push((kind, u32::try_from(timeout_ms).unwrap_or(u32::MAX)));
    }
    Ok(Policy {
        ups_count,
        minimum_supplies: minimum,
        hold_ms: ms("hold_seconds", raw.hold_seconds, 2.0, 0.0, 60.0)?,
        charge_percent: percent("charge_percent", raw.charge_percent, 20.0)?,
        time_ms: optional_ms("on_battery_seconds", raw.on_battery_seconds, 86_400.0)?,
        assumed_runtime_ms: ms("assumed_runtime_seconds", raw.assumed_runtime_seconds, 300.0, 1.0, 86_400.0)?,
        margin_ms: ms("margin_seconds", raw.margin_seconds, 60.0, 0.0, 3600.0)?,
        mains_hold_ms: ms("mains_hold_seconds", raw.mains_hold_seconds, 3.0, 0.0, 3600.0)?,
        mains_stable_ms: ms("mains_stable_seconds", raw.mains_stable_seconds, 30.0, 0.0, 86_400.0)?,
        restore_charge_percent: percent("restore_charge_percent", raw.restore_charge_percent, 30.0)?,
        restore_wait_ms: ms("restore_wait_seconds", raw.restore_wait_seconds, 1800.0, 0.0, 604_800.0)?,
        steps: Policy::steps(&timeouts).map_err(|invalid| Invalid::new("power.steps", invalid.reason))?,
        off_grace_ms: ms("off_grace_seconds", raw.off_grace_seconds, 60.0, 1.0, 3600.0)?,
        expected_ms: ms("expected_seconds", raw.expected_seconds, 30.0, 0.1, 3600.0)?,
        return_wait_ms: ms("return_wait_seconds", raw.return_wait_seconds, 180.0, 1.0, 86_400.0)?,
        witness_hold_ms: ms("witness_hold_seconds", raw.witness_hold_seconds, 10.0, 0.0, 3600.0)?,
        cut: raw.cut_load.unwrap_or(true),
    })
}

impl TryFrom<RawPower> for PowerConfig {
    type Error = Invalid;

    fn try_from(mut raw: RawPower) -> Result<Self, Invalid> {
        let upses = std::mem::take(&mut raw.ups).into_iter().map(ups).collect::<Result<Vec<_>, _>>()?;
        let policy = policy(&raw, upses.len())?;
        let facade = raw.facade.take().map(facade).transpose()?;
        if facade.is_some() && upses.is_empty() {
            return Err(Invalid::new("power.facade", "there is no [[power.ups]] that could be served"));
        }
        Ok(Self {
            policy,
            poll_ms: (
                ms("poll_seconds", raw.poll_seconds, 1.0, 0.1, 60.0)?,
                ms("poll_on_battery_seconds", raw.poll_on_battery_seconds, 0.25, 0.05, 60.0)?,
            ),
            witnesses: parsed("witnesses", raw.witnesses.take())?,
            witness_every_ms: ms("witness_seconds", raw.witness_seconds, 5.0, 0.1, 3600.0)?,
            stages: stages(&raw.stage, facade.as_ref())?,
            wake: wake(&raw.wake)?,
            wake_addresses: parsed("wake_addresses", raw.wake_addresses.take())?,
            master: match raw.master.as_deref() {
                None | Some("") => Master::Find,
                Some("none") => Master::Elsewhere,
                Some(name) => {
                    let named = |invalid: Invalid| Invalid::new("power.master", invalid.reason);
                    Master::Node(name.parse().map_err(named)?)
                }
            },
            upses,
            facade,
        })
    }
}
