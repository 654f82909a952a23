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

    /// Stops it.
    pub(in crate::shutdown) async fn stop(&self, limit: Duration) -> Ended {
        match self.try_stop(limit).await {
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
                Ok(()) => held = true,
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
