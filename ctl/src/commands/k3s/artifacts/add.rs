use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use rackhaven_proto::model::k3s::K3sVersion;
use rackhaven_proto::v1::{Artifact, ArtifactChunk, ListArtifactsRequest};
use tokio::sync::mpsc::{self, Sender};
use tokio::time::interval;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Response;

use super::chosen::{Chosen, choose, elsewhere, without_images};
use super::report::ArtifactsReport;
use crate::connection::Connection;
use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;
use crate::units::{bytes, percent};

/// Sent at a time, bytes.
const CHUNK_BYTES: usize = 64 * 1024;
/// Chunks that wait to be sent.
const QUEUE_LENGTH: usize = 8;
/// How often it is told how far it is.
const TELL: Duration = Duration::from_secs(2);

/// Options of `ctl k3s artifacts add`.
#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// The release they are of, such as v1.31.4+k3s1
    #[arg(long)]
    version: K3sVersion,
    /// The folder of the release on a web server, from which nodes fetch files by themselves: then only its sha256sum-….txt
    /// are given as files, and what else comes has to have a SHA-256 that stands there
    #[arg(long, value_name = "URL")]
    from: Option<String>,
    /// With --from, the images too, for nodes whose pods have no internet
    #[arg(long, requires = "from")]
    images: bool,
    /// Files of the release: k3s, k3s-arm64, k3s-airgap-images-arm64.tar.zst, …, and its sha256sum-….txt
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// Checks all files, then hands over those that the controller does not have.
pub(super) async fn run(args: AddArgs, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    let chosen = match &args.from {
        Some(folder) => elsewhere(&args.version, folder, args.images, &args.files)?,
        None => choose(&args.version, &args.files)?,
    };
    if args.images {
        for arch in without_images(&chosen) {
            let text =
                format!("no images for {arch}: the lists name no k3s-airgap-images-….tar.zst for it; K3s pulls them");
            invocation.console.note(&text);
        }
    }
    let connection = invocation.connect().await?;
    let known = connection.answer(connection.k3s().list_artifacts(ListArtifactsRequest {})).await?.artifacts;
    let mut added = Vec::new();
    for file in chosen {
        let wire = Artifact::from(file.artifact.clone());
        let same = |other: &&Artifact| Artifact { added_unix_ms: 0, ..(*other).clone() } == wire;
        match known.iter().find(same) {
            Some(same) => {
                invocation.console.note(&format!("{}: the controller has it already", file.name));
                added.push(same.clone());
            }
            None => added.push(hand_over(&file, wire, &connection, invocation).await?),
        }
    }
    invocation.show(&ArtifactsReport::new(added)?)?;
    Ok(ExitStatus::Fine)
}

async fn hand_over(
    file: &Chosen,
    artifact: Artifact,
    connection: &Connection,
    invocation: &mut Invocation,
) -> Result<Artifact, CtlError> {
    let shown = file.name.clone();
    let whole = artifact.bytes;
    let sent = Cell::new(0);
    let (chunks, outgoing) = mpsc::channel(QUEUE_LENGTH);
    let mut client = connection.k3s();
    let fed = feed(file.path.as_deref(), artifact, chunks, &sent);
    let handed = async { tokio::join!(client.add_artifact(ReceiverStream::new(outgoing)), fed) };
    tokio::pin!(handed);
    let mut tell = interval(TELL);
    tell.tick().await;
    loop {
        tokio::select! {
            (answered, fed) = &mut handed => {
                fed.map_err(|error| CtlError::failed(format!("{shown}: {error}")))?;
                return answered.map(Response::into_inner).map_err(|status| connection.refused(&status).during(&shown));
            }
            _ = tell.tick() => {
                let share = percent((sent.get() as f64 / whole as f64 * 100.0) as f32);
                invocation.console.note(&format!("{shown}: {} of {}, {share}", bytes(sent.get()), bytes(whole)));
            }
        }
    }
}

/// Sends what it is, then its bytes; until its end, or until the controller wants no more, and says why in its answer.
async fn feed(
    path: Option<&Path>,
    artifact: Artifact,
    chunks: Sender<ArtifactChunk>,
    sent: &Cell<u64>,
) -> io::Result<()> {
    let mut source: Box<dyn Read> = match path {
        Some(path) => Box::new(File::open(path)?),
        None => Box::new(io::empty()),
    };
    let mut chunk = ArtifactChunk { artifact: Some(artifact), data: Vec::new() };
    while chunks.send(chunk).await.is_ok() {
        let mut data = vec![0; CHUNK_BYTES];
        let length = source.read(&mut data)?;
        if length == 0 {
            break;
        }
        data.truncate(length);
        sent.set(sent.get() + length as u64);
        chunk = ArtifactChunk { artifact: None, data };
    }
    Ok(())
}
