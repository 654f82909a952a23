//! A double of the Kubernetes API as a K3s server serves it: HTTPS with an authority of its own, bearer tokens, RBAC,
//! Kubernetes' own paths, Status objects and codes; behind it a cluster that does what its controllers would do.
//!
//! What it holds is decided in [`World`], which knows neither clock nor network. `tests/it/k3s_api.rs` asks the same of
//! it as of a real API server.

mod access;
mod admission;
mod controllers;
mod discovery;
mod faults;
mod fields;
mod fill;
mod identity;
mod kinds;
mod lists;
mod logs;
mod object;
mod patch;
mod reads;
mod removal;
mod request;
mod select;
mod serve;
mod status;
mod store;
mod world;
mod writes;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

pub use access::ADMIN_TOKEN;
pub use controllers::{READINESS, TERMINATION};
pub use faults::{Fault, FaultRule};
pub use request::Request;
pub use world::{VERSION, World};

use crate::address;
use identity::Identity;

/// How often time passes in the cluster.
const PACE: Duration = Duration::from_millis(20);
/// So many requests are remembered.
const MOST_REQUESTS: usize = 50_000;

/// What a server answers on paths of its own (`/ping`, `/cacerts`, `/v1-k3s/…`): by method, path, headers and body, with
/// a status and a text.
pub struct Aside(pub Box<AsideAnswer>);

/// See [`Aside`].
pub type AsideAnswer = dyn Fn(&mut World, &hyper::http::request::Parts, &[u8]) -> (u16, String) + Send + Sync;

impl std::fmt::Debug for Aside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Aside")
    }
}

/// What a cluster's doors share.
#[derive(Debug)]
pub(crate) struct Shared {
    world: Mutex<World>,
    faults: Mutex<Vec<FaultRule>>,
    requests: Mutex<Vec<Request>>,
    /// What is answered beside the API.
    aside: Option<Aside>,
    /// How far the cluster's clock is ahead of this machine's, milliseconds; none while it stands still.
    ahead_ms: Mutex<Option<i64>>,
}

impl Shared {
    fn with<T>(&self, look: impl FnOnce(&mut World) -> T) -> T {
        look(&mut self.world.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Remembers a request, and says what is to go wrong with it.
    fn note(&self, request: &Request) -> Option<Fault> {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        if requests.len() < MOST_REQUESTS {
            requests.push(request.clone());
        }
        let mut rules = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        let rule = rules.iter_mut().find(|rule| rule.meets(request))?;
        rule.times = rule.times.saturating_sub(1);
        Some(rule.fault)
    }

    /// Time passes, unless it stands still.
    fn pass(&self) {
        let ahead = *self.ahead_ms.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ahead) = ahead {
            let now_ms = wall_ms() + ahead;
            self.with(|world| world.tick(now_ms));
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the double's clock")]
fn wall_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A server of the API.
#[derive(Debug)]
struct Door {
    address: SocketAddr,
    task: Option<JoinHandle<()>>,
}

/// The double. Ends on drop.
#[derive(Debug)]
pub struct Kube {
    shared: Arc<Shared>,
    identity: Identity,
    doors: Vec<Door>,
    ticking: JoinHandle<()>,
}

impl Kube {
    /// An empty cluster with one server.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_at(&[SocketAddr::new(address::fresh().ip(), 6443)]).await
    }

    /// An empty cluster with servers at these addresses.
    ///
    /// # Errors
    /// When it cannot listen there.
    pub async fn start_at(addresses: &[SocketAddr]) -> anyhow::Result<Self> {
        let ips: Vec<_> = addresses.iter().map(SocketAddr::ip).collect();
        Self::start_of(addresses, World::new(wall_ms()), Identity::new(&ips)?, None).await
    }

    /// A cluster with what was kept of it, whose authority is kept in `folder`, and which has other paths, too.
    ///
    /// # Errors
    /// When it cannot listen there, or what was kept cannot be read.
    pub async fn start_kept(
        address: SocketAddr,
        names: &[std::net::IpAddr],
        folder: &std::path::Path,
        saved: Option<&serde_json::Value>,
        aside: Aside,
    ) -> anyhow::Result<Self> {
        let world = saved.map_or_else(|| World::new(wall_ms()), |saved| World::restored(saved, wall_ms()));
        Self::start_of(&[address], world, Identity::kept(folder, names)?, Some(aside)).await
    }

    async fn start_of(
        addresses: &[SocketAddr],
        world: World,
        identity: Identity,
        aside: Option<Aside>,
    ) -> anyhow::Result<Self> {
        let shared = Arc::new(Shared {
            world: Mutex::new(world),
            aside,
            faults: Mutex::default(),
            requests: Mutex::default(),
            ahead_ms: Mutex::new(Some(0)),
        });
        let of_task = Arc::clone(&shared);
        let ticking = tokio::spawn(async move {
            loop {
                #[expect(clippy::disallowed_methods, reason = "a large cluster's rounds must leave room for requests")]
                let began = std::time::Instant::now();
                of_task.pass();
                tokio::time::sleep(PACE.max(began.elapsed() * 4)).await;
            }
        });
        let doors = addresses.iter().map(|address| Door { address: *address, task: None }).collect();
        let mut kube = Self { shared, identity, doors, ticking };
        for number in 0..addresses.len() {
            kube.open(number).await?;
        }
        Ok(kube)
    }

    /// Lets the server of that number listen again.
    ///
    /// # Errors
    /// When it cannot.
    pub async fn open(&mut self, number: usize) -> anyhow::Result<()> {
        let door = self.doors.get_mut(number).context("there is no such server")?;
        let listener = TcpListener::bind(door.address).await.context("listening as the Kubernetes API")?;
        let acceptor = TlsAcceptor::from(Arc::clone(&self.identity.server));
        door.task = Some(tokio::spawn(serve::serve(listener, acceptor, Arc::clone(&self.shared))));
        Ok(())
    }

    /// The server of that number is dead: its connections end, and it takes no new ones.
    pub async fn close(&mut self, number: usize) {
        if let Some(task) = self.doors.get_mut(number).and_then(|door| door.task.take()) {
            task.abort();
            // It ends by being told to.
            let _ = task.await;
        }
    }

    /// The addresses of the servers: `https://HOST:PORT`.
    pub fn urls(&self) -> Vec<String> {
        self.doors.iter().map(|door| format!("https://{}", door.address)).collect()
    }

    /// The certificate of the cluster's authority.
    pub fn authority_pem(&self) -> &str {
        &self.identity.authority_pem
    }

    /// A kubeconfig for the holder of a token: a context for each server, the first one current.
    pub fn kubeconfig(&self, token: &str) -> String {
        let authority = data_encoding::BASE64.encode(self.authority_pem().as_bytes());
        let (mut clusters, mut contexts) = (String::new(), String::new());
        for (number, url) in self.urls().iter().enumerate() {
            clusters += &format!(
                "- name: server-{number}\n  cluster:\n    server: {url}\n    certificate-authority-data: {authority}\n"
            );
            contexts +=
                &format!("- name: server-{number}\n  context:\n    cluster: server-{number}\n    user: rackhaven\n");
        }
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: server-0\nclusters:\n{clusters}contexts:\n{contexts}users:\n\
             - name: rackhaven\n  user:\n    token: {token}\n"
        )
    }

    /// A kubeconfig for whoever may do all.
    pub fn admin_kubeconfig(&self) -> String {
        self.kubeconfig(ADMIN_TOKEN)
    }

    /// Takes in Rackhaven's own manifest, as K3s does with what it is shipped with, and gives the kubeconfig of its
    /// service account.
    ///
    /// # Errors
    /// When the manifest cannot be read, or has no token for the account.
    pub fn controller_kubeconfig(&self) -> anyhow::Result<String> {
        let objects = access_manifest()?;
        let token = self.with(|world| {
            world.put_all(&objects);
            world.service_token("kube-system", "rackhaven-controller")
        });
        Ok(self.kubeconfig(&token.context("the manifest has no token for the service account")?))
    }

    /// Looks at the cluster, or changes it.
    pub fn with<T>(&self, look: impl FnOnce(&mut World) -> T) -> T {
        self.shared.with(look)
    }

    /// Lets something go wrong from now on; the first rule that meets a request counts.
    pub fn fail(&self, rule: FaultRule) {
        self.shared.faults.lock().unwrap_or_else(PoisonError::into_inner).push(rule);
    }

    /// Lets all go well again; what hangs, hangs on.
    pub fn heal(&self) {
        self.shared.faults.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The cluster's clock stands still from now on; only [`Self::advance`] moves it.
    pub fn hold_clock(&self) {
        *self.shared.ahead_ms.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Lets so much time pass at once in the cluster.
    pub fn advance(&self, by: Duration) {
        let by_ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        if let Some(ahead) = self.shared.ahead_ms.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            *ahead += by_ms;
        }
        self.with(|world| world.tick(world.now_ms().saturating_add(by_ms)));
    }
}

impl Drop for Kube {
    fn drop(&mut self) {
        self.ticking.abort();
        for task in self.doors.iter_mut().filter_map(|door| door.task.take()) {
            task.abort();
        }
    }
}

/// The objects that give the controller its rights in a cluster.
///
/// # Errors
/// When they cannot be read.
pub fn access_manifest() -> anyhow::Result<Vec<serde_json::Value>> {
    access_objects(include_str!("../../../k3s/src/access.yaml")).context("reading k3s/src/access.yaml")
}

/// The objects of a manifest.
///
/// # Errors
/// When it cannot be read.
pub fn access_objects(text: &str) -> anyhow::Result<Vec<serde_json::Value>> {
    serde_saphyr::from_multiple(text).context("reading a manifest")
}

/// What a server shows by the authority in a folder (see [`Kube::start_kept`]), for these addresses.
///
/// # Errors
/// When the authority cannot be read.
pub fn server_tls(folder: &std::path::Path, names: &[std::net::IpAddr]) -> anyhow::Result<Arc<rustls::ServerConfig>> {
    Ok(Identity::kept(folder, names)?.server)
}
