//! What people and programs see. Snapshots are reviewed like code: they are the promise of `docs/ctl.md`.

use insta::assert_snapshot;
use rackhaven_proto::v1::*;

use crate::backup_rack;
use crate::fleet::{NOW_MS, day, degraded, detail, events, healthy};
use crate::harness::{Ctl, both};
use crate::rack;
use crate::script::{Controller, Script};
use crate::storm;

fn script() -> Script {
    Script {
        status: degraded(),
        detail: detail(),
        history: day(),
        events: vec![events()],
        invitation: Invitation {
            token: "rh1.aaaaaaaa.bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb.cafe".to_owned(),
            ends_unix_ms: NOW_MS + 3_600_000,
            endpoints: vec!["10.0.0.5:7443".to_owned(), "rack.example:7443".to_owned()],
        },
        audit: audit(),
        users: users(),
        who: WhoAmIResponse {
            name: "user/ann".to_owned(),
            role: Role::Admin.into(),
            cluster_id: "rh-0123456789ab".to_owned(),
            cluster_name: "rack".to_owned(),
        },
        power: storm::storm_at(140_000),
        plan: rack::plan(),
        timeline: storm::shutdown(&["pi-1"]),
        outages: storm::outages(),
        jobs: backup_rack::jobs(),
        started: vec![backup_rack::started("pi-1", "etc", "r-1")],
        backups: backup_rack::night()[..4].to_vec(),
        runs: backup_rack::runs(),
        archives: backup_rack::archives(),
        ..Script::default()
    }
}

fn audit() -> Vec<AuditRecord> {
    let record = |position: u64, who: &str, action: &str, target: &str, outcome: &str| AuditRecord {
        position,
        wall_unix_ms: NOW_MS + position as i64 * 1000,
        who: who.to_owned(),
        from: "10.0.0.7:40112".to_owned(),
        action: action.to_owned(),
        target: target.to_owned(),
        outcome: outcome.to_owned(),
        hash: format!("{position:064x}"),
    };
    vec![
        record(1, "local/0", "Access/InviteUser", "ann, invitation aaaaaaaa", "ok"),
        record(2, "user/ann", "Fleet/RemoveNode", "pi-9", "ok"),
        record(3, "user/bob", "Fleet/PowerOffNode", "pi-3", "denied: Fleet/PowerOffNode needs the role operator"),
    ]
}

fn users() -> Vec<User> {
    let user = |name: &str, role: Role, revoked, ends| User {
        name: name.to_owned(),
        role: role.into(),
        created_unix_ms: NOW_MS,
        revoked_unix_ms: revoked,
        certificate_ends_unix_ms: ends,
    };
    vec![
        user("ann", Role::Admin, None, Some(NOW_MS + 1)),
        user("bob", Role::Viewer, Some(NOW_MS), Some(NOW_MS + 1)),
        user("zoe", Role::Operator, None, None),
    ]
}

/// Output of one command, the socket's path taken out of it.
fn shown(arguments: &str, on_screen: bool) -> String {
    let folder = tempfile::tempdir().unwrap();
    let served = Controller::new(script()).serve(folder.path());
    let mut ctl = Ctl::new(folder.path()).args(arguments.split(' ')).args(["--socket"]).args([&served.path]);
    if on_screen {
        ctl = ctl.on_screen();
    }
    let outcome = ctl.run();
    let text = if outcome.err.is_empty() { outcome.fine() } else { both(&outcome) };
    if on_screen {
        let widest = text.lines().map(|line| line.chars().count()).max();
        let whole = ["wide", "invite", "rejoin"].iter().any(|word| arguments.contains(word));
        assert!(whole || widest <= Some(80), "{widest:?} columns:\n{text}");
    }
    assert!(!text.lines().any(|line| line.ends_with(' ')), "blanks at a line's end:\n{text}");
    text.replace(&served.path.display().to_string(), "SOCKET")
}

#[test]
fn status() {
    assert_snapshot!("status", shown("status", true));
    assert_snapshot!("status_wide", shown("status -o wide", true));
    assert_snapshot!("status_json", shown("status -o json", false));
    assert_snapshot!("status_yaml", shown("status -o yaml", false));
}

#[test]
fn status_of_a_narrow_screen() {
    let folder = tempfile::tempdir().unwrap();
    let served = Controller::new(script()).serve(folder.path());
    for (size, columns) in [((|| Some((60, 24))) as fn() -> _, 60), (|| Some((40, 24)), 40), (|| Some((20, 24)), 20)] {
        let mut ctl = Ctl::new(folder.path()).on_screen().args(["status", "--socket"]).args([&served.path]);
        ctl.size = size;
        let text = ctl.run().fine();
        let nodes = text.lines().skip_while(|line| !line.starts_with("NAME")).take_while(|line| !line.is_empty());
        for line in nodes {
            assert!(line.chars().count() <= columns, "{line:?} is wider than {columns}");
        }
        if columns == 60 {
            assert_snapshot!("status_60_columns", text);
        }
    }
}

#[test]
fn status_in_colour_means_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let served = Controller::new(script()).serve(folder.path());
    let show = |colour: bool| {
        let mut ctl = Ctl::new(folder.path()).on_screen().args(["status", "--socket"]).args([&served.path]);
        ctl.environment.no_color = !colour;
        ctl.run().fine()
    };
    let (coloured, plain) = (show(true), show(false));
    assert!(coloured.contains("\u{1b}[1;31mdown"), "{coloured:?}");
    assert!(!plain.contains('\u{1b}'), "{plain:?}");
    let mut stripped = coloured;
    for code in ["0", "1", "2", "32", "33", "1;31"] {
        stripped = stripped.replace(&format!("\u{1b}[{code}m"), "");
    }
    assert_eq!(stripped, plain);
}

#[test]
fn status_of_an_empty_and_of_a_fresh_controller() {
    let folder = tempfile::tempdir().unwrap();
    let empty = FleetStatus {
        verdict: Verdict::Ok.into(),
        verdict_reason: "no nodes enrolled".to_owned(),
        data_age_ms: None,
        controller_uptime_ms: 14_000,
        nodes: vec![],
        ..degraded()
    };
    let served = Controller::new(Script { status: empty, ..Script::default() }).serve(folder.path());
    let ctl = Ctl::new(folder.path()).on_screen().args(["status", "--socket"]).args([&served.path]);
    assert_snapshot!("status_empty", ctl.run().fine());
}

#[test]
fn status_checks() {
    use rackhaven_ctl::ExitStatus;
    let folder = tempfile::tempdir().unwrap();
    for (status, exit) in [(healthy(), ExitStatus::Fine), (degraded(), ExitStatus::Unhealthy)] {
        let served = Controller::new(Script { status, ..Script::default() }).serve(folder.path());
        let check = |check: &[&str]| {
            Ctl::new(folder.path()).args(["status"]).args(check).args(["--socket"]).args([&served.path]).run()
        };
        assert_eq!(check(&["--check"]).status, exit);
        assert_eq!(check(&[]).status, ExitStatus::Fine);
    }
}

#[test]
fn nodes() {
    assert_snapshot!("node_list", shown("node list", true));
    assert_snapshot!("node_list_wide", shown("node list -o wide", true));
    assert_snapshot!("node_list_chosen", shown("node list -l role=worker,stage!=2", true));
    assert_snapshot!("node_list_json", shown("node list -l role=nas -o json", false));
    assert_snapshot!("node_show", shown("node show pi-1", true));
    assert_snapshot!("node_show_json", shown("node show pi-1 -o json", false));
    assert_snapshot!("node_label", shown("node label pi-1 stage=2 old-", true));
}

#[test]
fn invitations() {
    assert_snapshot!("node_invite", shown("node invite --name pi-9 --label role=worker", true));
    assert_snapshot!("node_invite_json", shown("node invite -o json", false));
    assert_snapshot!("node_rejoin", shown("node rejoin pi-3", true));
    assert_snapshot!("user_invite", shown("user invite zoe --role operator", true));
}

#[test]
fn records() {
    assert_snapshot!("events", shown("events", true));
    assert_snapshot!("events_piped", shown("events", false));
    assert_snapshot!("events_wide", shown("events -o wide", true));
    assert_snapshot!("events_json", shown("events -o json", false));
    assert_snapshot!("events_yaml", shown("events -o yaml", false));
    assert_snapshot!("audit", shown("audit", true));
    assert_snapshot!("audit_piped", shown("audit --verify", false));
    assert_snapshot!("audit_json", shown("audit -o json", false));
}

#[test]
fn people() {
    assert_snapshot!("user_list", shown("user list", true));
    assert_snapshot!("user_list_json", shown("user list -o json", false));
    assert_snapshot!("whoami", shown("whoami", true));
    assert_snapshot!("whoami_json", shown("whoami -o json", false));
}

#[test]
fn help() {
    let folder = tempfile::tempdir().unwrap();
    let help = |arguments: &str| Ctl::new(folder.path()).args(arguments.split(' ')).run().fine();
    assert_snapshot!("help", help("-h"));
    assert_snapshot!("help_status", help("status -h"));
    assert_snapshot!("help_node_reboot", help("node reboot -h"));
    assert_snapshot!("help_login", help("login --help"));
}

/// All keys of objects that have fixed ones; labels' keys are the user's own.
fn keys(value: &serde_json::Value, found: &mut Vec<String>) {
    match value {
        serde_json::Value::Array(items) => items.iter().for_each(|item| keys(item, found)),
        serde_json::Value::Object(object) => {
            for (key, value) in object {
                found.push(key.clone());
                if key != "labels" {
                    keys(value, found);
                }
            }
        }
        _ => {}
    }
}

#[test]
fn every_key_is_documented() {
    let promise = include_str!("../../../docs/ctl.md");
    for command in [
        "status",
        "node list",
        "node show pi-1",
        "node label pi-1 a=b",
        "node remove pi-1 --yes",
        "node rejoin pi-1",
        "events",
        "audit",
        "user list",
        "user invite zoe --role viewer",
        "user revoke zoe --yes",
        "whoami",
        "power status",
        "power plan",
        "power abort",
        "power history",
        "power shutdown --node pi-1 --reason test --yes",
        "power drill pi-1 --yes",
        "backup jobs",
        "backup jobs remove etc",
        "backup run etc --follow",
        "backup history",
        "backup archives",
        "backup stop r-1",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let served = Controller::new(script()).serve(folder.path());
        let ctl =
            Ctl::new(folder.path()).args(command.split(' ')).args(["-o", "json", "--socket"]).args([&served.path]);
        let mut found = Vec::new();
        for value in serde_json::Deserializer::from_str(&ctl.run().fine()).into_iter() {
            keys(&value.unwrap(), &mut found);
        }
        assert!(!found.is_empty(), "{command}");
        for key in found {
            assert!(
                promise.contains(&format!("`{key}`")) || promise.contains(&format!("`{key}[]`")),
                "{command}: {key}"
            );
        }
    }
}
