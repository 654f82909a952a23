//! `rackhaven-controller init`: a new cluster.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use nix::unistd::{Gid, Uid};
use rackhaven_pki::{
    Authority, CertificateInfo, Credentials, Identity, PrivateKey, Subject, Validity, durable, hex, random,
};
use rackhaven_proto::model::{ClusterId, Endpoint, UserName};

use crate::access::Caller;
use crate::core::Cluster;
use crate::store::{AuditEntry, Store};

/// The files of a controller's state.
#[derive(Debug, Clone)]
pub struct StateFiles {
    /// The folder.
    pub folder: PathBuf,
}

impl StateFiles {
    /// In `folder`.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// Id and name of the cluster.
    pub fn cluster(&self) -> PathBuf {
        self.folder.join("cluster")
    }

    /// The CA's certificate, PEM.
    pub fn ca_certificate(&self) -> PathBuf {
        self.folder.join("ca.crt")
    }

    /// The CA's private key, PEM.
    pub fn ca_key(&self) -> PathBuf {
        self.folder.join("ca.key")
    }

    /// The server's private key, then its certificate and the CA's, PEM.
    pub fn server(&self) -> PathBuf {
        self.folder.join("server.pem")
    }

    /// The first admin's context, as ctl takes it.
    pub fn admin_context(&self) -> PathBuf {
        self.folder.join("admin.context")
    }
}

/// Kind of the file that names the cluster.
const CLUSTER_KIND: &str = "cluster";

/// Makes a CA, the server's certificate, the store, and the first admin's context in an empty state folder.
///
/// # Errors
/// When the folder holds a cluster already, or cannot be written.
pub async fn init(
    folder: &Path,
    name: &str,
    endpoints: &Endpoints,
    lives: Lives,
    now_ms: i64,
) -> anyhow::Result<Cluster> {
    let files = StateFiles::new(folder);
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    restrict(folder)?;
    // Written last, so that a run that was cut short can be repeated.
    if files.cluster().exists() {
        bail!("{} holds a cluster already; nothing was changed", folder.display());
    }
    let id: ClusterId = format!("rh-{}", hex(&random::<6>()?)).parse()?;
    let now_s = now_ms / 1000;
    let (authority, ca_key) = Authority::generate(&id, now_s)?;
    durable::replace(&files.ca_key(), ca_key.to_pem().as_bytes(), 0o600)?;
    durable::replace(&files.ca_certificate(), authority.certificate_pem().as_bytes(), 0o644)?;
    issue_server(&files, &authority, Validity { now_unix_s: now_s, life_s: lives.server_s })?;
    let cluster = Cluster { id, name: name.to_owned(), endpoints: endpoints.told.clone() };
    write_admin(
        &files,
        &authority,
        &cluster,
        &endpoints.admins,
        Validity { now_unix_s: now_s, life_s: lives.user_s },
        now_ms,
    )
    .await?;
    let told = cluster.endpoints.iter().map(|endpoint| format!("{endpoint}\n"));
    let text = format!("{}\n{name}\n{}", cluster.id, told.collect::<String>());
    durable::replace_checked(&files.cluster(), CLUSTER_KIND, 1, text.as_bytes(), 0o644)?;
    Ok(cluster)
}

/// Where a new controller is reached.
#[derive(Debug, Clone)]
pub struct Endpoints {
    /// As somebody said when it was made, for all who join later.
    pub told: Vec<Endpoint>,
    /// By the first admin's context.
    pub admins: Vec<Endpoint>,
}

/// Lives of the first certificates, seconds.
#[derive(Debug, Clone, Copy)]
pub struct Lives {
    /// The server's.
    pub server_s: i64,
    /// The admin's.
    pub user_s: i64,
}

/// Reads which cluster the folder holds; none if it was never initialised.
///
/// # Errors
/// When the file cannot be read or is damaged.
pub fn read_cluster(files: &StateFiles) -> anyhow::Result<Option<Cluster>> {
    let Some(bytes) = durable::read_checked(&files.cluster(), CLUSTER_KIND, 1)? else { return Ok(None) };
    let text = String::from_utf8(bytes).with_context(|| format!("reading {}", files.cluster().display()))?;
    let mut lines = text.lines();
    let id = lines.next().unwrap_or_default().parse()?;
    let name = lines.next().unwrap_or_default().to_owned();
    let endpoints = lines.map(str::parse).collect::<Result<_, _>>()?;
    Ok(Some(Cluster { id, name, endpoints }))
}

/// Reads the CA.
///
/// # Errors
/// When one of its files is missing or damaged.
pub fn read_authority(files: &StateFiles, cluster: &Cluster) -> anyhow::Result<Authority> {
    let read = |path: PathBuf| fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()));
    let key =
        PrivateKey::from_pem(&read(files.ca_key())?).with_context(|| format!("in {}", files.ca_key().display()))?;
    Authority::load(cluster.id.clone(), &read(files.ca_certificate())?, &key)
        .with_context(|| format!("in {}", files.ca_certificate().display()))
}

/// Issues the server a new key and certificate.
///
/// # Errors
/// When it cannot be signed or written.
pub fn issue_server(files: &StateFiles, authority: &Authority, validity: Validity) -> anyhow::Result<()> {
    let key = PrivateKey::generate()?;
    let chain = authority.issue_server(&key, validity)?;
    // One file, so that key and certificate always fit.
    durable::replace(&files.server(), format!("{}{chain}", key.to_pem()).as_bytes(), 0o600)?;
    Ok(())
}

async fn write_admin(
    files: &StateFiles,
    authority: &Authority,
    cluster: &Cluster,
    endpoints: &[Endpoint],
    validity: Validity,
    now_ms: i64,
) -> anyhow::Result<()> {
    let admin: UserName = "admin".parse()?;
    let identity = Identity { cluster: cluster.id.clone(), subject: Subject::User(admin.clone()) };
    let key = PrivateKey::generate()?;
    let certificate_pem = authority.issue_client(&identity, &key.signing_request()?, validity)?;
    let info = CertificateInfo::from_pem(&certificate_pem)?;
    let store = Store::open(&files.folder)?;
    let audit = AuditEntry {
        wall_ms: now_ms,
        who: Caller::Local(Uid::effective().as_raw()).to_string(),
        origin: "local".to_owned(),
        action: "init".to_owned(),
        target: cluster.id.to_string(),
        outcome: "ok".to_owned(),
    };
    store.create_admin(admin, info, certificate_pem.clone(), now_ms, audit).await?;
    store.copy().await?;
    let credentials = Credentials {
        cluster_id: cluster.id.clone(),
        cluster_name: cluster.name.clone(),
        identity,
        endpoints: endpoints.to_vec(),
        key,
        certificate_pem,
        ca_pem: authority.certificate_pem().to_owned(),
    };
    durable::replace(&files.admin_context(), credentials.to_toml().as_bytes(), 0o600)?;
    Ok(())
}

/// Becomes the user to whom the state folder belongs, if this is root and the folder somebody else's: the service must be
/// able to read what is made. To be called before any thread is started.
///
/// # Errors
/// When the folder cannot be looked at, or the system refuses.
pub fn become_owner(folder: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::MetadataExt;
    let owner = match fs::metadata(folder) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| format!("reading {}", folder.display())),
    };
    if !nix::unistd::geteuid().is_root() || owner.uid() == 0 {
        return Ok(());
    }
    let (uid, gid) = (Uid::from_raw(owner.uid()), Gid::from_raw(owner.gid()));
    nix::unistd::setgroups(&[gid])
        .and_then(|()| nix::unistd::setgid(gid))
        .and_then(|()| nix::unistd::setuid(uid))
        .with_context(|| format!("becoming the owner of {}, user {uid}", folder.display()))
}

fn restrict(folder: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
        .with_context(|| format!("closing {} to others", folder.display()))
}
