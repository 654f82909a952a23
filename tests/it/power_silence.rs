//! On battery, and something that was there falls silent: the UPS's server, the controller, the network, an agent.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use rackhaven_tests::rack::told;
use rackhaven_tests::{Back, Rack, RackPlan, Ups, address, wait_for, wait_until};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// Seconds that a battery lasts whose UPS tells nothing, and how much before that the nodes go that take longest.
const ASSUMED_S: u64 = 6;

fn on_real(ups: &Ups) -> RackPlan {
    let entry = format!(
        "{{ name = \"{}\", user = \"rackhaven\", password_file = \"{}\" }}",
        ups.name(),
        ups.password_file("rackhaven").display()
    );
    RackPlan::default()
        .stage("workers", &[("w-1", Back::WakeOnLan)])
        .ups(&entry)
        .with("power.assumed_runtime_seconds", ASSUMED_S)
        .with("power.witness_seconds", 0.2)
        .with("power.witness_hold_seconds", 0.4)
}

/// A UPS that tells no runtime.
async fn without_runtime() -> Ups {
    let mut ups = Ups::start().await.unwrap();
    ups.set(&[("battery.runtime", "0")]).await.unwrap();
    ups
}

#[tokio::test]
async fn the_clock_runs_on_when_the_server_dies_on_battery() {
    let mut ups = without_runtime().await;
    let rack = on_real(&ups).build().await.unwrap();
    ups.set(&[("ups.status", "OB DISCHRG")]).await.unwrap();
    rack.wait_for_line(1, "", "outage.on-battery").await.unwrap();
    ups.kill_upsd().await.unwrap();
    let trigger = rack.wait_for_line(1, "", "outage.trigger").await.unwrap();
    eprintln!(
        "upsd killed on battery: {} ms after on-battery: {}; the assumed {ASSUMED_S} s less 1 s margin and 1 s way down \
         are over after 4 s, and hold for 0.3 s",
        trigger.at_ms, trigger.message
    );
    assert!((4300..6000).contains(&trigger.at_ms), "{trigger:?}");
    wait_until("the node to be off", async || !rack.is_on("w-1")).await.unwrap();
}

/// Takes connections, or is as silent as what has no power.
struct Witness {
    address: SocketAddr,
    listener: Option<TcpListener>,
    /// They fill the queue of what nobody takes, so that more of them get no answer.
    fillers: Vec<TcpStream>,
}

impl Witness {
    fn listen(address: SocketAddr) -> TcpListener {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(address).unwrap();
        socket.listen(1).unwrap()
    }

    fn new() -> Self {
        let address = address::fresh();
        Self { address, listener: Some(Self::listen(address)), fillers: Vec::new() }
    }

    /// Nobody takes the controller's connections, and there is no room for more.
    async fn fall_silent(&mut self) {
        let patience = std::time::Duration::from_millis(200);
        while let Ok(Ok(filler)) = tokio::time::timeout(patience, TcpStream::connect(self.address)).await {
            self.fillers.push(filler);
            assert!(self.fillers.len() < 64, "the witness is never full");
        }
    }

    /// What is not listened to is refused, which is an answer too.
    fn answer(&mut self) {
        self.listener = None;
        self.fillers.clear();
    }

    fn answers(&mut self) {
        self.answer();
        self.listener = Some(Self::listen(self.address));
    }
}

#[tokio::test]
async fn witnesses_tell_of_a_loss_of_mains_that_no_ups_tells() {
    let mut ups = without_runtime().await;
    let mut witnesses = [Witness::new(), Witness::new()];
    for witness in &mut witnesses {
        witness.answer();
    }
    let addresses = rackhaven_tests::settings::toml_list(witnesses.iter().map(|witness| witness.address));
    let rack = on_real(&ups).with("power.witnesses", addresses).build().await.unwrap();
    let answering = async |count: usize| {
        let what = format!("{count} witnesses to answer");
        let told = wait_until(&what, async || {
            let status = rack.status().await;
            status.is_ok_and(|it| it.witnesses.iter().filter(|witness| witness.answering).count() == count)
        });
        told.await.unwrap();
    };
    answering(2).await;
    ups.kill_upsd().await.unwrap();
    let lost = async || {
        let events = rack.client().events().await?;
        Ok(events.into_iter().find(|event| event.kind == "outage.lost-ups"))
    };
    let lost = wait_for("the event", lost).await.unwrap();
    eprintln!("upsd killed on mains: {}", lost.message);
    assert!(rack.outages().await.unwrap().is_empty());
    // One that falls silent may be switched off.
    let [first, second] = &mut witnesses;
    first.answers();
    first.fall_silent().await;
    answering(1).await;
    assert!(rack.outages().await.unwrap().is_empty());
    second.answers();
    second.fall_silent().await;
    rack.wait_for_line(1, "", "outage.on-battery").await.unwrap();
    first.answer();
    let ended = rack.wait_for_end(1).await.unwrap();
    assert!(ended.events.iter().all(|line| line.kind != "outage.trigger"), "{}", told(&ended.events));
    // Both again, for good.
    first.answers();
    first.fall_silent().await;
    let trigger = rack.wait_for_line(2, "", "outage.trigger").await.unwrap();
    eprintln!("no UPS, no witness: {} ms after it was taken for a loss: {}", trigger.at_ms, trigger.message);
    assert!((4000..6000).contains(&trigger.at_ms), "{trigger:?}");
    wait_until("the node to be off", async || !rack.is_on("w-1")).await.unwrap();
    second.answer();
    rack.wait_until_well().await.unwrap();
}

/// Two stages that hear on battery when they would have to go, and then nothing more.
async fn warned() -> (Rack, BTreeMap<String, u64>) {
    let mut plan = RackPlan::default()
        .stage("workers", &[("w-1", Back::WakeOnLan), ("w-2", Back::WakeOnLan)])
        .stage("storage", &[("s-1", Back::WakeOnLan)])
        .with("power.assumed_runtime_seconds", 6)
        .with("power.expected_seconds", 1.5)
        .with("power.cut_load", false)
        .with("power.off_grace_seconds", 2);
    // A node that cannot be told to stay is woken when the time of all its steps is over.
    for step in ["drain", "stop_k3s", "stop_backups", "hooks", "unmount", "sync", "power_off"] {
        plan = plan.with(&format!("power.steps.{step}_seconds"), 1);
    }
    let rack = plan.build().await.unwrap();
    for node in rack.names() {
        let trace = rack.folder().join(format!("{node}.went"));
        rack.hook(node, "10-when", &format!("cut -d ' ' -f 1 /proc/uptime >> {}", trace.display())).unwrap();
    }
    rack.ups_says("OB DISCHRG");
    let mut due = BTreeMap::new();
    for node in rack.names() {
        let begin_ms = async || Ok(rack.memory_of(node)["alone"]["begin_ms"].as_u64());
        due.insert(node.clone(), wait_for("the plan to be written down", begin_ms).await.unwrap());
    }
    (rack, due)
}

/// How late each began, and in which order; all are off.
async fn late(rack: &Rack, due: &BTreeMap<String, u64>, what: &str) {
    wait_until("all to be off", async || rack.off().len() == 3).await.unwrap();
    let mut order = Vec::new();
    for (node, due_ms) in due {
        let trace = std::fs::read_to_string(rack.folder().join(format!("{node}.went"))).unwrap();
        let times: Vec<f64> = trace.lines().map(|line| line.parse().unwrap()).collect();
        let [went_s] = times.as_slice() else { panic!("{node} ran its hook {} times", times.len()) };
        let late_s = went_s - *due_ms as f64 / 1000.0;
        assert!(late_s > -0.1, "{node} was {late_s:.2} s early");
        order.push((*went_s, node.as_str(), late_s));
        assert_eq!(rack.offs(node), (1, 0));
    }
    order.sort_by(|(one, ..), (other, ..)| one.total_cmp(other));
    let told: Vec<String> = order.iter().map(|(_, node, late_s)| format!("{node} {late_s:.2} s")).collect();
    eprintln!("{what}: first hook after the deadline of its own, in this order: {}", told.join(", "));
    assert_eq!(order.last().map(|(_, node, _)| *node), Some("s-1"), "not in the order of the stages");
}

#[tokio::test]
async fn nodes_go_by_themselves_when_the_controller_dies_on_battery() {
    let (rack, due) = warned().await;
    rack.kill_controller();
    late(&rack, &due, "controller killed on battery").await;
    rack.ups_says("OL");
    assert!(rack.start_controller().unwrap());
    rack.wait_until_well().await.unwrap();
    let outage = rack.wait_for_end(1).await.unwrap();
    assert!(outage.events.is_sorted_by_key(|line| line.at_ms), "{}", told(&outage.events));
}

#[tokio::test]
async fn nodes_go_by_themselves_when_the_network_dies_on_battery() {
    let (rack, due) = warned().await;
    rack.network().swallow();
    // One that was started anew since knows it from its disk.
    rack.restart_agent("w-2").unwrap();
    late(&rack, &due, "network dead on battery, w-2 killed and started").await;
    rack.ups_says("OL");
    rack.network().cut();
    rack.network().pass();
    rack.wait_until_well().await.unwrap();
    rack.wait_for_end(1).await.unwrap();
}

#[tokio::test]
async fn an_agent_that_was_killed_on_battery_goes_when_it_is_told() {
    let (rack, _) = warned().await;
    rack.restart_agent("w-1").unwrap();
    rack.ups_says("OB DISCHRG LB");
    wait_until("all to be off", async || rack.off().len() == 3).await.unwrap();
    rack.ups_says("OL");
    rack.wait_until_well().await.unwrap();
    let outage = rack.wait_for_end(1).await.unwrap();
    for node in rack.names() {
        assert_eq!(rack.offs(node), (1, 0), "{node}: {}", told(&outage.events));
    }
}
