use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Interval, MissedTickBehavior};

use super::{Connection, UpsConfig, UpsError, UpsReading};
use crate::reach::Host;

/// How long after a failure it is tried again: at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// A UPS that its server cannot read is asked for at least that often, whatever the pace.
const WHILE_LOST: Duration = Duration::from_secs(1);
/// How often a server is asked again what the UPS can do.
const ABILITIES: Duration = Duration::from_secs(180);

/// Which of the configured UPSes, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UpsIndex(pub usize);

/// What is known of a UPS at this moment.
#[derive(Debug, Clone, PartialEq)]
pub enum UpsReport {
    /// What it tells, and all of its variables as it tells them.
    Reading(Box<UpsReading>, BTreeMap<String, String>),
    /// It cannot be read. Told once for each reason, until it is read again.
    Lost {
        /// Why, for a person.
        reason: String,
    },
}

/// Reads one UPS for ever: at once, then at the pace that is set, where a change takes effect at once. Whether it can
/// be read at all is found out without waiting for the next turn where the connection tells. Ends when nobody takes
/// the reports any more.
pub async fn watch(
    index: UpsIndex,
    config: Arc<UpsConfig>,
    pace: watch::Receiver<Duration>,
    reports: mpsc::Sender<(UpsIndex, UpsReport)>,
) {
    let mut host = Host::new(config.address.host(), config.address.port());
    let mut teller = Teller { index, ups: config.address.to_string(), reports, lost: None };
    let mut pause = FIRST_PAUSE;
    loop {
        let opened = Connection::open(&config, &mut host, true).await;
        let (ended, had_reading) = match opened {
            Ok(connection) => {
                if connection.encrypted() && config.ca_file.is_none() {
                    tracing::debug!(
                        ups = teller.ups,
                        "the connection is encrypted, the server unverified (no ca_file)"
                    );
                }
                read_on(connection, pace.clone(), &mut teller).await
            }
            Err(error) => (Err(error), false),
        };
        let told = match ended {
            Ok(()) => return,
            Err(error) => teller.lost(&error).await,
        };
        if told.is_err() {
            return;
        }
        if had_reading {
            pause = FIRST_PAUSE;
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = teller.reports.closed() => return,
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Nobody takes reports any more.
struct Unheard;

/// Reads over one connection until it fails; whether it gave a reading at all.
async fn read_on(
    mut connection: Connection,
    mut pace: watch::Receiver<Duration>,
    teller: &mut Teller,
) -> (Result<(), UpsError>, bool) {
    let mut turn = every(*pace.borrow_and_update());
    let mut abilities = every(ABILITIES);
    let (mut commands, mut settable) = (BTreeSet::new(), BTreeSet::new());
    let mut had_reading = false;
    let mut can_change = true;
    loop {
        tokio::select! {
            biased;
            () = teller.reports.closed() => {
                connection.close().await;
                return (Ok(()), had_reading);
            }
            _ = abilities.tick() => {
                let known = async { Ok((connection.commands().await?, connection.settable().await?)) };
                match known.await {
                    Ok(known) => (commands, settable) = known,
                    // Such as a driver that does not run yet: told by the reading that follows.
                    Err(UpsError::Refused(_)) => abilities.reset_after(WHILE_LOST),
                    Err(error) => return (Err(error), had_reading),
                }
            }
            _ = turn.tick() => {
                let told = match connection.vars().await {
                    Ok(vars) => match UpsReading::from_vars(&vars, &commands, &settable) {
                        Some(reading) => {
                            had_reading = true;
                            teller.reading(reading, vars).await
                        }
                        None => teller.no_status(&vars).await,
                    },
                    // The server still speaks with us.
                    Err(error @ UpsError::Refused(_)) => teller.lost(&error).await,
                    Err(error) => return (Err(error), had_reading),
                };
                if told.is_err() {
                    return (Ok(()), had_reading);
                }
                if teller.lost.is_some() {
                    turn.reset_after(turn.period().min(WHILE_LOST));
                }
            }
            changed = pace.changed(), if can_change => {
                can_change = changed.is_ok();
                let new = *pace.borrow_and_update();
                if new != turn.period() {
                    turn = every(new);
                }
            }
            error = connection.ended() => return (Err(error), had_reading),
        }
    }
}

fn every(period: Duration) -> Interval {
    let mut interval = tokio::time::interval(period.max(Duration::from_millis(10)));
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

/// Hands reports on, each loss once.
struct Teller {
    index: UpsIndex,
    ups: String,
    reports: mpsc::Sender<(UpsIndex, UpsReport)>,
    lost: Option<String>,
}

impl Teller {
    async fn reading(&mut self, reading: UpsReading, vars: BTreeMap<String, String>) -> Result<(), Unheard> {
        if self.lost.take().is_some() {
            tracing::info!(ups = self.ups, "read again");
        }
        self.send(UpsReport::Reading(Box::new(reading), vars)).await
    }

    async fn no_status(&mut self, vars: &BTreeMap<String, String>) -> Result<(), Unheard> {
        let reason = match vars.get("ups.status") {
            Some(status) if status.contains("WAIT") => "the driver waits for the UPS (WAIT)",
            _ => "the UPS tells no status",
        };
        self.lost_for(reason.to_owned()).await
    }

    async fn lost(&mut self, error: &UpsError) -> Result<(), Unheard> {
        self.lost_for(error.to_string()).await
    }

    async fn lost_for(&mut self, reason: String) -> Result<(), Unheard> {
        if self.lost.as_ref() == Some(&reason) {
            return Ok(());
        }
        tracing::warn!(ups = self.ups, reason, "cannot be read");
        self.lost = Some(reason.clone());
        self.send(UpsReport::Lost { reason }).await
    }

    async fn send(&mut self, report: UpsReport) -> Result<(), Unheard> {
        self.reports.send((self.index, report)).await.map_err(|_| Unheard)
    }
}
