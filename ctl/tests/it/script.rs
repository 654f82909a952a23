//! A controller that answers what it is told to.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use futures_util::{Stream, StreamExt};
use rackhaven_proto::v1::access_server::{Access, AccessServer};
use rackhaven_proto::v1::backups_server::{Backups, BackupsServer};
use rackhaven_proto::v1::enrolment_server::{Enrolment, EnrolmentServer};
use rackhaven_proto::v1::events_server::{Events, EventsServer};
use rackhaven_proto::v1::fleet_server::{Fleet, FleetServer};
use rackhaven_proto::v1::power_server::{Power, PowerServer};
use rackhaven_proto::v1::*;
use tokio::net::UnixListener;
use tokio::sync::oneshot;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::service::RoutesBuilder;
use tonic::{Code, Request, Response, Status};

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Answers a request for a certificate.
type Issuer = Box<dyn FnMut(&[u8]) -> Result<EnrolResponse, Status> + Send>;

/// What a call is answered, and what was asked.
#[derive(Default)]
pub(crate) struct Script {
    pub(crate) status: FleetStatus,
    pub(crate) detail: NodeDetail,
    pub(crate) history: NodeHistory,
    pub(crate) invitation: Invitation,
    /// One stretch for each call, so that a connection can be cut in between.
    pub(crate) events: Vec<Vec<StoredEvent>>,
    /// Ends each stretch but the last.
    pub(crate) cut: Option<(Code, &'static str)>,
    pub(crate) audit: Vec<AuditRecord>,
    pub(crate) users: Vec<User>,
    pub(crate) who: WhoAmIResponse,
    pub(crate) progress: Vec<CommandProgress>,
    pub(crate) power: PowerStatus,
    /// Told by a watch, one after another; then the watch stays open.
    pub(crate) changes: Vec<PowerStatus>,
    pub(crate) plan: PowerPlan,
    /// What a shutdown or a drill tells.
    pub(crate) timeline: Vec<OutageEvent>,
    /// What follows the timeline.
    pub(crate) ending: Ending,
    pub(crate) outages: Vec<Outage>,
    pub(crate) abort: AbortPowerResponse,
    pub(crate) jobs: Vec<NodeBackupJob>,
    pub(crate) pending: Vec<String>,
    pub(crate) started: Vec<StartedBackup>,
    /// What a watch of backups tells; then it ends as `ending` says.
    pub(crate) backups: Vec<BackupChange>,
    pub(crate) runs: Vec<NodeBackupRun>,
    pub(crate) archives: Vec<NodeBackupArchive>,
    /// Answered to each call in place of all else.
    pub(crate) refusal: Option<(Code, &'static str)>,
    pub(crate) enrolment: Option<Issuer>,
    /// What was asked.
    pub(crate) asked: Vec<String>,
}

/// How a stream ends when it has told everything.
#[derive(Clone, Copy, Default)]
pub(crate) enum Ending {
    /// In an orderly way.
    #[default]
    Over,
    /// With this status.
    Cut(Code, &'static str),
    /// Not at all.
    Open,
}

/// The script, shared with the test.
#[derive(Clone, Default)]
pub(crate) struct Controller(pub(crate) Arc<Mutex<Script>>);

impl Controller {
    pub(crate) fn new(script: Script) -> Self {
        Self(Arc::new(Mutex::new(script)))
    }

    /// Takes a call down, and answers it from the script.
    fn answer<R: std::fmt::Debug, T>(
        &self,
        request: &Request<R>,
        answer: impl FnOnce(&mut Script) -> T,
    ) -> Result<Response<T>, Status> {
        let mut script = self.0.lock().unwrap();
        script.asked.push(format!("{:?}", request.get_ref()));
        match script.refusal {
            Some((code, message)) => Err(Status::new(code, message)),
            None => Ok(Response::new(answer(&mut script))),
        }
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.0.lock().unwrap().asked.clone()
    }

    pub(crate) fn routes(&self) -> tonic::service::Routes {
        let mut routes = RoutesBuilder::default();
        routes.add_service(FleetServer::new(self.clone()));
        routes.add_service(EventsServer::new(self.clone()));
        routes.add_service(AccessServer::new(self.clone()));
        routes.add_service(EnrolmentServer::new(self.clone()));
        routes.add_service(PowerServer::new(self.clone()));
        routes.add_service(BackupsServer::new(self.clone()));
        routes.routes()
    }

    /// Serves on a Unix socket in `folder` until dropped.
    pub(crate) fn serve(&self, folder: &Path) -> Served {
        let path = folder.join("controller.sock");
        let _ = std::fs::remove_file(&path);
        let (end, ended) = oneshot::channel::<()>();
        let (routes, at) = (self.routes(), path.clone());
        let (ready, is_ready) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let incoming = UnixListenerStream::new(UnixListener::bind(at).unwrap());
                ready.send(()).unwrap();
                let served = tonic::transport::Server::builder().add_routes(routes).serve_with_incoming(incoming);
                tokio::select! {
                    served = served => served.unwrap(),
                    _ = ended => {}
                }
            });
        });
        is_ready.recv().unwrap();
        Served { path, end: Some(end), thread: Some(thread) }
    }
}

/// A running controller; it ends, and its connections with it, when this is dropped.
pub(crate) struct Served {
    pub(crate) path: PathBuf,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some(end) = self.end.take() {
            let _ = end.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn stream<T: Send + 'static>(items: Vec<Result<T, Status>>) -> Answers<T> {
    Box::pin(tokio_stream::iter(items))
}

/// Tells `items`, and then ends as it is told to.
fn ending<T: Send + 'static>(items: Vec<T>, ending: Ending) -> Answers<T> {
    let told = tokio_stream::iter(items.into_iter().map(Ok));
    match ending {
        Ending::Over => Box::pin(told),
        Ending::Cut(code, message) => Box::pin(told.chain(tokio_stream::once(Err(Status::new(code, message))))),
        Ending::Open => Box::pin(told.chain(futures_util::stream::pending())),
    }
}

#[tonic::async_trait]
impl Fleet for Controller {
    type RebootNodeStream = Answers<CommandProgress>;
    type PowerOffNodeStream = Answers<CommandProgress>;

    async fn get_status(&self, request: Request<GetStatusRequest>) -> Result<Response<FleetStatus>, Status> {
        self.answer(&request, |script| script.status.clone())
    }

    async fn get_node(&self, request: Request<GetNodeRequest>) -> Result<Response<NodeDetail>, Status> {
        self.answer(&request, |script| script.detail.clone())
    }

    async fn get_history(&self, request: Request<GetHistoryRequest>) -> Result<Response<NodeHistory>, Status> {
        self.answer(&request, |script| script.history.clone())
    }

    async fn invite_node(&self, request: Request<InviteNodeRequest>) -> Result<Response<Invitation>, Status> {
        self.answer(&request, |script| script.invitation.clone())
    }

    async fn rejoin_node(&self, request: Request<RejoinNodeRequest>) -> Result<Response<Invitation>, Status> {
        self.answer(&request, |script| script.invitation.clone())
    }

    async fn remove_node(&self, request: Request<RemoveNodeRequest>) -> Result<Response<RemoveNodeResponse>, Status> {
        self.answer(&request, |_| RemoveNodeResponse { session_ended: true })
    }

    async fn label_node(&self, request: Request<LabelNodeRequest>) -> Result<Response<LabelNodeResponse>, Status> {
        let labels = BTreeMap::from([("role".to_owned(), "worker".to_owned()), ("stage".to_owned(), "2".to_owned())]);
        self.answer(&request, |_| LabelNodeResponse { labels })
    }

    async fn reboot_node(
        &self,
        request: Request<NodeCommandRequest>,
    ) -> Result<Response<Self::RebootNodeStream>, Status> {
        self.answer(&request, |script| stream(script.progress.iter().cloned().map(Ok).collect()))
    }

    async fn power_off_node(
        &self,
        request: Request<NodeCommandRequest>,
    ) -> Result<Response<Self::PowerOffNodeStream>, Status> {
        self.answer(&request, |script| stream(script.progress.iter().cloned().map(Ok).collect()))
    }
}

#[tonic::async_trait]
impl Events for Controller {
    type ListStream = Answers<StoredEvent>;

    async fn list(&self, request: Request<ListEventsRequest>) -> Result<Response<Self::ListStream>, Status> {
        self.answer(&request, |script| {
            let stretch = if script.events.is_empty() { Vec::new() } else { script.events.remove(0) };
            let mut answers: Vec<_> = stretch.into_iter().map(Ok).collect();
            let cut = script.cut.filter(|_| !script.events.is_empty());
            answers.extend(cut.map(|(code, message)| Err(Status::new(code, message))));
            stream(answers)
        })
    }
}

#[tonic::async_trait]
impl Access for Controller {
    type ListAuditStream = Answers<AuditRecord>;

    async fn who_am_i(&self, request: Request<WhoAmIRequest>) -> Result<Response<WhoAmIResponse>, Status> {
        self.answer(&request, |script| script.who.clone())
    }

    async fn invite_user(&self, request: Request<InviteUserRequest>) -> Result<Response<UserInvitation>, Status> {
        self.answer(&request, |script| UserInvitation {
            token: script.invitation.token.clone(),
            ends_unix_ms: script.invitation.ends_unix_ms,
            endpoints: script.invitation.endpoints.clone(),
        })
    }

    async fn list_users(&self, request: Request<ListUsersRequest>) -> Result<Response<ListUsersResponse>, Status> {
        self.answer(&request, |script| ListUsersResponse { users: script.users.clone() })
    }

    async fn revoke_user(&self, request: Request<RevokeUserRequest>) -> Result<Response<RevokeUserResponse>, Status> {
        self.answer(&request, |_| RevokeUserResponse {})
    }

    async fn list_audit(&self, request: Request<ListAuditRequest>) -> Result<Response<Self::ListAuditStream>, Status> {
        self.answer(&request, |script| stream(script.audit.iter().cloned().map(Ok).collect()))
    }
}

#[tonic::async_trait]
impl Enrolment for Controller {
    async fn enrol(&self, request: Request<EnrolRequest>) -> Result<Response<EnrolResponse>, Status> {
        let csr_der = request.get_ref().csr_der.clone();
        self.answer(&request, |script| script.enrolment.as_mut().unwrap()(&csr_der))?.into_inner().map(Response::new)
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<EnrolResponse>, Status> {
        let csr_der = request.get_ref().csr_der.clone();
        self.answer(&request, |script| script.enrolment.as_mut().unwrap()(&csr_der))?.into_inner().map(Response::new)
    }
}

#[tonic::async_trait]
impl Power for Controller {
    type WatchStream = Answers<PowerStatus>;
    type ShutdownStream = Answers<OutageEvent>;
    type DrillStream = Answers<OutageEvent>;

    async fn get_status(&self, request: Request<GetPowerStatusRequest>) -> Result<Response<PowerStatus>, Status> {
        self.answer(&request, |script| script.power.clone())
    }

    async fn watch(&self, request: Request<WatchPowerRequest>) -> Result<Response<Self::WatchStream>, Status> {
        self.answer(&request, |script| ending(script.changes.clone(), Ending::Open))
    }

    async fn get_plan(&self, request: Request<GetPowerPlanRequest>) -> Result<Response<PowerPlan>, Status> {
        self.answer(&request, |script| script.plan.clone())
    }

    async fn shutdown(&self, request: Request<PowerShutdownRequest>) -> Result<Response<Self::ShutdownStream>, Status> {
        self.answer(&request, |script| ending(script.timeline.clone(), script.ending))
    }

    async fn drill(&self, request: Request<DrillRequest>) -> Result<Response<Self::DrillStream>, Status> {
        self.answer(&request, |script| ending(script.timeline.clone(), script.ending))
    }

    async fn abort(&self, request: Request<AbortPowerRequest>) -> Result<Response<AbortPowerResponse>, Status> {
        self.answer(&request, |script| script.abort.clone())
    }

    async fn list_outages(
        &self,
        request: Request<ListOutagesRequest>,
    ) -> Result<Response<ListOutagesResponse>, Status> {
        let number = request.get_ref().number;
        self.answer(&request, |script| {
            let meant = |outage: &&Outage| number == 0 || outage.number == number;
            ListOutagesResponse { outages: script.outages.iter().filter(meant).cloned().collect() }
        })
    }
}

#[tonic::async_trait]
impl Backups for Controller {
    type WatchStream = Answers<BackupChange>;

    async fn list_jobs(
        &self,
        request: Request<ListBackupJobsRequest>,
    ) -> Result<Response<ListBackupJobsResponse>, Status> {
        self.answer(&request, |script| ListBackupJobsResponse { jobs: script.jobs.clone() })
    }

    async fn apply_jobs(
        &self,
        request: Request<ApplyBackupJobsRequest>,
    ) -> Result<Response<ApplyBackupJobsResponse>, Status> {
        self.answer(&request, |script| ApplyBackupJobsResponse { pending: script.pending.clone() })
    }

    async fn remove_jobs(
        &self,
        request: Request<RemoveBackupJobsRequest>,
    ) -> Result<Response<RemoveBackupJobsResponse>, Status> {
        self.answer(&request, |_| RemoveBackupJobsResponse {})
    }

    async fn start(&self, request: Request<StartBackupsRequest>) -> Result<Response<StartBackupsResponse>, Status> {
        self.answer(&request, |script| StartBackupsResponse { started: script.started.clone() })
    }

    async fn stop(&self, request: Request<StopBackupsRequest>) -> Result<Response<StopBackupsResponse>, Status> {
        self.answer(&request, |_| StopBackupsResponse {})
    }

    async fn watch(&self, request: Request<WatchBackupsRequest>) -> Result<Response<Self::WatchStream>, Status> {
        self.answer(&request, |script| ending(script.backups.clone(), script.ending))
    }

    async fn list_runs(
        &self,
        request: Request<ListBackupRunsRequest>,
    ) -> Result<Response<ListBackupRunsResponse>, Status> {
        let limit = request.get_ref().limit as usize;
        self.answer(&request, |script| ListBackupRunsResponse {
            runs: script.runs.iter().take(limit).cloned().collect(),
        })
    }

    async fn list_archives(
        &self,
        request: Request<ListBackupArchivesRequest>,
    ) -> Result<Response<ListBackupArchivesResponse>, Status> {
        self.answer(&request, |script| ListBackupArchivesResponse { archives: script.archives.clone() })
    }
}
