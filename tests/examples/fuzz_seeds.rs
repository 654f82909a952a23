//! Writes the first corpus of every fuzz target, from real values: `cargo run -p rackhaven-tests --example fuzz_seeds`.
//! Keys and certificates are new each time, and good for nothing but this.

use std::path::Path;

use anyhow::Context;
use prost::Message;
use rackhaven_agent::shutdown::Event as ShutdownEvent;
use rackhaven_agent::shutdown::core::Sequence;
use rackhaven_backup::entry::{Entry, FileTime, Kind};
use rackhaven_backup::manifest::{ArchiveId, ChainLink, Frame, Header, Item, Place, Record, Writer, block_of};
use rackhaven_backup::outcome::ArchiveKind;
use rackhaven_pki::{Authority, Credentials, Identity, PrivateKey, Subject, Token, Validity, durable};
use rackhaven_proto::model::{
    AlonePlan, ClusterId, CommandId, CommandOutcome, Ending, LastRun, PowerNotice, ShutdownOrder, Step, StepKind,
    StepOutcome, Steps, Supply,
};
use rackhaven_proto::v1::agent_message::Body as FromAgent;
use rackhaven_proto::v1::controller_message::Body as FromController;
use rackhaven_proto::v1::{self, SubjectKind};
use rackhaven_tests::fuzz::TARGETS;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// 2026-01-01, seconds since 1970-01-01 UTC.
const NOW_S: i64 = 1_767_225_600;

fn main() -> anyhow::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let mut seeds = session_seeds()?;
    seeds.extend(identity_seeds()?);
    seeds.extend(text_seeds());
    seeds.extend(kernel_seeds()?);
    seeds.extend(backup_seeds()?);
    for (target, name, bytes) in seeds {
        anyhow::ensure!(TARGETS.iter().any(|(known, _)| *known == target), "there is no target {target}");
        let folder = corpus.join(target);
        std::fs::create_dir_all(&folder)?;
        let path = folder.join(name);
        std::fs::write(&path, bytes).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

type Seed = (&'static str, String, Vec<u8>);

fn seed(target: &'static str, name: &str, bytes: impl Into<Vec<u8>>) -> Seed {
    (target, name.to_owned(), bytes.into())
}

fn session_seeds() -> anyhow::Result<Vec<Seed>> {
    let agent = |name: &str, body| seed("agent_message", name, v1::AgentMessage { body: Some(body) }.encode_to_vec());
    let controller =
        |name: &str, body| seed("controller_message", name, v1::ControllerMessage { body: Some(body) }.encode_to_vec());
    let id: CommandId = "c-0a1b2c".parse()?;
    let outcomes = [
        ("accepted", CommandOutcome::Accepted),
        ("failed", CommandOutcome::Failed("\"systemctl poweroff\" ended with exit status: 1".to_owned())),
    ];
    let settings = v1::Settings {
        heartbeat_ms: 2000,
        sample_ms: 5000,
        endpoints: vec!["rack:7443".into(), "[fd00::5]:99".into()],
    };
    let order = |operation| v1::Command {
        id: id.to_string(),
        expires_in_ms: 30_000,
        requested_by: "user/ann".into(),
        reason: "new kernel".into(),
        operation: Some(operation),
    };
    let mut seeds = vec![
        agent("hello", FromAgent::Hello(hello())),
        agent("heartbeat", FromAgent::Heartbeat(v1::Heartbeat { wall_unix_ms: NOW_S * 1000 })),
        agent("heartbeat-1970", FromAgent::Heartbeat(v1::Heartbeat { wall_unix_ms: 0 })),
        agent("heartbeat-least", FromAgent::Heartbeat(v1::Heartbeat { wall_unix_ms: i64::MIN })),
        agent("sample", FromAgent::Sample(sample())),
        agent("sample-empty", FromAgent::Sample(v1::Sample::default())),
        agent("event", FromAgent::Event(event())),
        controller(
            "welcome",
            FromController::Welcome(v1::Welcome { settings: Some(settings.clone()), wall_unix_ms: 1 }),
        ),
        controller("settings", FromController::Settings(settings)),
        controller("reboot", FromController::Command(order(v1::command::Operation::Reboot(v1::Reboot {})))),
        controller("poweroff", FromController::Command(order(v1::command::Operation::PowerOff(v1::PowerOff {})))),
        controller("events-stored", FromController::EventsStored(v1::EventsStored { ids: vec!["0a-1".into()] })),
        controller("command-stored", FromController::CommandStored(v1::CommandStored { id: id.to_string() })),
    ];
    seeds.extend([
        agent("backup-jobs", FromAgent::BackupJobs(v1::BackupJobs { jobs: vec![backup_job()], given_revision: 2 })),
        agent("backup-report", FromAgent::BackupReport(backup_report())),
        agent(
            "backup-progress",
            FromAgent::BackupProgress(v1::BackupProgress {
                run_id: "0a1b2c".into(),
                job: "etc".into(),
                action: "save".into(),
                phase: "reading".into(),
                bytes: 4096,
                path: "/etc/hosts".into(),
                ..v1::BackupProgress::default()
            }),
        ),
        controller(
            "log",
            FromController::Log(v1::LogOrder {
                id: "0a".repeat(16),
                query: Some(v1::LogQuery { units: vec!["k3s*".into()], since_ms: Some(1), ..v1::LogQuery::default() }),
                requested_by: "user/ann".into(),
            }),
        ),
        controller("backup-given", FromController::GivenBackupJobs(backup_given())),
        controller("backup-order", FromController::BackupOrder(backup_order())),
    ]);
    for (name, outcome) in outcomes {
        seeds.push(agent(name, FromAgent::CommandUpdate((id.clone(), outcome).into())));
    }
    Ok(seeds)
}

fn backup_job() -> v1::BackupJob {
    v1::BackupJob {
        name: "etc".into(),
        engine: "tar".into(),
        sources: vec!["/etc".into()],
        repository: "ssh://backup@nas:22/srv".into(),
        schedule: "daily".into(),
        next_unix_ms: Some(NOW_S * 1000),
        given: true,
        problem: "there is no hook dump-db".into(),
    }
}

fn backup_report() -> v1::BackupReport {
    let run = v1::BackupRun {
        run_id: "0a1b2c".into(),
        job: "etc".into(),
        action: "save".into(),
        trigger: "catch-up".into(),
        started_unix_ms: NOW_S * 1000,
        ended_unix_ms: NOW_S * 1000 + 1,
        outcome: v1::BackupOutcome::Partial.into(),
        message: "two files are missing".into(),
        archive: "2026-01-01T000000Z-full.tar.zst".into(),
        problems: vec![v1::BackupProblem { path: "/etc/shadow".into(), reason: "Permission denied".into() }],
        problem_count: 2,
        ..v1::BackupRun::default()
    };
    let archive = |day: i64, bytes: u64| v1::BackupArchive {
        name: format!("2026-01-0{day}T000000Z-full.tar.zst"),
        kind: "full".into(),
        made_unix_ms: (NOW_S + day * 86_400) * 1000,
        bytes,
        outcome: v1::BackupOutcome::Ok.into(),
        ..v1::BackupArchive::default()
    };
    let archives = vec![archive(1, 900), archive(2, 900), archive(3, 900), archive(4, 9)];
    v1::BackupReport { run: Some(run), archives: Some(v1::BackupArchives { archives }) }
}

fn backup_given() -> v1::GivenBackupJobs {
    let toml = "sources = [\"/etc\"]\nrepository = \"/mnt/nas\"\nschedule = \"Mon..Fri 02:00\"\n[keep]\ndaily = 7\n";
    v1::GivenBackupJobs { revision: 3, jobs: vec![v1::GivenBackupJob { name: "etc".into(), toml: toml.into() }] }
}

fn backup_order() -> v1::BackupOrder {
    let restore = v1::BackupRestore {
        before_unix_ms: Some(NOW_S * 1000),
        paths: vec!["/etc/hosts".into()],
        to: "/tmp/back".into(),
        of_node: "pi-2".into(),
        ..v1::BackupRestore::default()
    };
    v1::BackupOrder {
        run_id: "0a1b2c".into(),
        job: "etc".into(),
        action: Some(v1::BackupAction { action: Some(v1::backup_action::Action::Restore(restore)) }),
        expires_in_ms: 60_000,
        requested_by: "user/ann".into(),
    }
}

fn hello() -> v1::Hello {
    let facts = v1::NodeFacts {
        hostname: "pi-3".into(),
        arch: "arm64".into(),
        os: "Debian GNU/Linux 12 (bookworm)".into(),
        kernel: "6.6.31+rpt-rpi-v8".into(),
        model: "Raspberry Pi 4 Model B Rev 1.5".into(),
        cpu_count: 4,
        memory_total_bytes: 4 << 30,
        boot_id: "0d8c5bd5-7a0c-4a2e-9d5c-0123456789ab".into(),
        wake_macs: vec!["88:a2:9e:01:02:03".into()],
    };
    let last_run = v1::LastRun { ending: 1, boot_id: facts.boot_id.clone(), reason: "SIGTERM".into() };
    v1::Hello {
        protocol: 1,
        node: "pi-3".into(),
        agent_version: "0.1.0".into(),
        run_id: vec![7; 16],
        facts: Some(facts),
        last_run: Some(last_run),
        wall_unix_ms: NOW_S * 1000,
    }
}

fn sample() -> v1::Sample {
    v1::Sample {
        sequence: 12,
        wall_unix_ms: NOW_S * 1000,
        uptime_seconds: 86_400.5,
        cpu: Some(v1::Cpu { total_percent: 12.5, core_percent: vec![50.0, 0.0, 0.0, 100.0] }),
        load: Some(v1::Load { one: 0.5, five: 0.25, fifteen: 0.1 }),
        memory: Some(v1::Memory {
            total_bytes: 4 << 30,
            available_bytes: 3 << 30,
            swap_total_bytes: 1 << 20,
            swap_used_bytes: 0,
        }),
        pressure: Some(v1::Pressure {
            cpu_some_percent: Some(1.5),
            memory_some_percent: Some(0.0),
            memory_full_percent: Some(0.0),
            io_some_percent: Some(99.0),
            io_full_percent: Some(98.5),
        }),
        file_systems: vec![v1::FileSystem {
            mount_point: "/".into(),
            fs_type: "ext4".into(),
            total_bytes: 32 << 30,
            available_bytes: 1 << 30,
            used_bytes: 30 << 30,
            inodes_total: Some(1_000_000),
            inodes_used: Some(999_999),
            read_only: false,
        }],
        disks: vec![v1::Disk {
            name: "mmcblk0".into(),
            read_bytes_per_second: 4096,
            written_bytes_per_second: 0,
            busy_percent: 3.0,
            read_bytes_total: Some(1 << 40),
            written_bytes_total: Some(0),
        }],
        networks: vec![v1::NetworkInterface {
            name: "eth0".into(),
            received_bytes_per_second: 1500,
            sent_bytes_per_second: 1500,
            errors_total: 2,
            received_bytes_total: Some(1 << 40),
            sent_bytes_total: Some(0),
        }],
        temperatures: vec![v1::Temperature { sensor: "cpu-thermal".into(), celsius: 81.5 }],
        throttling: Some(v1::Throttling { under_voltage_now: true, throttled_since_boot: true, ..Default::default() }),
        units: Some(v1::Units { failed: vec!["nfs.mount".into()], failed_count: 1 }),
        agent: Some(v1::AgentCost { resident_bytes: 3 << 20, cpu_percent: 0.1 }),
        storage: vec![v1::StorageHealth {
            device: "nvme0n1".to_owned(),
            used_life_percent: Some(3.0),
            ..v1::StorageHealth::default()
        }],
        k3s: Some(v1::K3sUnit { unit: "k3s".to_owned(), state: "active".to_owned() }),
    }
}

fn event() -> v1::Event {
    v1::Event {
        id: "07070707070707070707070707070707-1".into(),
        kind: "agent.started".into(),
        severity: v1::Severity::Warning.into(),
        message: "agent 0.1.0 started after it was killed".into(),
        wall_unix_ms: NOW_S * 1000,
        age_ms: Some(1234),
    }
}

fn identity_seeds() -> anyhow::Result<Vec<Seed>> {
    let cluster: ClusterId = "rh-0123456789ab".parse()?;
    let validity = Validity { now_unix_s: NOW_S, life_s: 90 * 24 * 3600 };
    let (authority, _) = Authority::generate(&cluster, NOW_S)?;
    let (key, server_key) = (PrivateKey::generate()?, PrivateKey::generate()?);
    let identity = Identity { cluster: cluster.clone(), subject: Subject::Node("pi-3".parse()?) };
    let csr_der = key.signing_request()?;
    let certificate_pem = authority.issue_client(&identity, &csr_der, validity)?;
    let token = Token::generate(authority.fingerprint())?;
    let request = v1::EnrolRequest {
        token_id: token.id.to_string(),
        token_secret: token.secret().to_owned(),
        csr_der: csr_der.clone(),
        kind: SubjectKind::Node.into(),
        name: "pi-3".into(),
        fallback_name: "raspberrypi".into(),
    };
    let response = v1::EnrolResponse {
        certificate_pem: certificate_pem.clone(),
        ca_pem: authority.certificate_pem().to_owned(),
        cluster_id: cluster.to_string(),
        cluster_name: "home".into(),
        name: "pi-3".into(),
        endpoints: vec!["rack.lan:7443".into()],
    };
    let context = Credentials::from_enrolment(&token, &key, &"10.147.1.5:7443".parse()?, response.clone())?.to_toml();
    let file = |name: &str, kind: &str, payload: &[u8]| {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join(name);
        durable::replace_checked(&path, kind, 1, payload, 0o600)?;
        anyhow::Ok(seed("state_file", name, std::fs::read(&path)?))
    };
    let run = serde_json::json!({"boot_id": "0d8c5bd5-7a0c-4a2e-9d5c-0123456789ab", "ended": "SIGTERM"});
    Ok(vec![
        seed("enrol_request", "csr", csr_der),
        seed("enrol_request", "request", request.encode_to_vec()),
        seed("enrol_response", "response", response.encode_to_vec()),
        seed("token", "token", token.reveal()),
        seed("certificate", "ca.pem", authority.certificate_pem()),
        seed("certificate", "node.pem", certificate_pem.as_str()),
        seed("certificate", "server.pem", authority.issue_server(&server_key, validity)?),
        seed("certificate", "node.der", CertificateDer::from_pem_slice(certificate_pem.as_bytes())?.to_vec()),
        seed("credentials", "node", context.as_str()),
        file("identity", "identity", context.as_bytes())?,
        file("run", "run", run.to_string().as_bytes())?,
        file("clock-floor", "clock-floor", b"1767225600")?,
        file("shutdown", "shutdown", &shutdown_record()?)?,
        file("cluster", "cluster", format!("{cluster}\nhome\n").as_bytes())?,
    ])
}

/// A board in its hooks, with something to report of the boot before.
fn shutdown_record() -> anyhow::Result<Vec<u8>> {
    let last = LastRun { ending: Ending::Clean, boot_id: "boot-0".to_owned(), reason: "SIGTERM".to_owned() };
    let (mut sequence, _) = Sequence::restored(None, "boot-1", Some(&last), false, 60_000, 1_000);
    let steps: Vec<Step> = StepKind::ALL.iter().map(|kind| Step { kind: *kind, timeout_ms: 30_000 }).collect();
    let (id, steps) = ("outage-7-pi-3".parse()?, Steps::try_from(steps)?);
    let order = ShutdownOrder { id, steps: steps.clone(), drill: false, reason: "mains failed".to_owned() };
    let alone = AlonePlan { order_id: "outage-7-pi-3".parse()?, begin_in_ms: 60_000, steps };
    let notice = PowerNotice { supply: Supply::Battery, alone: Some(alone), hold_k3s: true };
    for event in [ShutdownEvent::Abort("outage-6".parse()?), ShutdownEvent::Notice(notice), ShutdownEvent::Order(order)]
    {
        sequence.step(2_000, event);
    }
    for ticket in 1..=2 {
        let (outcome, message) = (StepOutcome::Failed, "no".to_owned());
        sequence.step(3_000, ShutdownEvent::StepEnded { ticket, outcome, message });
    }
    sequence.step(4_000, ShutdownEvent::HookNext { ticket: 3, name: "10-db".to_owned() });
    Ok(serde_json::to_vec(sequence.record())?)
}

fn text_seeds() -> Vec<Seed> {
    let words = [
        "pi-3",
        "rack.lan:7443",
        "[fd00::5]:99",
        "::1",
        "spiffe://c1/node/pi-3",
        "rackhaven.io/stage",
        "critical",
        "admin",
        "poweroff",
    ];
    let mut seeds: Vec<Seed> =
        words.iter().enumerate().map(|(n, word)| seed("words", &format!("word-{n}"), *word)).collect();
    let with_keys = |text: &str| text.replace("\n#", "\n").replace("\n ", "\n# ");
    for (name, text) in [
        ("agent.toml", include_str!("../../packaging/agent.toml")),
        ("controller.toml", include_str!("../../packaging/controller.toml")),
    ] {
        seeds.push(seed("configuration", name, text));
        seeds.push(seed("configuration", &format!("{name}-all-keys"), with_keys(text)));
    }
    let labels: std::collections::BTreeMap<String, String> = [("stage".into(), "2".into())].into();
    let invite =
        v1::InviteNodeRequest { name: "pi-3".into(), ttl_seconds: 60, uses: 1, labels: labels.clone() }.encode_to_vec();
    let label = v1::LabelNodeRequest { name: "pi-3".into(), set: labels, remove: vec!["role".into()] }.encode_to_vec();
    let order = v1::NodeCommandRequest { name: "pi-3".into(), reason: "move".into(), timeout_ms: 30 }.encode_to_vec();
    seeds.extend([("invite", invite), ("label", label), ("order", order)].map(|(n, b)| seed("user_request", n, b)));
    seeds
}

/// The files of /proc and /sys that were recorded on real boards.
fn kernel_seeds() -> anyhow::Result<Vec<Seed>> {
    let boards = Path::new(env!("CARGO_MANIFEST_DIR")).join("../agent/src/host/linux/fixtures");
    let mut seeds = Vec::new();
    for board in ["pi4", "x86"] {
        for file in [
            "etc/os-release",
            "proc/stat",
            "proc/meminfo",
            "proc/loadavg",
            "proc/diskstats",
            "proc/net/dev",
            "proc/self/mountinfo",
            "proc/pressure/io",
            "proc/self/statm",
        ] {
            let path = boards.join(board).join(file);
            let bytes = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
            seeds.push(seed("kernel_file", &format!("{board}-{}", file.replace('/', "-")), bytes));
        }
    }
    Ok(seeds)
}

/// A backup's manifest with one entry of each kind, as a file and as a block of records.
fn backup_seeds() -> anyhow::Result<Vec<Seed>> {
    let kinds = [Kind::Block, Kind::Char, Kind::Dir, Kind::Fifo, Kind::File, Kind::Symlink];
    let record = |(number, kind): (u32, Kind)| {
        let time = |seconds| FileTime { seconds, nanoseconds: 123_456_789 };
        let entry = Entry {
            path: format!("/srv/{number}-{kind:?}").into_bytes(),
            kind,
            mode: 0o4755,
            uid: 1000,
            gid: number,
            size: 1 << (7 * number),
            mtime: time(NOW_S),
            ctime: time(-NOW_S),
            ino: 1 << number,
            dev: 64_768,
            rdev: if matches!(kind, Kind::Block | Kind::Char) { (259, number) } else { (0, 0) },
            links: 2,
            target: (kind == Kind::Symlink).then(|| b"../etc".to_vec()),
            hard_link: (number == 4).then(|| b"/srv/0".to_vec()),
        };
        let place = Place { archive: number / 2, frame: 300, offset: 70_000 };
        let content = (kind == Kind::File).then_some([7; 32]);
        Item::Entry(Box::new(Record { entry, attributes: (number > 3).then_some([9; 16]), content, place }))
    };
    let mut items: Vec<Item> = (0..).zip(kinds).map(record).collect();
    items.push(Item::Removed(b"/srv/gone".to_vec()));
    let header = Header {
        job: "srv".to_owned(),
        node: "pi-3".to_owned(),
        kind: ArchiveKind::Full,
        started_unix_ms: NOW_S * 1000,
        sources: vec!["/srv".to_owned()],
        chain: vec![ChainLink { id: ArchiveId([3; 16]), name: "2026-01-01T000000Z-full.tar.zst".to_owned() }],
    };
    let mut writer = Writer::new(Vec::new(), &header)?;
    items.iter().try_for_each(|item| writer.push(item))?;
    let finished =
        writer.finish(ArchiveId([3; 16]), vec![Frame { stored_bytes: 9, raw_bytes: 1024, hash: [1; 32] }])?;
    let mut file = finished.out;
    file.extend_from_slice(&finished.footer.to_bytes("zstd -dc | tar -x"));
    Ok(vec![
        seed("backup_manifest", "manifest", file),
        seed("backup_manifest", "footer", finished.footer.to_bytes("")),
        seed("backup_manifest", "block", block_of(&items)),
    ])
}
