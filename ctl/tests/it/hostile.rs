//! A node that tries to paint on the admin's screen.

use rackhaven_proto::v1::*;

use crate::fleet::{degraded, detail, events};
use crate::harness::Ctl;
use crate::rack;
use crate::script::{Controller, Script};
use crate::storm;

/// What steers a terminal in one way or another.
const PAINT: &str = "\u{1b}[2J\u{9b}1;1HOK\u{7f}\u{8}\r\n\u{202e}\u{200b}\u{feff}\u{85}";

#[test]
fn no_form_of_output_lets_it() {
    let folder = tempfile::tempdir().unwrap();
    let paint = |text: &mut String| text.push_str(PAINT);
    let mut status = degraded();
    for node in &mut status.nodes {
        paint(&mut node.arch);
        paint(&mut node.agent_version);
        paint(&mut node.disk_mount_point);
        node.problems.iter_mut().for_each(paint);
        node.labels.insert(PAINT.to_owned(), PAINT.to_owned());
    }
    paint(&mut status.verdict_reason);
    paint(&mut status.cluster_name);
    let mut detail = detail();
    if let (Some(facts), Some(sample)) = (&mut detail.facts, &mut detail.sample) {
        [&mut facts.hostname, &mut facts.os, &mut facts.kernel, &mut facts.model].into_iter().for_each(paint);
        paint(&mut sample.file_systems[0].mount_point);
        paint(&mut sample.disks[0].name);
        paint(&mut sample.networks[0].name);
        paint(&mut sample.temperatures[0].sensor);
        if let Some(units) = &mut sample.units {
            paint(&mut units.failed[0]);
        }
    }
    detail.last_run = Some(LastRun { reason: PAINT.to_owned(), ..detail.last_run.unwrap_or_default() });
    let mut painted = events();
    painted.iter_mut().for_each(|event| paint(&mut event.message));
    let audit = vec![AuditRecord { target: PAINT.to_owned(), outcome: PAINT.to_owned(), ..AuditRecord::default() }];
    let progress = CommandProgress { state: 3, message: PAINT.to_owned(), command_id: PAINT.to_owned() };

    let mut power = storm::storm_at(7_330_000);
    for ups in &mut power.upses {
        let texts = [&mut ups.name, &mut ups.status, &mut ups.problem, &mut ups.model, &mut ups.cut_command];
        texts.into_iter().for_each(paint);
        ups.triggers
            .iter_mut()
            .for_each(|trigger| [&mut trigger.name, &mut trigger.detail].into_iter().for_each(paint));
    }
    power.witnesses.iter_mut().for_each(|witness| paint(&mut witness.address));
    power.warnings.push(PAINT.to_owned());
    let painted_outage = |mut outage: Outage| {
        [&mut outage.kind, &mut outage.cause].into_iter().for_each(paint);
        for node in &mut outage.nodes {
            [&mut node.name, &mut node.stage, &mut node.state].into_iter().for_each(paint);
        }
        for event in &mut outage.events {
            [&mut event.node, &mut event.kind, &mut event.message].into_iter().for_each(paint);
        }
        outage
    };
    power.outage = power.outage.map(painted_outage);
    status.power = Some(power.clone());
    let mut plan = rack::plan();
    for stage in &mut plan.stages {
        paint(&mut stage.shed);
        stage.needs.push(PAINT.to_owned());
        stage.nodes.iter_mut().for_each(|node| paint(&mut node.wake));
    }
    let mut timeline = storm::shutdown(&["pi-1"]);
    timeline.iter_mut().for_each(|event| paint(&mut event.message));
    timeline.push(OutageEvent { kind: PAINT.to_owned(), message: PAINT.to_owned(), ..timeline[0].clone() });

    let order = "power shutdown --node pi-1 --reason OK --yes";
    for form in ["table", "wide", "json", "yaml"] {
        for command in [
            "status",
            "node list",
            "node show pi-1",
            "events",
            "audit",
            "node reboot pi-1 --yes",
            "power status",
            "power plan",
            "power abort",
            "power history",
            "power history --outage 12",
            order,
        ] {
            let script = Script {
                status: status.clone(),
                detail: detail.clone(),
                events: vec![painted.clone()],
                audit: audit.clone(),
                progress: vec![progress.clone()],
                power: power.clone(),
                plan: plan.clone(),
                timeline: timeline.clone(),
                outages: storm::outages().into_iter().map(painted_outage).collect(),
                abort: AbortPowerResponse { kept: vec![PAINT.to_owned()], coming_back: vec![PAINT.to_owned()] },
                ..Script::default()
            };
            let served = Controller::new(script).serve(folder.path());
            let ctl = Ctl::new(folder.path()).on_screen().args(command.split(' ')).args(["-o", form, "--socket"]);
            let outcome = ctl.args([&served.path]).run();
            let bad = |c: char| (c.is_control() && c != '\n') || "\u{202e}\u{200b}\u{feff}".contains(c);
            let text = format!("{}{}", outcome.out, outcome.err);
            assert!(outcome.status.code() == 0 && text.contains("OK"), "{command} {form}: {text}");
            assert!(!text.contains(bad), "{command} {form}: {text:?}");
        }
    }
}

#[test]
fn no_error_lets_it() {
    let folder = tempfile::tempdir().unwrap();
    let script = Script { refusal: Some((tonic::Code::NotFound, PAINT)), ..Script::default() };
    let served = Controller::new(script).serve(folder.path());
    let path = folder.path().join("painted.context");
    std::fs::write(&path, format!("\"{PAINT}\" = 1")).unwrap();
    let refused = Ctl::new(folder.path()).args(["status", "--socket"]).args([&served.path]).run();
    let damaged = Ctl::new(folder.path()).args(["status", "--context-file"]).args([&path]).run();
    for outcome in [refused, damaged] {
        assert_eq!(outcome.status.code(), 1);
        assert!(!outcome.err.contains(|c: char| c.is_control() && c != '\n'), "{:?}", outcome.err);
    }
}
