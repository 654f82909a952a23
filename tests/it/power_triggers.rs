//! What starts a shutdown, and what does not.

use std::time::Duration;

use rackhaven_tests::rack::{all_stories, now, told};
use rackhaven_tests::{Back, Rack, RackPlan, Ups, wait_for};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// A node that goes by the real server's word.
async fn rack_on(ups: &Ups, plan: RackPlan) -> Rack {
    let entry = format!(
        "{{ name = \"{}\", user = \"rackhaven\", password_file = \"{}\" }}",
        ups.name(),
        ups.password_file("rackhaven").display()
    );
    plan.stage("workers", &[("w-1", Back::WakeOnLan)]).ups(&entry).build().await.unwrap()
}

/// A plan with these times as they are shipped.
fn as_shipped() -> RackPlan {
    RackPlan::default()
        .with("power.hold_seconds", 2)
        .with("power.poll_seconds", 1)
        .with("power.poll_on_battery_seconds", 0.25)
}

/// The moment of the first line of a kind.
async fn at_ms(rack: &Rack, kind: &str) -> u64 {
    rack.wait_for_line(1, "", kind).await.unwrap().at_ms
}

/// As shipped a blip lasts a second and a low battery is believed after two; the short story is told ten times as fast,
/// and leaves a busy machine more room.
#[tokio::test]
async fn a_low_battery_that_blips_takes_nobody_down() {
    let (count, blip_ms, plan) = if all_stories() {
        (200, 1000, as_shipped())
    } else {
        let fast = RackPlan::default().with("power.hold_seconds", 0.8).with("power.poll_on_battery_seconds", 0.05);
        (40, 100, fast)
    };
    let rack = plan.stage("workers", &[("w-1", Back::WakeOnLan)]).build().await.unwrap();
    let begun = now();
    let mut phase = 0x2545_f491_u64;
    for number in 0..count {
        // What is before and after it: mains, or a battery that is not low.
        let calm = if number % 2 == 0 { "OL" } else { "OB DISCHRG" };
        rack.ups_says(calm);
        phase = phase.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        tokio::time::sleep(Duration::from_millis(blip_ms / 4 + (phase >> 33) % blip_ms)).await;
        rack.ups_says("OB DISCHRG LB");
        tokio::time::sleep(Duration::from_millis(blip_ms)).await;
    }
    rack.ups_says("OL");
    rack.wait_until_well().await.unwrap();
    let outages = rack.outages().await.unwrap();
    let took = begun.elapsed().as_secs_f64();
    eprintln!("{count} blips of {blip_ms} ms in {took:.0} s: {} outages seen, no order", outages.len());
    assert!(!outages.is_empty(), "no blip was seen at all");
    for outage in &outages {
        let lines: Vec<&str> = outage.events.iter().map(|line| line.kind.as_str()).collect();
        let calm = ["outage.on-battery", "outage.mains-back", "outage.ended"];
        assert!(lines.iter().all(|kind| calm.contains(kind)), "{}", told(&outage.events));
    }
    assert_eq!((rack.offs("w-1"), rack.memory_of("w-1")["run"].is_null()), ((0, 0), true));
}

#[tokio::test]
async fn a_low_battery_that_stays_takes_all_down() {
    let mut ups = Ups::start().await.unwrap();
    let rack = rack_on(&ups, as_shipped()).await;
    ups.set(&[("ups.status", "OB DISCHRG LB")]).await.unwrap();
    let shown = now();
    let ordered = rack.wait_for_line(1, "w-1", "node.ordered").await.unwrap();
    let took = shown.elapsed().as_secs_f64();
    eprintln!(
        "a real low battery, hold 2 s: ordered {} ms after on-battery, {took:.2} s after upsd's word",
        ordered.at_ms
    );
    assert!((1999..3000).contains(&ordered.at_ms), "{ordered:?}");
    assert_eq!(at_ms(&rack, "outage.on-battery").await, 0);
}

#[tokio::test]
async fn a_forced_shutdown_begins_at_once() {
    let ups = Ups::start().await.unwrap();
    let rack = rack_on(&ups, as_shipped().with("power.poll_seconds", 0.25)).await;
    let mut primary = BufReader::new(TcpStream::connect(ups.address()).await.unwrap());
    for line in ["USERNAME primary", "PASSWORD mpw", "LOGIN ups", "PRIMARY ups", "FSD ups"] {
        primary.write_all(format!("{line}\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        primary.read_line(&mut answer).await.unwrap();
        assert!(answer.starts_with("OK"), "{line}: {answer}");
    }
    let forced = now();
    wait_for("the order", async || Ok((!rack.memory_of("w-1")["run"].is_null()).then_some(()))).await.unwrap();
    let took = forced.elapsed().as_secs_f64();
    let ordered = rack.wait_for_line(1, "w-1", "node.ordered").await.unwrap();
    eprintln!("FSD, read each 0.25 s: the node has written its order down {took:.2} s after upsd took it");
    assert_eq!((at_ms(&rack, "outage.on-battery").await, ordered.at_ms), (0, 0));
}
