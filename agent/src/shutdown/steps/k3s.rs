use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use rackhaven_proto::model::StepOutcome;

use super::Ended;
use crate::causes::with_causes;
use crate::config::K3sConfig;
use crate::host::ChildError;
use crate::host::linux::child::{self, Job, Place};

const UNITS: [&str; 2] = ["k3s.service", "k3s-agent.service"];
/// In which all pods are, unless K3s was told to use no slices.
const PODS: &str = "kubepods.slice";
/// Where it is told whether any runs in it.
const PODS_EVENTS: &str = "/sys/fs/cgroup/kubepods.slice/cgroup.events";
/// How often it is looked whether they have ended.
const LOOK: Duration = Duration::from_millis(100);
/// What keeps a unit from starting: nobody makes that file.
const HOLD: &str = "# Made by rackhaven-agent while K3s is held on this node, and removed by it.\n\
    [Unit]\nConditionPathExists=/run/rackhaven/k3s-may-start\n";
const HOLD_FILE: &str = "90-rackhaven-hold.conf";
/// How long systemd may take to answer what is not the stopping itself.
const ANSWER: Duration = Duration::from_secs(30);
/// How long stopping may take where no order sets a limit.
const STOP: Duration = Duration::from_secs(120);

/// K3s on this node, as systemd has it.
pub(in crate::shutdown) struct K3s<'a> {
    config: &'a K3sConfig,
    /// Where the admin's commands run.
    place: Place,
}

impl<'a> K3s<'a> {
    pub(in crate::shutdown) fn new(config: &'a K3sConfig, place: Place) -> Self {
        Self { config, place }
    }

    /// Stops it, and ends its pods; in a drill they go on until it is started again.
    pub(in crate::shutdown) async fn stop(&self, limit: Duration, drill: bool) -> Ended {
        let stopped = if drill || self.config.stop_command.is_some() {
            self.try_stop(limit).await
        } else {
            let stopped = self.try_stop(limit / 2).await;
            self.end_pods(limit / 4).await;
            stopped
        };
        match stopped {
            Ok(true) => (StepOutcome::Done, String::new()),
            Ok(false) => (StepOutcome::Skipped, "K3s does not run here".to_owned()),
            Err(error) => (StepOutcome::Failed, with_causes(&error)),
        }
    }

    /// Keeps it from being started, also after a reboot; stops it on demand.
    pub(in crate::shutdown) async fn hold(&self, stop: bool) -> Result<(), String> {
        let mut made = false;
        for unit in self.units() {
            let path = self.hold_file(unit);
            if path.exists() {
                continue;
            }
            let folder = path.parent().unwrap_or(&self.config.systemd_dir);
            std::fs::create_dir_all(folder)
                .and_then(|()| std::fs::write(&path, HOLD))
                .map_err(|error| format!("writing {}: {error}", path.display()))?;
            made = true;
        }
        if made {
            self.reload().await?;
        }
        if stop {
            self.try_stop(STOP).await.map_err(|error| with_causes(&error))?;
        }
        Ok(())
    }

    /// Lets it start again, and starts it if it was held or `start` says so.
    pub(in crate::shutdown) async fn release(&self, start: bool) -> Result<(), String> {
        let mut held = false;
        for unit in UNITS {
            let path = self.hold_file(unit);
            match std::fs::remove_file(&path) {
                Ok(()) => {
                    held = true;
                    // The folder stays if something of the admin's is in it.
                    let _ = path.parent().map(std::fs::remove_dir);
                }
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
                Err(error) => return Err(format!("removing {}: {error}", path.display())),
            }
        }
        if held {
            self.reload().await?;
        }
        if !held && !start {
            return Ok(());
        }
        let started = match &self.config.start_command {
            Some(argv) => run_in(self.place, argv, ANSWER).await,
            // Without waiting, for a start may take as long as it likes.
            None => match self.units().as_slice() {
                [] => return Ok(()),
                units => run(&systemctl(&["start", "--no-block"], units), ANSWER).await,
            },
        };
        started.map_err(|error| with_causes(&error))
    }

    /// Stops it; whether it ran.
    async fn try_stop(&self, limit: Duration) -> Result<bool, ChildError> {
        if let Some(argv) = &self.config.stop_command {
            return run_in(self.place, argv, limit).await.map(|()| true);
        }
        let mut running = Vec::new();
        for unit in self.units() {
            match run(&systemctl(&["is-active"], &[unit]), ANSWER.min(limit)).await {
                // Only its word says whether it is about to run.
                Err(ChildError::Failed { said, .. }) if !said.ends_with("activating") => {}
                Ok(()) | Err(ChildError::Failed { .. }) => running.push(unit),
                Err(error) => return Err(error),
            }
        }
        if running.is_empty() {
            return Ok(false);
        }
        run(&systemctl(&["stop"], &running), limit).await.map(|()| true)
    }

    /// Ends what outlives K3s (`KillMode=process`): the pods are asked to end and have so much time; what is left of them, of
    /// what holds them and of K3s itself is killed. Else systemd waits 90 s for it before the machine is off.
    async fn end_pods(&self, grace: Duration) {
        let mut units = self.units();
        if units.is_empty() {
            return;
        }
        // Where there is no such slice, no pods run.
        if run(&systemctl(&["kill", "--signal=TERM"], &[PODS]), ANSWER.min(grace)).await.is_ok() {
            let ended = async {
                while pods_run() {
                    tokio::time::sleep(LOOK).await;
                }
            };
            // Those that take longer are killed.
            let _ = tokio::time::timeout(grace, ended).await;
        }
        units.push(PODS);
        if let Err(error) = run(&systemctl(&["kill", "--signal=KILL"], &units), ANSWER.min(grace)).await {
            tracing::debug!(error = with_causes(&error), "not all that K3s leaves behind could be killed");
        }
    }

    async fn reload(&self) -> Result<(), String> {
        run(&systemctl(&["daemon-reload"], &[]), ANSWER).await.map_err(|error| with_causes(&error))
    }

    /// Those that are installed.
    fn units(&self) -> Vec<&'static str> {
        UNITS.into_iter().filter(|unit| self.config.systemd_dir.join(unit).exists()).collect()
    }

    fn hold_file(&self, unit: &str) -> PathBuf {
        self.config.systemd_dir.join(format!("{unit}.d")).join(HOLD_FILE)
    }
}

/// Whether anything runs in the pods' slice; if that cannot be known, it does.
fn pods_run() -> bool {
    std::fs::read_to_string(PODS_EVENTS).map_or(true, |events| !events.lines().any(|line| line == "populated 0"))
}

fn systemctl(verb: &[&str], units: &[&str]) -> Vec<String> {
    std::iter::once(&"systemctl").chain(verb).chain(units).map(|word| (*word).to_owned()).collect()
}

/// Asks systemd itself, for which no sandbox is in the way.
async fn run(argv: &[String], limit: Duration) -> Result<(), ChildError> {
    run_in(Place::Here, argv, limit).await
}

async fn run_in(place: Place, argv: &[String], limit: Duration) -> Result<(), ChildError> {
    child::run(Job { argv, environment: &[], stands: false, place }, limit).await.map(drop)
}
