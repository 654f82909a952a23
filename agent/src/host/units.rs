//! Asks systemd, over the system bus, which units have failed.

use std::path::PathBuf;
use std::time::Duration;

use rackhaven_proto::v1;
use tokio::time::timeout;
use tracing::debug;
use zbus::connection::Builder;
use zbus::{Connection, Message, OwnedObjectPath, OwnedVariant};

/// Most names that are told.
const MAX_UNITS: usize = 32;
/// How long one question may take in all.
const LIMIT: Duration = Duration::from_secs(5);

const SYSTEMD: &str = "org.freedesktop.systemd1";
const MANAGER_PATH: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// The units of K3s: of a server, and of an agent.
const K3S: [&str; 2] = ["k3s.service", "k3s-agent.service"];

/// What systemd says of its units.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct UnitStates {
    /// Those that have failed; none where that is not known.
    pub units: Option<v1::Units>,
    /// K3s; none where it is not installed.
    pub k3s: Option<v1::K3sUnit>,
}

/// What systemd tells of a unit: name, description, states of loading, activity and detail, what it follows, path, and
/// the job that is queued for it.
type Unit = (String, String, String, String, String, String, OwnedObjectPath, u32, String, OwnedObjectPath);

/// Watches the units of this node. Ask it about once a minute, beside the sampling, and hand the answer to the probe.
pub struct UnitsWatch {
    booted: PathBuf,
    address: Option<String>,
    // Kept, for making one costs more time (0.4 ms) than asking does (0.2 ms), and keeping it next to no memory.
    bus: Option<Connection>,
    failing: bool,
}

impl Default for UnitsWatch {
    fn default() -> Self {
        Self { booted: "/run/systemd/system".into(), address: None, bus: None, failing: false }
    }
}

impl UnitsWatch {
    /// How units are. Nothing is known where systemd is not in charge, or does not answer.
    pub async fn look(&mut self) -> UnitStates {
        // systemd's own word on whether it booted the machine.
        if !self.booted.is_dir() {
            return UnitStates::default();
        }
        let answer = match timeout(LIMIT, self.ask()).await {
            Ok(Ok(units)) => Ok(units),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no answer in {} s", LIMIT.as_secs())),
        };
        let failing = std::mem::replace(&mut self.failing, answer.is_err());
        answer
            .inspect_err(|error| {
                if !failing {
                    debug!(error, "cannot ask systemd for its units");
                }
            })
            .unwrap_or_default()
    }

    async fn ask(&mut self) -> zbus::Result<UnitStates> {
        // Put back only when it has answered: after an error or a timeout a new one is made next time.
        let bus = match self.bus.take() {
            Some(bus) => bus,
            None => self.address.as_deref().map_or_else(Builder::system, Builder::address).build().await?,
        };
        let states = UnitStates { units: Some(failed_units(&bus).await?), k3s: k3s(&bus).await? };
        self.bus = Some(bus);
        Ok(states)
    }
}

async fn k3s(bus: &Connection) -> zbus::Result<Option<v1::K3sUnit>> {
    let answer = call(bus, MANAGER, "ListUnitsByNames", &(K3S.as_slice(),)).await?;
    let units: Vec<Unit> = answer.body().deserialize()?;
    let installed = units.into_iter().find(|unit| unit.2 == "loaded");
    Ok(installed.map(|unit| v1::K3sUnit { unit: unit.0.trim_end_matches(".service").to_owned(), state: unit.3 }))
}

async fn failed_units(bus: &Connection) -> zbus::Result<v1::Units> {
    // The number alone is cheap for both sides, and mostly zero.
    let answer = call(bus, PROPERTIES, "Get", &(MANAGER, "NFailedUnits")).await?;
    let failed_count = u32::try_from(answer.body().deserialize::<OwnedVariant>()?)?;
    if failed_count == 0 {
        return Ok(v1::Units::default());
    }
    let answer = call(bus, MANAGER, "ListUnitsFiltered", &(["failed"].as_slice(),)).await?;
    let units: Vec<Unit> = answer.body().deserialize()?;
    let failed = units.into_iter().map(|unit| unit.0).take(MAX_UNITS).collect();
    Ok(v1::Units { failed, failed_count })
}

async fn call<B>(bus: &Connection, interface: &str, method: &str, body: &B) -> zbus::Result<Message>
where
    B: serde::Serialize + zbus::DynamicType,
{
    bus.call_method(Some(SYSTEMD), MANAGER_PATH, Some(interface), method, body).await
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rackhaven_proto::v1;
    use tokio::time::timeout;
    use tokio_stream::StreamExt;
    use zbus::connection::Builder;
    use zbus::{MessageStream, OwnedObjectPath, Variant};

    use super::{K3S, MANAGER, Unit, UnitStates, UnitsWatch};
    use crate::host::own_bus::Bus;

    /// Takes systemd's name and answers with these failed units.
    async fn serve(bus: &Bus, units: Vec<&'static str>) {
        let bus = Builder::address(bus.address.as_str()).name(super::SYSTEMD);
        let bus = timeout(super::LIMIT, bus.build()).await.unwrap().unwrap();
        let path = OwnedObjectPath::try_from("/org/freedesktop/systemd1/unit/x").unwrap();
        let unit = move |name: &&str| -> Unit {
            let text = str::to_owned;
            let (states, free) = ((text("loaded"), text("failed"), text("failed")), text(""));
            let (load, active, detail) = states;
            (text(name), text("A unit"), load, active, detail, free.clone(), path.clone(), 0, free, path.clone())
        };
        tokio::spawn(async move {
            let mut calls = MessageStream::from(&bus);
            while let Some(Ok(call)) = calls.next().await {
                let header = call.header();
                match header.member().map(|member| member.as_str()) {
                    Some("Get") => {
                        let asked: (String, String) = call.body().deserialize().unwrap();
                        assert_eq!(asked, (MANAGER.to_owned(), "NFailedUnits".to_owned()));
                        bus.reply(&header, &Variant::from(units.len() as u32)).await.unwrap();
                    }
                    Some("ListUnitsFiltered") => {
                        let asked: Vec<String> = call.body().deserialize().unwrap();
                        assert_eq!(asked, ["failed"]);
                        bus.reply(&header, &units.iter().map(&unit).collect::<Vec<_>>()).await.unwrap();
                    }
                    Some("ListUnitsByNames") => {
                        let asked: Vec<String> = call.body().deserialize().unwrap();
                        assert_eq!(asked, K3S);
                        let mut answer: Vec<Unit> = K3S.iter().map(&unit).collect();
                        answer[0].2 = "not-found".to_owned();
                        answer[1].3 = "activating".to_owned();
                        bus.reply(&header, &answer).await.unwrap();
                    }
                    _ => {}
                }
            }
        });
    }

    fn watch_on(bus: &Bus) -> UnitsWatch {
        UnitsWatch { booted: bus.dir.clone(), address: Some(bus.address.clone()), ..UnitsWatch::default() }
    }

    #[tokio::test]
    async fn failed_units_are_counted_and_named_and_k3s_is_found() {
        let Some(bus) = Bus::start("failed") else { return };
        serve(&bus, vec!["ssh.service", "mnt-nas.mount"]).await;
        let mut watch = watch_on(&bus);
        let failed = vec!["ssh.service".to_owned(), "mnt-nas.mount".to_owned()];
        let k3s = v1::K3sUnit { unit: "k3s-agent".to_owned(), state: "activating".to_owned() };
        let units = v1::Units { failed, failed_count: 2 };
        assert_eq!(watch.look().await, UnitStates { units: Some(units), k3s: Some(k3s) });
    }

    #[tokio::test]
    async fn many_are_cut_and_none_is_not_absent() {
        let Some(bus) = Bus::start("many") else { return };
        let mut watch = watch_on(&bus);
        assert_eq!(watch.look().await, UnitStates::default());
        serve(&bus, vec!["x.service"; 40]).await;
        let units = watch.look().await.units.unwrap();
        assert_eq!((units.failed.len(), units.failed_count), (32, 40));
        let Some(healthy) = Bus::start("healthy") else { return };
        serve(&healthy, vec![]).await;
        assert_eq!(watch_on(&healthy).look().await.units, Some(v1::Units::default()));
    }

    #[tokio::test]
    async fn a_bus_that_comes_back_is_found() {
        let Some(first) = Bus::start("first") else { return };
        serve(&first, vec![]).await;
        let mut watch = watch_on(&first);
        assert!(watch.look().await.units.is_some());
        let Some(second) = Bus::start("second") else { return };
        serve(&second, vec!["x.service"]).await;
        watch.address = Some(second.address.clone());
        assert_eq!(watch.look().await.units, Some(v1::Units::default()));
        drop(first);
        watch.booted = second.dir.clone();
        assert_eq!(watch.look().await, UnitStates::default());
        assert_eq!(watch.look().await.units.map(|units| units.failed_count), Some(1));
    }

    #[tokio::test]
    async fn absent_where_systemd_is_not_in_charge() {
        let nowhere = Path::new("/no/such/folder").to_owned();
        let mut watch = UnitsWatch { booted: nowhere, ..UnitsWatch::default() };
        assert_eq!(watch.look().await, UnitStates::default());
    }
}
