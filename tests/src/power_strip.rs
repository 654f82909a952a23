//! What switches the hosts of a [`crate::Rack`] off and on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;

use crate::agent::Agent;
use crate::faketime::FakeTime;
use crate::fleet::Fleet;
use crate::rack::now;
use crate::scripted_ups::ScriptedUps;

/// How often the strip looks at its hosts.
const LOOK: Duration = Duration::from_millis(20);
/// By so much the controller's wall clock goes on while its machine is off, seconds: a UPS takes its time to cut, and the
/// controller waits for the end of that before it wakes anybody.
const OFF_S: u64 = 120;
/// From the return of mains to that of the load behind a UPS that has cut.
const LOAD_RETURNS: Duration = Duration::from_millis(300);

/// How a host comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Back {
    /// By a packet to its network interface.
    WakeOnLan,
    /// When its power was cut and is there again.
    PowerCycle,
    /// Somebody switches it on.
    ByHand,
}

/// A machine on the strip.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) agent: Agent,
    pub(crate) back: Back,
    pub(crate) mac: [u8; 6],
    pub(crate) on: bool,
    /// How often it switched itself off.
    pub(crate) offs: usize,
    /// How often it lost its power while it ran.
    pub(crate) cut: usize,
    /// When it starts.
    start: Option<Instant>,
    /// What its power-off command leaves behind.
    marker: PathBuf,
}

impl Host {
    pub(crate) fn new(agent: Agent, back: Back, mac: [u8; 6], marker: &Path) -> Self {
        Self { agent, back, mac, on: true, offs: 0, cut: 0, start: None, marker: marker.to_owned() }
    }
}

/// All that has power, or has none.
#[derive(Debug)]
pub(crate) struct Strip {
    pub(crate) hosts: BTreeMap<String, Host>,
    // Ends after the hosts: it holds their folder.
    pub(crate) fleet: Fleet,
    /// The host that the controller runs on.
    pub(crate) master: Option<String>,
    pub(crate) ups: Option<ScriptedUps>,
    /// The UPS has cut its load.
    dark: bool,
    /// When the load gets its power back.
    light: Option<Instant>,
    /// How long a host takes to boot.
    pub(crate) boot: Duration,
    /// The wall clock of the controller's machine, and how far it is ahead, seconds.
    pub(crate) clock: Option<FakeTime>,
    ahead_s: u64,
    /// What happened to the hosts.
    pub(crate) story: Vec<(Instant, String)>,
}

impl Strip {
    pub(crate) fn new(fleet: Fleet, hosts: BTreeMap<String, Host>, master: Option<String>) -> Self {
        let story = Vec::new();
        let (boot, clock) = (Duration::ZERO, None);
        Self { fleet, hosts, master, ups: None, dark: false, light: None, boot, clock, ahead_s: 0, story }
    }

    fn tell(&mut self, what: String) {
        self.story.push((now(), what));
    }

    fn look(&mut self) -> anyhow::Result<()> {
        let names: Vec<String> = self.hosts.keys().cloned().collect();
        for name in &names {
            let Some(host) = self.hosts.get_mut(name) else { continue };
            if host.on && host.marker.exists() {
                std::fs::remove_file(&host.marker)?;
                host.agent.halt();
                (host.on, host.start) = (false, None);
                host.offs += 1;
                if self.master.as_ref() == Some(name) {
                    self.fleet.halt_controller();
                }
                self.tell(format!("{name} is off"));
            }
        }
        self.cut_load(&names);
        for name in &names {
            let Some(host) = self.hosts.get_mut(name) else { continue };
            if !self.dark && !host.on && host.start.is_some_and(|start| now() >= start) {
                self.switch_on(name)?;
            }
        }
        Ok(())
    }

    /// The UPS cuts when its delay is over; a story need not wait for that once all hosts are off.
    fn cut_load(&mut self, names: &[String]) {
        let Some(ups) = &self.ups else { return };
        let all_off = self.hosts.values().all(|host| !host.on);
        let due = ups.ordered_cut().is_some_and(|cut| all_off || cut.at.elapsed() >= Duration::from_secs(cut.delay_s));
        let on_line = ups.on_line();
        if due {
            ups.has_cut();
            self.dark = true;
            self.light = None;
            self.tell("the UPS cuts".to_owned());
            for name in names {
                let Some(host) = self.hosts.get_mut(name).filter(|host| host.on) else { continue };
                host.agent.halt();
                (host.on, host.start) = (false, None);
                host.cut += 1;
                self.tell(format!("{name} loses its power"));
            }
            if self.master.is_some() {
                self.fleet.halt_controller();
            }
        }
        if !self.dark || !on_line {
            self.light = None;
            return;
        }
        let light = *self.light.get_or_insert_with(|| now() + LOAD_RETURNS);
        if now() >= light {
            (self.dark, self.light) = (false, None);
            let start = now() + self.boot;
            let cycled = self.hosts.values_mut().filter(|host| host.back == Back::PowerCycle);
            cycled.for_each(|host| host.start = Some(start));
            self.tell("the load has its power again".to_owned());
        }
    }

    pub(crate) fn switch_on(&mut self, name: &str) -> anyhow::Result<()> {
        if self.master.as_deref() == Some(name) {
            self.ahead_s += OFF_S;
            if let Some(clock) = &self.clock {
                clock.set(&format!("+{}", self.ahead_s))?;
            }
            self.fleet.boot_again();
            self.fleet.spawn_controller()?;
            write_pid(&mut self.fleet)?;
        }
        let Some(host) = self.hosts.get_mut(name) else { return Ok(()) };
        host.agent.boot_again();
        host.agent.start()?;
        (host.on, host.start) = (true, None);
        self.tell(format!("{name} is on"));
        Ok(())
    }

    /// A packet for some host.
    fn woken(&mut self, packet: &[u8]) {
        let Some(mac) = packet.get(6..12).filter(|_| packet.len() == 102 && packet.starts_with(&[0xff; 6])) else {
            return;
        };
        if packet.get(6..).is_some_and(|rest| rest.chunks(6).any(|piece| piece != mac)) {
            return;
        }
        let start = now() + self.boot;
        let hosts = self.hosts.values_mut().filter(|host| host.mac == mac && host.back == Back::WakeOnLan);
        for host in hosts.filter(|host| !host.on && !self.dark) {
            host.start.get_or_insert(start);
        }
    }
}

/// For the command that switches the controller's machine off.
pub(crate) fn write_pid(fleet: &mut Fleet) -> anyhow::Result<()> {
    let pid = fleet.controller()?.pid();
    Ok(std::fs::write(fleet.folder().join("controller.pid"), pid.to_string())?)
}

/// Looks after the hosts for as long as there are some.
pub(crate) async fn run(strip: Weak<Mutex<Strip>>, packets: UdpSocket) {
    let mut packet = [0; 256];
    loop {
        let length = tokio::select! {
            received = packets.recv(&mut packet) => received.unwrap_or_default(),
            () = tokio::time::sleep(LOOK) => 0,
        };
        let Some(strip) = strip.upgrade() else { return };
        look(&strip, packet.get(..length).unwrap_or_default());
    }
}

fn look(strip: &Arc<Mutex<Strip>>, packet: &[u8]) {
    let mut strip = strip.lock().unwrap_or_else(PoisonError::into_inner);
    if !packet.is_empty() {
        strip.woken(packet);
    }
    if let Err(error) = strip.look() {
        strip.tell(format!("the strip fails: {error:#}"));
    }
}
