use std::time::Duration;

use rackhaven_proto::model::k3s::Artifact;
use rackhaven_proto::v1;
use rackhaven_proto::v1::k3s_nodes_client::K3sNodesClient;
use rackhaven_proto::v1::k3s_step::State;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::files::{Files, Partial};

/// Most files of one order.
const MOST_FILES: usize = 4;
/// How long the controller may take for the next piece.
const PIECE: Duration = Duration::from_secs(60);

/// Why the files of an order are not all here.
pub(super) enum Trouble {
    /// The connection broke: the same order, when it comes again, goes on with what is here.
    Lost(String),
    /// It would come to the same again.
    Failed(String),
}

/// Sees to it that all files of an order are here of which one is `missing` where it belongs, by its SHA-256.
pub(super) async fn all(
    channel: Channel,
    files: &Files,
    order: &v1::K3sOrder,
    missing: &[String],
    telling: &watch::Sender<v1::K3sNews>,
) -> Result<(), Trouble> {
    if order.artifacts.is_empty() {
        return Ok(());
    }
    let refuse = |invalid: rackhaven_proto::Invalid| Trouble::Failed(format!("the order's files: {invalid}"));
    if order.artifacts.len() > MOST_FILES {
        return Err(Trouble::Failed(format!(
            "the order names {} files, more than {MOST_FILES}",
            order.artifacts.len()
        )));
    }
    let artifacts: Result<Vec<_>, _> = order.artifacts.iter().cloned().map(Artifact::try_from).collect();
    let mut artifacts = artifacts.map_err(refuse)?;
    artifacts.retain(|artifact| missing.contains(&artifact.sha256.to_string()));
    let (these, room) = (artifacts.clone(), files.clone());
    beside(move || room.make_room(&these)).await?;
    // The engine fetches what is not the controller's.
    artifacts.retain(|artifact| artifact.source.is_none());
    let mut client = K3sNodesClient::new(channel);
    for artifact in artifacts {
        let total_bytes = artifact.bytes;
        let step = v1::K3sStep {
            name: format!("fetch {}", artifact.kind),
            state: State::Running.into(),
            text: artifact.version.to_string(),
            total_bytes,
            ..v1::K3sStep::default()
        };
        telling.send_modify(|news| news.steps.push(step));
        let tell = |state: State, done_bytes: u64, text: Option<&str>| {
            telling.send_modify(|news| {
                if let Some(step) = news.steps.last_mut() {
                    step.state = state.into();
                    step.done_bytes = done_bytes;
                    step.text = text.map_or_else(|| std::mem::take(&mut step.text), str::to_owned);
                }
            });
        };
        if files.has(&artifact) {
            tell(State::Unchanged, total_bytes, None);
            continue;
        }
        match one(&mut client, files, &order.id, artifact, |bytes| tell(State::Running, bytes, None)).await {
            Ok(()) => tell(State::Done, total_bytes, None),
            Err(Trouble::Lost(why)) => return Err(Trouble::Lost(why)),
            Err(Trouble::Failed(why)) => {
                tell(State::Failed, 0, Some(&why));
                return Err(Trouble::Failed(why));
            }
        }
    }
    Ok(())
}

async fn one(
    client: &mut K3sNodesClient<Channel>,
    files: &Files,
    order_id: &str,
    artifact: Artifact,
    tell: impl Fn(u64),
) -> Result<(), Trouble> {
    let (sha256, here, wanted) = (artifact.sha256.0.to_vec(), files.clone(), artifact.bytes);
    let mut partial: Partial = beside(move || here.go_on(&artifact)).await?;
    let request = v1::FetchArtifactRequest { order_id: order_id.to_owned(), sha256, offset_bytes: partial.bytes };
    if partial.bytes < wanted {
        let mut pieces = in_time(client.fetch(request)).await?.into_inner();
        while let Some(piece) = in_time(pieces.message()).await? {
            partial = beside(move || partial.write(&piece.data)).await?;
            tell(partial.bytes);
        }
    }
    if partial.bytes < wanted {
        return Err(Trouble::Lost(format!("it ended after {} of {wanted} bytes", partial.bytes)));
    }
    beside(move || partial.finish()).await
}

async fn in_time<T>(answer: impl Future<Output = Result<T, Status>>) -> Result<T, Trouble> {
    match timeout(PIECE, answer).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(status)) => match status.code() {
            Code::NotFound | Code::InvalidArgument | Code::PermissionDenied | Code::Unimplemented | Code::DataLoss => {
                Err(Trouble::Failed(format!("the controller refuses it: {}", status.message())))
            }
            _ => Err(Trouble::Lost(status.message().to_owned())),
        },
        Err(_) => Err(Trouble::Lost(format!("nothing came for {} s", PIECE.as_secs()))),
    }
}

/// Lets the disk, which may be a slow card, work beside the one thread of the agent.
async fn beside<T: Send + 'static>(work: impl FnOnce() -> Result<T, String> + Send + 'static) -> Result<T, Trouble> {
    match spawn_blocking(work).await {
        Ok(done) => done.map_err(Trouble::Failed),
        Err(_) => Err(Trouble::Lost("the agent stops".to_owned())),
    }
}
