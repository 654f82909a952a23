//! Entry points for fuzzing: all that reads bytes from outside. Whatever comes, nothing panics, and what is taken means
//! the same when it is written down and read again.

mod backups;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Debug, Display};
use std::io::Cursor;
use std::path::Path;
use std::str::FromStr;
use std::sync::LazyLock;

use prost::Message;
use rackhaven_agent::shutdown::core::Sequence;
use rackhaven_backup::manifest::{FOOTER_BYTES, Footer, Item, Manifest, Records, block_of, items_of};
use rackhaven_controller::enrolment::{Asked, decide};
use rackhaven_controller::fleet::{Reading, node_problems};
use rackhaven_controller::history::{MinuteSum, point};
use rackhaven_controller::nut::{Answer, MAX_LINE_BYTES, Request, UpsReading};
use rackhaven_controller::power::core::state::State;
use rackhaven_controller::store::{TokenPurpose, TokenRow};
use rackhaven_k3s::remove::mounts::of_k3s;
use rackhaven_k3s::remove::rules::without_k3s;
use rackhaven_k3s::units::UnitState;
use rackhaven_pki::{
    Authority, CertificateInfo, Credentials, Identity, PrivateKey, SecretHash, Token, TokenId, durable, sha256,
};
use rackhaven_proto::daemon::parse_toml;
use rackhaven_proto::model::k3s::K3sOrder;
use rackhaven_proto::model::{
    ClusterId, Command, CommandId, CommandOutcome, Endpoint, Event, EventId, Hello, LabelKey, LabelValue, Labels,
    LogOrder, LogQuery, NodeName, NodeState, Operation, OrderId, PowerNotice, Role, Sample, Severity, ShutdownOrder,
    ShutdownProgress, StopReport, UserName,
};
use rackhaven_proto::v1::agent_message::Body as FromAgent;
use rackhaven_proto::v1::controller_message::Body as FromController;
use rackhaven_proto::v1::{self, SubjectKind};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::power_sim;

/// One entry point: takes any bytes, and panics only on a mistake of ours.
pub type Target = fn(&[u8]);

/// Every target by its name, which is also that of its file in `tests/fuzz/fuzz_targets` and of its folder in
/// `tests/fuzz/corpus`.
pub const TARGETS: &[(&str, Target)] = &[
    ("agent_message", agent_message),
    ("controller_message", controller_message),
    ("enrol_request", enrol_request),
    ("enrol_response", enrol_response),
    ("user_request", user_request),
    ("words", words),
    ("token", token),
    ("certificate", certificate),
    ("credentials", credentials),
    ("configuration", configuration),
    ("state_file", state_file),
    ("power_state", power_state),
    ("kernel_file", kernel_file),
    ("nut_answer", nut_answer),
    ("nut_request", nut_request),
    ("backup_manifest", backup_manifest),
    ("backup_result", backup_result),
];

/// A moment for what needs one: 2026-01-01, milliseconds since 1970-01-01 UTC.
const NOW_MS: i64 = 1_767_225_600_000;

/// What an agent sends in its session.
pub fn agent_message(data: &[u8]) {
    match v1::AgentMessage::decode(data).ok().and_then(|message| message.body) {
        Some(FromAgent::Hello(wire)) => {
            if let Ok(hello) = Hello::try_from(wire) {
                assert_eq!(Hello::try_from(v1::Hello::from(hello.clone())), Ok(hello));
            }
        }
        Some(FromAgent::Heartbeat(wire)) => {
            let skew_ms = wire.wall_unix_ms.saturating_sub(NOW_MS);
            let told = !node_problems(NodeState::Up, &[], Some(skew_ms), None).is_empty();
            assert_eq!(told, skew_ms.unsigned_abs() >= 5000, "skew of {skew_ms} ms");
        }
        Some(FromAgent::Sample(wire)) => {
            if let Ok(sample) = Sample::try_from(wire) {
                let reading = Reading::new(&sample);
                assert_eq!(reading.sample().as_ref(), Some(sample.as_wire()));
                let _ = node_problems(NodeState::Up, &reading.problems, None, None);
                let figures = point(&sample, NOW_MS);
                if let Ok(node) = "n".parse() {
                    let mut minute = MinuteSum::default();
                    let _ = minute.add(&node, &figures);
                    let _ = minute.add(&node, &point(&sample, NOW_MS + 60_000));
                }
                assert_eq!(Sample::try_from(sample.as_wire().clone()), Ok(sample));
            }
        }
        Some(FromAgent::Event(wire)) => {
            if let Ok(event) = Event::try_from(wire) {
                assert_eq!(Event::try_from(v1::Event::from(event.clone())), Ok(event));
            }
        }
        Some(FromAgent::CommandUpdate(wire)) => {
            if let Ok(update) = <(CommandId, CommandOutcome)>::try_from(wire) {
                assert_eq!(v1::CommandUpdate::from(update.clone()).try_into(), Ok(update));
            }
        }
        Some(FromAgent::ShutdownProgress(wire)) => {
            if let Ok(progress) = ShutdownProgress::try_from(wire) {
                assert_eq!(v1::ShutdownProgress::from(progress.clone()).try_into(), Ok(progress));
            }
        }
        Some(FromAgent::StopReport(wire)) => {
            if let Ok(report) = StopReport::try_from(wire) {
                assert_eq!(v1::StopReport::from(report.clone()).try_into(), Ok(report));
            }
        }
        Some(FromAgent::BackupJobs(wire)) => backups::jobs(wire),
        Some(FromAgent::BackupProgress(wire)) => backups::progress(&wire),
        Some(FromAgent::BackupReport(wire)) => backups::report(wire),
        None => {}
    }
}

/// What the controller sends in a session.
pub fn controller_message(data: &[u8]) {
    match v1::ControllerMessage::decode(data).ok().and_then(|message| message.body) {
        Some(FromController::Welcome(wire)) => settings(&wire.settings.unwrap_or_default()),
        Some(FromController::Settings(wire)) => settings(&wire),
        Some(FromController::Command(wire)) => {
            if let Ok(command) = Command::try_from(wire) {
                assert_eq!(Command::try_from(v1::Command::from(command.clone())), Ok(command));
            }
        }
        Some(FromController::EventsStored(wire)) => wire.ids.iter().for_each(|id| same_again::<EventId>(id)),
        Some(FromController::CommandStored(wire)) => same_again::<CommandId>(&wire.id),
        Some(FromController::Power(wire)) => {
            if let Ok(notice) = PowerNotice::try_from(wire) {
                assert_eq!(v1::PowerNotice::from(notice.clone()).try_into(), Ok(notice));
            }
        }
        Some(FromController::Shutdown(wire)) => {
            if let Ok(order) = ShutdownOrder::try_from(wire) {
                assert_eq!(v1::ShutdownOrder::from(order.clone()).try_into(), Ok(order));
            }
        }
        Some(FromController::ShutdownAbort(wire)) => same_again::<OrderId>(&wire.order_id),
        Some(FromController::DrainEnded(wire)) => same_again::<OrderId>(&wire.order_id),
        Some(FromController::PowerOffHeard(wire)) => same_again::<OrderId>(&wire.order_id),
        Some(FromController::Log(wire)) => {
            if let Ok(order) = LogOrder::try_from(wire) {
                assert_eq!(v1::LogOrder::from(order.clone()).try_into(), Ok(order));
            }
        }
        Some(FromController::GivenBackupJobs(wire)) => backups::given(&wire),
        Some(FromController::BackupOrder(wire)) => backups::order(wire),
        Some(FromController::K3s(wire)) => {
            if let Ok(order) = K3sOrder::try_from(wire) {
                assert_eq!(v1::K3sOrder::from(order.clone()).try_into(), Ok(order));
            }
        }
        Some(
            FromController::StopReportStored(_) | FromController::BackupStop(_) | FromController::BackupReportStored(_),
        ) => {}
        None => {}
    }
}

fn settings(wire: &v1::Settings) {
    wire.endpoints.iter().for_each(|endpoint| same_again::<Endpoint>(endpoint));
}

/// What anybody can send without a certificate, and the signing request in it.
pub fn enrol_request(data: &[u8]) {
    let _ = Authority::request_key_hash(data);
    let Ok(wire) = v1::EnrolRequest::decode(data) else { return };
    let _ = Authority::request_key_hash(&wire.csr_der);
    let Ok(id) = wire.token_id.parse::<TokenId>() else { return };
    let kind = SubjectKind::try_from(wire.kind).unwrap_or(SubjectKind::Unspecified);
    let asked = Asked { secret: &wire.token_secret, kind, name: &wire.name, fallback_name: &wire.fallback_name };
    for purpose in [TokenPurpose::Node, TokenPurpose::Rejoin, TokenPurpose::User(Role::Viewer)] {
        let row = TokenRow {
            id: id.clone(),
            secret_hash: SecretHash::of(&wire.token_secret),
            purpose,
            name: String::new(),
            labels: Labels::default(),
            ends_ms: NOW_MS + 1,
            uses_left: 1,
            failures: 0,
        };
        let _ = decide(Some(&row), &asked, NOW_MS, |name| name == "taken");
        let other = TokenRow { secret_hash: SecretHash([0; 32]), ..row };
        assert!(decide(Some(&other), &asked, NOW_MS, |_| false).is_err(), "a wrong secret was taken");
    }
}

/// What a controller answers to an enrolment, one that holds the CA of the invitation.
pub fn enrol_response(data: &[u8]) {
    static KEY: LazyLock<Option<PrivateKey>> = LazyLock::new(|| PrivateKey::generate().ok());
    let Ok(wire) = v1::EnrolResponse::decode(data) else { return };
    let pin = CertificateDer::from_pem_slice(wire.ca_pem.as_bytes()).map_or([0; 32], |der| sha256(&der));
    let (Some(key), Ok(token), Ok(dialled)) = (&*KEY, Token::generate(pin), "rack:1".parse()) else { return };
    let taken = Credentials::from_enrolment(&token, key, &dialled, wire);
    assert!(taken.is_err(), "a certificate for another key was taken");
}

/// What a user sends that holds names or labels.
pub fn user_request(data: &[u8]) {
    if let Ok(wire) = v1::InviteNodeRequest::decode(data) {
        same_again::<NodeName>(&wire.name);
        labels(wire.labels);
    }
    if let Ok(wire) = v1::LabelNodeRequest::decode(data) {
        same_again::<NodeName>(&wire.name);
        labels(wire.set);
        wire.remove.iter().for_each(|key| same_again::<LabelKey>(key));
    }
    if let Ok(wire) = v1::ReadLogsRequest::decode(data)
        && let Ok(query) = LogQuery::try_from(wire.query.unwrap_or_default())
    {
        assert_eq!(v1::LogQuery::from(query.clone()).try_into(), Ok(query));
    }
    if let Ok(wire) = v1::NodeCommandRequest::decode(data) {
        let command = v1::Command {
            id: wire.name,
            expires_in_ms: wire.timeout_ms,
            reason: wire.reason,
            operation: Some(Operation::Reboot.into()),
            ..v1::Command::default()
        };
        let _ = Command::try_from(command);
    }
}

fn labels(map: BTreeMap<String, String>) {
    if let Ok(labels) = Labels::try_from(map.clone()) {
        assert_eq!(BTreeMap::from(&labels), map);
    }
}

/// The vocabulary: names, labels, addresses, identities.
pub fn words(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    same_again::<NodeName>(text);
    same_again::<UserName>(text);
    same_again::<ClusterId>(text);
    same_again::<LabelKey>(text);
    same_again::<LabelValue>(text);
    same_again::<Endpoint>(text);
    same_again::<CommandId>(text);
    same_again::<EventId>(text);
    same_again::<Identity>(text);
    same_again::<Role>(text);
    same_again::<Severity>(text);
    same_again::<Operation>(text);
    same_again::<TokenId>(text);
}

/// Invitations as people paste them.
pub fn token(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match text.parse::<Token>() {
        Ok(token) => assert_eq!(token.reveal().parse(), Ok(token)),
        Err(error) => not_repeated(text.split('.').nth(2).into_iter(), 16, &error.to_string()),
    }
}

/// Certificates, in both of their forms.
pub fn certificate(data: &[u8]) {
    let from_der = CertificateInfo::from_der(data).ok();
    let from_pem = std::str::from_utf8(data).ok().and_then(|text| CertificateInfo::from_pem(text).ok());
    for info in from_der.into_iter().chain(from_pem) {
        let _ = info.renew_unix_s();
        if let Ok(identity) = info.identity() {
            same_again::<Identity>(&identity.to_string());
        }
    }
}

/// Contexts of ctl, and an agent's identity.
pub fn credentials(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Credentials::from_toml(text) {
        Ok(taken) => {
            let again = Credentials::from_toml(&taken.to_toml()).map(|again| (again.identity, again.endpoints));
            assert_eq!(again, Ok((taken.identity, taken.endpoints)));
        }
        // A line of 40 characters may be of the private key.
        Err(error) => not_repeated(text.lines(), 40, &error.to_string()),
    }
}

/// The configurations of both daemons.
pub fn configuration(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let path = Path::new("c.toml");
    if let Ok(config) = parse_toml::<rackhaven_agent::config::RawConfig, rackhaven_agent::config::Config>(text, path) {
        assert!([&config.power.poweroff_command, &config.power.reboot_command].iter().all(|argv| !argv.is_empty()));
    }
    if let Ok(config) =
        parse_toml::<rackhaven_controller::config::RawConfig, rackhaven_controller::config::Config>(text, path)
    {
        assert!(config.session.down_after_missed > config.session.suspect_after_missed);
        assert!(!config.listen.is_empty());
    }
}

/// Files of state, as a disk may give them back.
pub fn state_file(data: &[u8]) {
    for kind in ["cluster", "identity", "run", "commands", "event", "pending-key", "clock-floor", "shutdown"] {
        let Ok(payload) = durable::check(data, kind, 1) else { continue };
        assert!(data.ends_with(payload));
        let _ = serde_json::from_slice::<rackhaven_agent::state::RunRecord>(payload);
        shutdown_record(payload);
        credentials(payload);
    }
}

/// A record of shutdowns means the same when it is written down again, and whatever it says, the agent starts with it.
fn shutdown_record(payload: &[u8]) {
    let Ok(record) = serde_json::from_slice::<rackhaven_agent::shutdown::Record>(payload) else { return };
    let again = serde_json::to_vec(&record).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    assert_eq!(again.as_ref(), Some(&record));
    for boot_id in ["boot-1", "boot-2"] {
        let (mut sequence, _) = Sequence::restored(again.clone(), boot_id, None, false, 60_000, 20_000);
        for now_ms in [20_001, 40_000, u64::MAX] {
            let _ = sequence.step(now_ms, rackhaven_agent::shutdown::Event::Tick);
        }
    }
}

/// The state of power, as a disk may give it back: whatever is in it, the core goes on from it, at any moment.
pub fn power_state(data: &[u8]) {
    if let Ok(state) = serde_json::from_slice::<State>(data) {
        power_sim::go_on_from(&state);
    }
}

/// What the kernel prints.
pub fn kernel_file(data: &[u8]) {
    rackhaven_agent::host::linux::parse::every_format(data);
    let text = String::from_utf8_lossy(data);
    let _ = UnitState::parse(&text);
    assert!(of_k3s(&text).iter().all(|path| path.starts_with('/')));
    if let Some(kept) = without_k3s(&text) {
        assert_eq!(without_k3s(&kept), None, "something of K3s's stays");
    }
}

/// What a NUT server says, line by line, and the reading that comes of it.
pub fn nut_answer(data: &[u8]) {
    let (mut vars, mut commands, mut settable) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
    for line in String::from_utf8_lossy(data).split('\n') {
        let Ok(answer) = Answer::parse(line) else { continue };
        let again = answer.to_string();
        assert!(!again.chars().any(char::is_control), "a control character got through from {line:?}");
        // Escaped, a line may become too long.
        if again.len() <= MAX_LINE_BYTES {
            assert_eq!(Answer::parse(&again).as_ref(), Ok(&answer), "from {line:?}");
        }
        match answer {
            Answer::Var(_, name, value) => drop(vars.insert(name, value)),
            Answer::Cmd(_, name) => drop(commands.insert(name)),
            Answer::Rw(_, name, _) => drop(settable.insert(name)),
            _ => {}
        }
    }
    if let Some(reading) = UpsReading::from_vars(&vars, &commands, &settable) {
        assert_ne!(reading.runtime_s, Some(0));
        let percents = [reading.charge_percent, reading.charge_low_percent];
        assert!(percents.into_iter().flatten().all(|percent| (0.0..=100.0).contains(&percent)));
        let kept = serde_json::to_vec(&reading).map(|json| serde_json::from_slice(&json).ok());
        assert!(kept.is_ok_and(|kept| kept == Some(reading)));
    }
}

/// What a NUT client asks of the facade, line by line.
pub fn nut_request(data: &[u8]) {
    for line in String::from_utf8_lossy(data).split('\n') {
        let Ok(request) = Request::parse(line) else { continue };
        let again = request.to_string();
        assert!(!again.chars().any(char::is_control), "a control character got through from {line:?}");
        if again.len() <= MAX_LINE_BYTES {
            assert_eq!(Request::parse(&again), Ok(request), "from {line:?}");
        }
    }
}

/// A manifest of a backup: as a file, as compressed blocks, and as the records in a block, where most can go wrong.
pub fn backup_manifest(data: &[u8]) {
    if let Ok(mut manifest) = Manifest::open(Cursor::new(data)) {
        let _ = manifest.check();
        let _ = manifest.records().map(Iterator::count);
    }
    let _ = Records::new(data, data.len() as u64).count();
    if let Some(Ok(footer)) = data.first_chunk::<FOOTER_BYTES>().map(Footer::from_bytes) {
        assert_eq!(Footer::from_bytes(&footer.to_bytes("")).ok(), Some(footer));
    }
    if let Ok(items) = items_of(data) {
        for path in items.iter().map(Item::path) {
            assert!(path.starts_with(b"/") && !path.contains(&0));
            assert!(!path.split(|byte| *byte == b'/').any(|name| matches!(name, b"." | b"..")), "leads elsewhere");
        }
        assert_eq!(block_of(&items), data, "the same items in other words");
    }
}

/// What the engine writes of a run, which the agent reads, and what stands beside an archive in its repository.
pub fn backup_result(data: &[u8]) {
    backups::result(data);
}

/// What is taken is shown so that it is taken again, as the same.
fn same_again<T>(text: &str)
where
    T: FromStr<Err: Debug + PartialEq> + Display + Debug + PartialEq,
{
    if let Ok(value) = text.parse::<T>() {
        assert_eq!(value.to_string().parse(), Ok(value), "from {text:?}");
    }
}

/// No secret of at least `least` letters and digits stands in a message.
fn not_repeated<'a>(mut secrets: impl Iterator<Item = &'a str>, least: usize, message: &str) {
    let like_secret =
        |text: &str| text.len() >= least && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'/');
    assert!(!secrets.any(|text| like_secret(text) && message.contains(text)), "a secret stands in: {message}");
}
