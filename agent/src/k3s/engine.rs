use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use prost::Message;
use rackhaven_pki::durable;
use rackhaven_proto::v1;

use super::Paths;
use super::files::Files;
use crate::causes::with_causes;
use crate::host::ChildError;
use crate::host::linux::Place;
use crate::host::linux::child::{self, Job};

/// Its name at systemd: there is one at a time.
const UNIT: &str = "rackhaven-k3s-order.service";
/// How long systemd may take to answer.
const ANSWER: Duration = Duration::from_secs(20);
/// How long it may take to read what is installed: a slow card needs a minute for it.
const READ: Duration = Duration::from_secs(600);
/// How long an order may take.
const LONGEST: Duration = Duration::from_secs(3600);
/// How often it is looked how far it is, and, if systemd runs it, whether it does still.
const LOOK: Duration = Duration::from_millis(250);
const LOOKS_BEFORE_ASKING: u32 = 8;
/// Longest file that the engine writes, bytes.
const MAX_FILE_BYTES: u64 = 256 * 1024;

/// Which files of an order are not where they belong, by SHA-256.
///
/// # Errors
/// When there is no engine, or it cannot tell.
pub(super) async fn missing(paths: &Paths, order: &v1::K3sOrder) -> Result<Vec<String>, String> {
    if !paths.program.exists() {
        return Err(format!("there is no engine {}: install rackhaven-k3s on the node", paths.program.display()));
    }
    if order.artifacts.is_empty() {
        return Ok(Vec::new());
    }
    let input = write_down(paths, order)?;
    let argv =
        [paths.program.display().to_string(), "missing".to_owned(), "--order".to_owned(), input.display().to_string()];
    let job = Job { argv: &argv, environment: &[], stands: false, place: Place::Here };
    child::run(job, READ).await.map_err(|error| with_causes(&error))
}

/// The order, for the engine and for root alone: there are secrets in it.
fn write_down(paths: &Paths, order: &v1::K3sOrder) -> Result<PathBuf, String> {
    std::fs::create_dir_all(&paths.state).map_err(|error| format!("making {}: {error}", paths.state.display()))?;
    let path = paths.state.join("order");
    durable::replace(&path, &order.encode_to_vec(), 0o600).map_err(|error| error.to_string())?;
    Ok(path)
}

/// Has the engine carry out an order whose files are here. What it tells, the report at the end, goes to `tell`.
///
/// # Errors
/// When there is no report.
pub(super) async fn run(
    paths: &Paths,
    place: Place,
    files: &Files,
    order: &v1::K3sOrder,
    mut tell: impl FnMut(v1::K3sNews),
) -> Result<(), String> {
    let [input, result] = ["order", "result"].map(|name| paths.state.join(name));
    let status = paths.status.join("k3s.status");
    if place == Place::Unit {
        // One that an earlier run of the agent began.
        while unit_runs().await {
            if let Some(news) = read(&status, &order.id) {
                tell(news);
            }
            tokio::time::sleep(LOOK * LOOKS_BEFORE_ASKING).await;
        }
    }
    if let Some(news) = read(&result, &order.id) {
        tell(news);
        clean(files, order, &input, &result);
        return Ok(());
    }
    let remove = |path: &Path| durable::remove(path).map_err(|error| error.to_string());
    remove(&result)?;
    // It is in memory; what is left of another order has its id.
    let _ = std::fs::remove_file(&status);
    std::fs::create_dir_all(&paths.status).map_err(|error| format!("making {}: {error}", paths.status.display()))?;
    let input = write_down(paths, order)?;
    let mut argv = vec![paths.program.display().to_string(), "run".to_owned()];
    for (flag, path) in
        [("--order", &*input), ("--artifacts", files.folder()), ("--status", &status), ("--result", &result)]
    {
        argv.extend([flag.to_owned(), path.display().to_string()]);
    }
    let ended = follow(place, &argv, || {
        if let Some(news) = read(&status, &order.id) {
            tell(news);
        }
    });
    let ended = ended.await;
    let news = read(&result, &order.id);
    clean(files, order, &input, &result);
    match (news, ended) {
        (Some(news), _) => {
            tell(news);
            Ok(())
        }
        (None, Err(error)) => Err(format!("the engine: {error}")),
        (None, Ok(())) => Err("the engine ended without a report: it was killed, perhaps".to_owned()),
    }
}

/// Removes an order that will not be carried out: there are secrets in it.
pub(super) fn forget(paths: &Paths) {
    if let Err(error) = durable::remove(&paths.state.join("order")) {
        tracing::warn!(%error, "an order stays on the disk");
    }
}

/// Nothing that is secret stays, and nothing that is large once it is where it belongs.
fn clean(files: &Files, order: &v1::K3sOrder, input: &Path, result: &Path) {
    for path in [input, result] {
        if let Err(error) = durable::remove(path) {
            tracing::warn!(%error, "what was needed for an order stays on the disk");
        }
    }
    if !order.artifacts.is_empty() {
        files.clear();
    }
}

/// Runs it to its end.
async fn follow(place: Place, argv: &[String], mut look: impl FnMut()) -> Result<(), String> {
    let begun;
    let stands = place == Place::Unit;
    let argv = if stands {
        begun = as_unit(argv);
        &begun
    } else {
        argv
    };
    let job = Job { argv, environment: &[], stands, place: Place::Here };
    let mut running = Box::pin(child::run(job, if stands { ANSWER } else { LONGEST }));
    let ended = loop {
        tokio::select! {
            ended = &mut running => break ended,
            () = tokio::time::sleep(LOOK) => look(),
        }
    };
    match ended {
        // What went wrong in it, its report tells.
        Err(ChildError::Failed { .. }) if !stands => return Ok(()),
        other => other.map_err(|error| with_causes(&error))?,
    };
    if !stands {
        return Ok(());
    }
    loop {
        for _ in 0..LOOKS_BEFORE_ASKING {
            tokio::time::sleep(LOOK).await;
            look();
        }
        if !unit_runs().await {
            return Ok(());
        }
    }
}

/// The command line that has systemd begin it: beyond the agent's sandbox, and going on without the agent.
fn as_unit(argv: &[String]) -> Vec<String> {
    let mut words: Vec<String> =
        ["systemd-run", "--quiet", "--collect", "--description=Rackhaven's work on K3s"].map(str::to_owned).into();
    words.push(format!("--unit={UNIT}"));
    words.push(format!("--property=RuntimeMaxSec={}", LONGEST.as_secs()));
    words.push("--property=TimeoutStopSec=15".to_owned());
    words.push("--".to_owned());
    // systemd expands variables in what it runs (systemd.service(5), "Command lines").
    words.extend(argv.iter().map(|word| word.replace('$', "$$")));
    words
}

/// Whether systemd still runs it. If that cannot be known, it does.
async fn unit_runs() -> bool {
    let argv = ["systemctl", "show", "--property=ActiveState", "--value", UNIT].map(str::to_owned);
    let job = Job { argv: &argv, environment: &[], stands: true, place: Place::Here };
    match child::run(job, ANSWER).await {
        Ok(said) => !said.last().is_some_and(|state| matches!(state.as_str(), "inactive" | "failed")),
        Err(_) => true,
    }
}

/// What the engine wrote of this order.
fn read(path: &Path, order_id: &str) -> Option<v1::K3sNews> {
    let mut bytes = Vec::new();
    std::fs::File::open(path).ok()?.take(MAX_FILE_BYTES).read_to_end(&mut bytes).ok()?;
    v1::K3sNews::decode(bytes.as_slice()).ok().filter(|news| news.order_id == order_id)
}
