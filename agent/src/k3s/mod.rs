//! Orders about K3s: their files are fetched, and the engine, a program of its own, carries them out. One order at a time,
//! one stream beside the session for each who waits for it. An order that comes again is not carried out again while this
//! run of the agent remembers it; after that it does no harm, for the engine does only what is left to do.

mod engine;
mod fetch;
mod files;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rackhaven_proto::v1;
use rackhaven_proto::v1::k3s_nodes_client::K3sNodesClient;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use crate::host::linux::Place;
use engine::Engine;
use fetch::Trouble;
use files::Files;

/// Messages that wait to be sent.
const QUEUE_LENGTH: usize = 2;

/// Where things are.
#[derive(Debug, Clone)]
pub struct Paths {
    /// The engine's program.
    pub program: PathBuf,
    /// For an order, its files, and how it ended.
    pub state: PathBuf,
    /// For how far it is; in memory.
    pub status: PathBuf,
}

/// Carries out orders about K3s.
#[derive(Debug, Clone)]
pub struct K3sOrders {
    paths: Arc<Paths>,
    place: Place,
    current: Arc<Mutex<Option<Current>>>,
}

/// The order that came last.
#[derive(Debug)]
struct Current {
    id: String,
    requested_by: String,
    news: watch::Receiver<v1::K3sNews>,
}

impl Current {
    /// Whether nobody works on it any more.
    fn has_ended(&self) -> bool {
        self.news.has_changed().is_err()
    }

    /// Whether it ended with a report. One that was cut short by the loss of its connection has none.
    fn has_report(&self) -> bool {
        self.news.borrow().report.is_some()
    }
}

impl K3sOrders {
    /// With the engine and its files at `paths`.
    pub fn new(paths: Paths, place: Place) -> Self {
        Self { paths: Arc::new(paths), place, current: Arc::default() }
    }

    /// Carries an order out and tells over the session's connection, beside the session, how far it is.
    pub fn answer(&self, channel: Channel, order: v1::K3sOrder) {
        let id = order.id.clone();
        let news = self.begin(&channel, order);
        tokio::spawn(async move {
            let (outgoing, queue) = mpsc::channel(QUEUE_LENGTH);
            let mut client = K3sNodesClient::new(channel);
            let sent = client.report(ReceiverStream::new(queue));
            let (ended, ()) = tokio::join!(sent, tell(&id, news, outgoing));
            if let Err(status) = ended {
                tracing::debug!(%status, "nobody waits for the news of an order about K3s any more");
            }
        });
    }

    /// The news of an order, which is begun if it is a new one.
    fn begin(&self, channel: &Channel, order: v1::K3sOrder) -> watch::Receiver<v1::K3sNews> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(other) = current.as_ref() {
            if other.id == order.id && (!other.has_ended() || other.has_report()) {
                return other.news.clone();
            }
            if !other.has_ended() {
                let busy = format!("an order of {} is carried out on this node now", other.requested_by);
                return watch::channel(failed(busy)).1;
            }
        }
        tracing::info!(order = order.id, requested_by = order.requested_by, "an order about K3s is carried out");
        let (telling, news) = watch::channel(v1::K3sNews::default());
        let (id, requested_by) = (order.id.clone(), order.requested_by.clone());
        *current = Some(Current { id, requested_by, news: news.clone() });
        let (orders, channel) = (self.clone(), channel.clone());
        tokio::spawn(async move { orders.carry_out(channel, order, telling).await });
        news
    }

    async fn carry_out(&self, channel: Channel, order: v1::K3sOrder, telling: watch::Sender<v1::K3sNews>) {
        let files = Files::new(self.paths.state.join("files"));
        let engine = Engine { paths: &self.paths, place: self.place, files: &files, order: &order };
        match carry_out(&engine, channel, &telling).await {
            Ok(()) => {}
            Err(Trouble::Lost(why)) => {
                tracing::warn!(why, "an order about K3s was cut short; it goes on when it comes again");
            }
            Err(Trouble::Failed(why)) => {
                tracing::warn!(why, "an order about K3s was not carried out");
                telling.send_modify(|news| news.report = failed(why).report);
            }
        }
    }
}

async fn carry_out(engine: &Engine<'_>, channel: Channel, telling: &watch::Sender<v1::K3sNews>) -> Result<(), Trouble> {
    let tell = |news| drop(telling.send_replace(news));
    if engine.has_ended(tell).await.map_err(Trouble::Failed)? {
        return Ok(());
    }
    let fetched = match engine.missing().await {
        Ok(missing) => fetch::all(channel, engine.files, engine.order, &missing, telling).await,
        Err(why) => Err(Trouble::Failed(why)),
    };
    if fetched.is_err() {
        engine.forget();
    }
    fetched?;
    let steps = telling.borrow().steps.clone();
    let run = engine.run(|mut news: v1::K3sNews| {
        news.steps.splice(0..0, steps.iter().cloned());
        tell(news);
    });
    run.await.map_err(Trouble::Failed)
}

fn failed(failure: String) -> v1::K3sNews {
    v1::K3sNews { report: Some(v1::K3sReport { failure, ..v1::K3sReport::default() }), ..v1::K3sNews::default() }
}

/// Sends all news up to the report, or to where the order was cut short.
async fn tell(id: &str, mut news: watch::Receiver<v1::K3sNews>, outgoing: mpsc::Sender<v1::K3sNews>) {
    let mut order_id = id.to_owned();
    loop {
        let now = news.borrow_and_update().clone();
        let is_last = now.report.is_some();
        if outgoing.send(v1::K3sNews { order_id: std::mem::take(&mut order_id), ..now }).await.is_err() || is_last {
            return;
        }
        tokio::select! {
            changed = news.changed() => if changed.is_err() { return },
            () = outgoing.closed() => return,
        }
    }
}
