//! Whether K3s can run on this node, what is in its way, and what of it can be put right.

mod admins;
mod boot;
mod facts;
mod fix;
mod judge;

use std::net::IpAddr;

use anyhow::bail;
use rackhaven_proto::model::k3s::{InterfaceName, K3sNodeName, K3sOrder, K3sRole, K3sSettings};
use rackhaven_proto::v1;
use rackhaven_proto::v1::k3s_finding::Level as WireLevel;

use crate::news::{Done, shown};
use crate::order::Work;
use crate::root::Root;
use facts::Facts;
use judge::judge;

/// As what K3s is to run here.
#[derive(Debug, Clone)]
pub struct Purpose {
    role: K3sRole,
    embedded_etcd: bool,
    node_ips: Vec<IpAddr>,
    flannel_iface: Option<String>,
    /// How long the release's files are together, bytes.
    artifact_bytes: u64,
    /// Why the name of the machine cannot be that of a node.
    name_refused: Option<String>,
}

impl Purpose {
    /// As settings say.
    #[must_use]
    pub fn of(settings: &K3sSettings, order: &K3sOrder) -> Self {
        Self {
            role: settings.role(),
            embedded_etcd: settings.server().is_some_and(|server| server.embedded_etcd),
            node_ips: settings.node_ips.clone(),
            flannel_iface: settings.flannel_iface.as_ref().map(InterfaceName::to_string),
            artifact_bytes: order.artifacts.iter().map(|artifact| artifact.bytes).sum(),
            name_refused: None,
        }
    }

    /// As far as it is known to somebody who asks by hand.
    #[must_use]
    pub fn by_hand(root: &Root, is_server: bool) -> Self {
        let name = root.told("/proc/sys/kernel/hostname").trim().to_lowercase();
        Self {
            role: if is_server { K3sRole::Server } else { K3sRole::Agent },
            embedded_etcd: false,
            node_ips: Vec::new(),
            flannel_iface: None,
            artifact_bytes: 0,
            name_refused: name
                .parse::<K3sNodeName>()
                .err()
                .map(|invalid| format!("of the machine: {}", invalid.reason)),
        }
    }

    fn is_server(&self) -> bool {
        self.role == K3sRole::Server
    }
}

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Ok,
    /// K3s runs, but not well.
    Warning,
    /// K3s does not run.
    Problem,
}

/// What can be put right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fix {
    /// The line of a Raspberry Pi's firmware.
    Cmdline,
    /// A module that is not loaded.
    Module(&'static str),
    /// IP forwarding.
    Forward,
}

/// What a look found.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    check: &'static str,
    level: Level,
    text: String,
    remedy: String,
    fix: Option<Fix>,
}

impl Finding {
    fn ok(check: &'static str, text: impl Into<String>) -> Self {
        Self { check, level: Level::Ok, text: text.into(), remedy: String::new(), fix: None }
    }

    fn warning(check: &'static str, text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { level: Level::Warning, remedy: remedy.into(), ..Self::ok(check, text) }
    }

    fn problem(check: &'static str, text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { level: Level::Problem, ..Self::warning(check, text, remedy) }
    }

    fn wire(&self, level: WireLevel, remedy: &str) -> v1::K3sFinding {
        v1::K3sFinding {
            check: self.check.to_owned(),
            level: level.into(),
            text: shown(&self.text),
            remedy: shown(remedy),
        }
    }
}

/// Looks, puts right what can be if that is wanted, and tells what it found.
///
/// # Errors
/// When the node cannot be looked at.
pub fn look(work: &mut Work, purpose: &Purpose, fix: bool) -> anyhow::Result<Vec<v1::K3sFinding>> {
    let facts = Facts::read(work, purpose)?;
    let before = judge(&facts, purpose);
    // On a node that has another installation nothing at all is changed.
    let is_foreign =
        before.iter().any(|finding| finding.check == "other installations" && finding.level == Level::Problem);
    let mut findings = Vec::new();
    for finding in before {
        let level = match finding.level {
            Level::Ok => WireLevel::Ok,
            Level::Warning => WireLevel::Warning,
            Level::Problem => WireLevel::Problem,
        };
        let wire = match finding.fix.filter(|_| fix && !is_foreign) {
            None => finding.wire(level, &finding.remedy),
            Some(what) => match fix::perform(work, &facts, what) {
                Ok(done) => {
                    work.report.needs_reboot |= done.needs_reboot;
                    Finding { text: done.text, ..finding }.wire(WireLevel::Fixed, "")
                }
                Err(error) => {
                    let remedy = format!("{} (it could not be done: {error:#})", finding.remedy);
                    finding.wire(level, &remedy)
                }
            },
        };
        findings.push(wire);
    }
    work.news.found(findings.clone());
    Ok(findings)
}

/// Looks, and fails where K3s would not run.
///
/// # Errors
/// When there is a problem.
pub fn check(work: &mut Work, purpose: &Purpose, fix: bool) -> anyhow::Result<Done> {
    let findings = look(work, purpose, fix)?;
    let problems: Vec<&v1::K3sFinding> =
        findings.iter().filter(|finding| finding.level == i32::from(WireLevel::Problem)).collect();
    if let Some(first) = problems.first() {
        let more = match problems.len() - 1 {
            0 => String::new(),
            more => format!(" (and {more} more)"),
        };
        bail!("{}: {}; {}{more}", first.check, first.text, first.remedy);
    }
    let fixed = findings.iter().filter(|finding| finding.level == i32::from(WireLevel::Fixed));
    let fixed: Vec<&str> = fixed.map(|finding| finding.text.as_str()).collect();
    Ok(if fixed.is_empty() { Done::Unchanged("K3s can run here".to_owned()) } else { Done::Changed(fixed.join(", ")) })
}

/// Looks before an installation, and refuses it where K3s would not run now.
///
/// # Errors
/// When there is a problem, or the node must be booted first.
pub fn for_install(work: &mut Work, purpose: &Purpose, fix: bool) -> anyhow::Result<Done> {
    let done = check(work, purpose, fix)?;
    if work.report.needs_reboot {
        bail!("what was put right counts after the next boot only: boot the node, and say it again");
    }
    Ok(done)
}

/// Findings for people.
#[must_use]
pub fn table(findings: &[v1::K3sFinding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let level = match WireLevel::try_from(finding.level) {
            Ok(WireLevel::Ok) => "ok",
            Ok(WireLevel::Warning) => "warning",
            Ok(WireLevel::Fixed) => "fixed",
            Ok(WireLevel::Problem | WireLevel::Unspecified) | Err(_) => "PROBLEM",
        };
        text.push_str(&format!("{level:<8} {:<22} {}\n", finding.check, finding.text));
        if !finding.remedy.is_empty() {
            text.push_str(&format!("{:<31} -> {}\n", "", finding.remedy));
        }
    }
    text
}
