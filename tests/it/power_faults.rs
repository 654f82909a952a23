//! What must not keep a fleet from going down: a full disk, a clock that jumps, a node that hangs.

use rackhaven_tests::rack::{all_stories, told};
use rackhaven_tests::settings::toml_list;
use rackhaven_tests::{Back, FakeTime, Fleet, Rack, RackPlan, SmallDisk, wait_for, wait_until};

#[tokio::test]
async fn a_full_disk_keeps_nobody_up() {
    let fleet = Fleet::prepare().unwrap();
    let disk = SmallDisk::mount(fleet.state(), 8 * 1024 * 1024).unwrap();
    let plan = RackPlan::default().stage("workers", &[("w-1", Back::WakeOnLan), ("w-2", Back::WakeOnLan)]);
    let plan = plan.stage("storage", &[("s-1", Back::WakeOnLan)]).with("power.cut_load", false);
    let rack = plan.build_in(fleet).await.unwrap();
    disk.fill().unwrap();
    rack.ups_says("OB LB");
    wait_until("all to be off", async || rack.off().len() == 3).await.unwrap();
    let log = rack.controller_log();
    let line = log.lines().find(|line| line.contains("power.unsaved"));
    eprintln!("on a full disk: {}", line.unwrap_or("nothing was said"));
    assert!(line.is_some(), "nobody was told: {log}");
    disk.make_room().unwrap();
    rack.ups_says("OL");
    rack.wait_until_well().await.unwrap();
    for node in rack.names() {
        assert_eq!(rack.offs(node), (1, 0), "{node}");
    }
}

#[tokio::test]
async fn a_clock_that_jumps_moves_no_deadline() {
    let mut fleet = Fleet::prepare().unwrap();
    let clock = FakeTime::new(&fleet.folder().join("jumping.clock"), "+0").unwrap();
    fleet.environment.extend(clock.environment());
    let plan = RackPlan::default().stage("workers", &[("w-1", Back::WakeOnLan)]);
    let plan = plan.with("power.assumed_runtime_seconds", 6).with("power.cut_load", false);
    let rack = plan.build_in(fleet).await.unwrap();
    rack.ups_says("OB DISCHRG");
    wait_until("the outage", async || !rack.memory()["state"]["outage"].is_null()).await.unwrap();
    let begins = async || Ok(rack.status().await?.begins_in_ms);
    let before_ms = wait_for("a deadline", begins).await.unwrap();
    // Not so far that certificates end.
    clock.set("+3600").unwrap();
    let after_ms = wait_for("a deadline", begins).await.unwrap();
    clock.set("-3600").unwrap();
    let trigger = rack.wait_for_line(1, "", "outage.trigger").await.unwrap();
    eprintln!(
        "before the jump the shutdown was to begin in {before_ms} ms, after it in {after_ms} ms; it began {} ms after \
         on-battery",
        trigger.at_ms
    );
    assert!((4300..6000).contains(&trigger.at_ms), "{trigger:?}");
    wait_until("the node to be off", async || !rack.is_on("w-1")).await.unwrap();
    rack.ups_says("OL");
    rack.wait_until_well().await.unwrap();
}

/// From the beginning of the shutdown to the end of its last stage, milliseconds.
async fn way_down_ms(rack: &Rack, number: u64) -> u64 {
    rack.ups_says("OB LB");
    let begun = rack.wait_for_line(number, "", "outage.trigger").await.unwrap();
    let ended = wait_for("the end of both stages", async || {
        let outages = rack.outages().await?;
        let outage = outages.into_iter().find(|one| one.number == number);
        let ends: Vec<u64> = outage
            .into_iter()
            .flat_map(|one| one.events)
            .filter(|line| line.kind == "stage.ended")
            .map(|line| line.at_ms)
            .collect();
        Ok((ends.len() == 2).then(|| ends.into_iter().max()).flatten())
    });
    ended.await.unwrap() - begun.at_ms
}

#[tokio::test]
async fn a_node_that_hangs_costs_its_steps_deadline_at_most() {
    const DEADLINE_MS: u64 = 1000;
    let mut plan = RackPlan::default()
        .stage("workers", &[("w-1", Back::WakeOnLan), ("w-2", Back::WakeOnLan)])
        .stage("storage", &[("s-1", Back::WakeOnLan)])
        .with("power.off_grace_seconds", 1)
        .with("power.cut_load", false);
    for step in ["drain", "stop_k3s", "stop_backups", "hooks", "unmount", "sync", "power_off"] {
        plan = plan.with(&format!("power.steps.{step}_seconds"), DEADLINE_MS as f64 / 1000.0);
    }
    let rack = plan.build().await.unwrap();
    let base_ms = way_down_ms(&rack, 1).await;
    rack.ups_says("OL");
    rack.wait_until_well().await.unwrap();
    let shell = |script: &str| toml_list(["/bin/sh", "-c", script]);
    let cap_ms = 7 * DEADLINE_MS + 1000;
    // A node that cannot be switched off is given up when the time of all its steps is over.
    let hangs = [
        ("stop-k3s", Some(("k3s.stop_command", "sleep 60")), base_ms + DEADLINE_MS),
        ("hooks", None, base_ms + DEADLINE_MS),
        ("power-off hangs", Some(("power.poweroff_command", "sleep 60")), base_ms + cap_ms),
        ("power-off fails", Some(("power.poweroff_command", "exit 1")), base_ms + cap_ms),
    ];
    let count = if all_stories() { hangs.len() } else { 2 };
    for ((step, key, most_ms), number) in hangs.into_iter().take(count).zip(2..) {
        let mut before = None;
        match key {
            None => rack.hook("w-1", "10-hangs", "sleep 60").unwrap(),
            Some((key, script)) => rack.change_agent("w-1", |agent| {
                before = Some(agent.settings.clone());
                agent.settings.set(key, shell(script));
            }),
        }
        rack.restart_agent("w-1").unwrap();
        rack.wait_until_well().await.unwrap();
        let took_ms = way_down_ms(&rack, number).await;
        eprintln!("{step}: {took_ms} ms, without a hang {base_ms} ms, at most {most_ms} ms");
        // A busy machine adds some of its own.
        assert!(took_ms < most_ms + 1500, "{step}");
        match before {
            None => std::fs::remove_file(rack.folder().join("w-1.hooks/10-hangs")).unwrap(),
            Some(before) => rack.change_agent("w-1", |agent| agent.settings = before),
        }
        rack.ups_says("OL");
        let outage = rack.wait_for_end(number).await.unwrap();
        rack.wait_until_well().await.unwrap_or_else(|error| panic!("{error:#}: {}", told(&outage.events)));
    }
}
