//! Puts a run together: the order, the node, and what is said of it.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use nix::fcntl::{Flock, FlockArg};
use prost::Message;
use rackhaven_proto::model::k3s::K3sOrder;
use rackhaven_proto::v1;

use crate::cli::{Check, Cli, Command, Missing, Role, Run};
use crate::files;
use crate::install;
use crate::news::News;
use crate::order::{Work, carry_out};
use crate::paths::LOCK;
use crate::preflight::{self, Purpose, table};
use crate::root::Root;
use crate::stop::Stop;

/// The longest order, bytes.
const MAX_ORDER_BYTES: u64 = 256 * 1024;

/// Performs a command. Says the exit status: 0 it was carried out, 1 it was not, 2 there was nothing to carry out.
pub fn perform(cli: &Cli, stop: &Stop) -> u8 {
    let performed = match &cli.command {
        Command::Check(check) => perform_check(check, stop),
        Command::Missing(missing) => perform_missing(missing, stop),
        Command::Run(run) => perform_run(run, stop),
    };
    match performed {
        Ok(true) => 0,
        Ok(false) => 1,
        Err(error) => {
            eprintln!("rackhaven-k3s: {error:#}");
            2
        }
    }
}

fn perform_check(check: &Check, stop: &Stop) -> anyhow::Result<bool> {
    let root = Root::new(&check.root);
    let _lock = if check.fix { Some(lock(&root)?) } else { None };
    let purpose = Purpose::by_hand(&root, check.role == Role::Server);
    let mut work = Work {
        root: &root,
        stop,
        news: News::new("", None),
        report: v1::K3sReport::default(),
        artifacts: Path::new("/"),
        start_time: Duration::ZERO,
    };
    let findings = preflight::look(&mut work, &purpose, check.fix)?;
    let mut text = table(&findings);
    if work.report.needs_reboot {
        text.push_str("What was put right counts after the next boot.\n");
    }
    std::io::stdout().write_all(text.as_bytes()).context("printing")?;
    Ok(!findings.iter().any(|finding| finding.level == i32::from(v1::k3s_finding::Level::Problem)))
}

fn perform_missing(missing: &Missing, stop: &Stop) -> anyhow::Result<bool> {
    let root = Root::new(&missing.root);
    let order = read_order(&missing.order)?;
    let mut work = Work {
        root: &root,
        stop,
        news: News::new("", None),
        report: v1::K3sReport::default(),
        artifacts: Path::new("/"),
        start_time: Duration::ZERO,
    };
    let mut text = String::new();
    for artifact in install::missing(&mut work, &order)? {
        text.push_str(&format!("{}\n", artifact.sha256));
    }
    std::io::stdout().write_all(text.as_bytes()).context("printing")?;
    Ok(true)
}

fn perform_run(run: &Run, stop: &Stop) -> anyhow::Result<bool> {
    let root = Root::new(&run.root);
    let order = read_order(&run.order)?;
    let news = News::new(order.id.as_str(), Some(&run.status));
    let _lock = match lock(&root) {
        Ok(lock) => lock,
        Err(error) => {
            let failure = crate::news::shown(&format!("{error:#}"));
            let refused = news.report(v1::K3sReport { failure, ..v1::K3sReport::default() });
            files::replace(&run.result, &refused.encode_to_vec(), 0o600)?;
            return Err(error);
        }
    };
    let work = Work {
        root: &root,
        stop,
        news,
        report: v1::K3sReport::default(),
        artifacts: &run.artifacts,
        start_time: Duration::from_secs(run.start_timeout_s),
    };
    let news = carry_out(work, &order);
    let failure = news.report.as_ref().map(|report| report.failure.clone()).unwrap_or_default();
    write_report(run, &order, &news.encode_to_vec())?;
    if !failure.is_empty() {
        eprintln!("rackhaven-k3s: order {}: {failure}", order.id);
    }
    Ok(failure.is_empty())
}

/// Writes what became of it. If the disk is full of what is not whole yet, that goes first: without a report nobody learns
/// why it failed.
fn write_report(run: &Run, order: &K3sOrder, report: &[u8]) -> anyhow::Result<()> {
    if files::replace(&run.result, report, 0o600).is_ok() {
        return Ok(());
    }
    for artifact in &order.artifacts {
        files::remove_if_there(&files::partial(&run.artifacts, artifact))?;
    }
    Ok(files::replace(&run.result, report, 0o600)?)
}

/// An order as the agent hands it over. What stands in it is not repeated in errors.
fn read_order(path: &Path) -> anyhow::Result<K3sOrder> {
    let length = fs::metadata(path).with_context(|| format!("looking at {}", path.display()))?.len();
    if length > MAX_ORDER_BYTES {
        bail!("the order has {length} bytes, at most {MAX_ORDER_BYTES} are taken");
    }
    let bytes = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    let wire = v1::K3sOrder::decode(bytes.as_slice()).with_context(|| format!("{} is no order", path.display()))?;
    wire.try_into().context("the order")
}

/// Two engines would work against each other.
fn lock(root: &Root) -> anyhow::Result<Flock<fs::File>> {
    let place = root.at(LOCK);
    let file = fs::OpenOptions::new().create(true).append(true).open(&place);
    let file = file.with_context(|| format!("opening {LOCK}"))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(lock),
        Err((_, nix::errno::Errno::EWOULDBLOCK)) => bail!("another rackhaven-k3s is at work here"),
        Err((_, error)) => Err(error).with_context(|| format!("locking {LOCK}")),
    }
}
