//! Asks logind to wait for the agent whenever somebody stops this machine.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_stream::StreamExt;
use tracing::debug;
use zbus::connection::Builder;
use zbus::message::Type;
use zbus::{Connection, MatchRule, Message, MessageStream, OwnedFd, OwnedVariant};

/// How long one question may take.
const LIMIT: Duration = Duration::from_secs(5);
/// When it is tried again after it failed.
const AGAIN: Duration = Duration::from_secs(60);
/// What is left of the delay when the agent is to be done, milliseconds.
const MARGIN_MS: u64 = 300;
/// Most signals that wait.
const SIGNALS: Option<NonZeroUsize> = NonZeroUsize::new(8);

const LOGIND: &str = "org.freedesktop.login1";
const MANAGER_PATH: &str = "/org/freedesktop/login1";
const MANAGER: &str = "org.freedesktop.login1.Manager";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// What logind tells of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// It is being stopped, and logind waits so long, milliseconds.
    Stops(u64),
    /// It is not stopped after all.
    Stays,
}

/// Holds a delay inhibitor while the agent runs.
pub struct Inhibitor {
    booted: PathBuf,
    address: Option<String>,
}

impl Default for Inhibitor {
    fn default() -> Self {
        Self { booted: "/run/systemd/system".into(), address: None }
    }
}

impl Inhibitor {
    /// Holds it, tells when the machine is stopped, and lets go when `let_go` says so. Never returns while somebody
    /// listens; where systemd is not in charge it does nothing.
    pub async fn run(self, told: mpsc::Sender<Told>, mut let_go: mpsc::Receiver<()>) {
        let mut failing = false;
        while !told.is_closed() {
            if self.booted.is_dir() {
                let held = self.hold(&told, &mut let_go).await;
                if let Err(error) = &held
                    && !failing
                {
                    debug!(%error, "logind does not wait for the agent");
                }
                failing = held.is_err();
            }
            tokio::select! {
                () = sleep(AGAIN) => {}
                () = told.closed() => return,
            }
        }
    }

    /// Holds it for as long as the bus lives.
    async fn hold(&self, told: &mpsc::Sender<Told>, let_go: &mut mpsc::Receiver<()>) -> zbus::Result<()> {
        let bus = self.address.as_deref().map_or_else(Builder::system, Builder::address);
        let bus = within(bus.build()).await?;
        let rule = MatchRule::builder()
            .msg_type(Type::Signal)
            .sender(LOGIND)
            .interface(MANAGER)
            .member("PrepareForShutdown")
            .build()?;
        let mut signals = within(MessageStream::for_match_rule(rule, &bus, SIGNALS)).await?;
        let mut lock = Some(inhibit(&bus).await?);
        loop {
            let signal = tokio::select! {
                signal = signals.next() => signal,
                () = told.closed() => return Ok(()),
            };
            let Some(signal) = signal else { return Err(zbus::Error::Failure("the bus has gone".to_owned())) };
            if signal?.body().deserialize::<bool>()? {
                let budget_ms = delay_ms(&bus).await?.saturating_sub(MARGIN_MS);
                // What was said for an earlier stop counts no more.
                while let_go.try_recv().is_ok() {}
                if lock.is_some() && told.send(Told::Stops(budget_ms)).await.is_ok() {
                    let _ = timeout(Duration::from_millis(budget_ms), let_go.recv()).await;
                }
                lock = None;
            } else if lock.is_none() {
                let _ = told.send(Told::Stays).await;
                lock = Some(inhibit(&bus).await?);
            }
        }
    }
}

/// The lock, which is held as long as its descriptor is open.
async fn inhibit(bus: &Connection) -> zbus::Result<OwnedFd> {
    let body = ("shutdown", "rackhaven-agent", "brings this node down in order", "delay");
    call(bus, MANAGER, "Inhibit", &body).await?.body().deserialize()
}

/// How long logind waits at most, milliseconds.
async fn delay_ms(bus: &Connection) -> zbus::Result<u64> {
    let answer = call(bus, PROPERTIES, "Get", &(MANAGER, "InhibitDelayMaxUSec")).await?;
    Ok(u64::try_from(answer.body().deserialize::<OwnedVariant>()?)? / 1000)
}

async fn call<B>(bus: &Connection, interface: &str, method: &str, body: &B) -> zbus::Result<Message>
where
    B: serde::Serialize + zbus::DynamicType,
{
    within(bus.call_method(Some(LOGIND), MANAGER_PATH, Some(interface), method, body)).await
}

async fn within<T>(answer: impl Future<Output = zbus::Result<T>>) -> zbus::Result<T> {
    timeout(LIMIT, answer).await.unwrap_or_else(|_| Err(zbus::Error::Failure("no answer in 5 s".to_owned())))
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::OwnedFd;
    use std::time::Duration;

    use tokio::sync::mpsc;
    use tokio::time::timeout;
    use tokio_stream::StreamExt;
    use zbus::connection::Builder;
    use zbus::{Connection, MessageStream, Variant};

    use super::{Inhibitor, LOGIND, MANAGER, MANAGER_PATH, Told};
    use crate::host::own_bus::Bus;

    /// Long, because a busy machine is no failure.
    const PATIENCE: Duration = Duration::from_secs(20);

    /// Stands for logind: gives out locks, and keeps the other end of each.
    struct Logind {
        bus: Connection,
        locks: mpsc::Receiver<std::io::PipeReader>,
    }

    impl Logind {
        async fn start(bus: &Bus) -> Self {
            let bus = Builder::address(bus.address.as_str()).name(LOGIND).build().await.unwrap();
            let (given, locks) = mpsc::channel(4);
            let mut calls = MessageStream::from(&bus);
            let answers = bus.clone();
            tokio::spawn(async move {
                while let Some(Ok(call)) = calls.next().await {
                    let header = call.header();
                    match header.member().map(|member| member.as_str()) {
                        Some("Inhibit") => {
                            let asked: (String, String, String, String) = call.body().deserialize().unwrap();
                            assert_eq!((asked.0.as_str(), asked.3.as_str()), ("shutdown", "delay"));
                            let (reader, writer) = std::io::pipe().unwrap();
                            answers.reply(&header, &zbus::OwnedFd::from(OwnedFd::from(writer))).await.unwrap();
                            given.send(reader).await.unwrap();
                        }
                        Some("Get") => answers.reply(&header, &Variant::from(5_000_000_u64)).await.unwrap(),
                        _ => {}
                    }
                }
            });
            Self { bus, locks }
        }

        async fn prepare(&self, stops: bool) {
            self.bus.emit_signal(None::<&str>, MANAGER_PATH, MANAGER, "PrepareForShutdown", &stops).await.unwrap();
        }

        /// The next lock that is taken.
        async fn lock(&mut self) -> std::io::PipeReader {
            timeout(PATIENCE, self.locks.recv()).await.unwrap().unwrap()
        }
    }

    /// Waits until nobody holds the lock any more.
    async fn let_go(mut lock: std::io::PipeReader) {
        let ended = tokio::task::spawn_blocking(move || lock.read(&mut [0]).unwrap());
        assert_eq!(timeout(PATIENCE, ended).await.unwrap().unwrap(), 0);
    }

    #[tokio::test]
    async fn logind_waits_until_the_agent_lets_go() {
        let Some(bus) = Bus::start("inhibit") else { return };
        let mut logind = Logind::start(&bus).await;
        let (tell, mut told) = mpsc::channel(1);
        let (go, may_go) = mpsc::channel(1);
        let inhibitor = Inhibitor { booted: bus.dir.clone(), address: Some(bus.address.clone()) };
        tokio::spawn(inhibitor.run(tell, may_go));
        for _ in 0..2 {
            let lock = logind.lock().await;
            logind.prepare(true).await;
            assert_eq!(timeout(PATIENCE, told.recv()).await.unwrap(), Some(Told::Stops(4_700)));
            go.send(()).await.unwrap();
            let_go(lock).await;
            // It is not stopped after all, and next time logind waits again.
            logind.prepare(false).await;
            assert_eq!(timeout(PATIENCE, told.recv()).await.unwrap(), Some(Told::Stays));
        }
    }

    #[tokio::test]
    async fn where_systemd_is_not_in_charge_nothing_is_held() {
        let (tell, told) = mpsc::channel(1);
        let (_go, may_go) = mpsc::channel(1);
        let inhibitor = Inhibitor { booted: "/no/such/folder".into(), address: Some("unix:path=/no/such".to_owned()) };
        let running = tokio::spawn(inhibitor.run(tell, may_go));
        drop(told);
        timeout(PATIENCE, running).await.unwrap().unwrap();
    }
}
