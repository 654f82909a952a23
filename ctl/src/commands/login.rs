//! `ctl login`.

use std::path::{Path, PathBuf};

use clap::Args;
use rackhaven_pki::{Credentials, PrivateKey, Token, durable, sha256};
use rackhaven_proto::model::{Endpoint, Role};
use rackhaven_proto::v1::{EnrolRequest, SubjectKind, WhoAmIRequest};
use serde::Serialize;

use crate::connection::Connection;
use crate::context::{ContextName, ContextStore, StoredContext, read_text};
use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;
use crate::output::{Page, Report};
use crate::target::Target;
use crate::text::Text;

/// Longest invitation that is read from standard input, bytes; they have some 110.
const TOKEN_LIMIT_BYTES: u64 = 1024;

/// Options of `ctl login`.
#[derive(Debug, Args)]
#[command(after_help = "\
The invitation is taken from --token, --token-file, the variable RACKHAVEN_TOKEN or standard input, the first that there \
is. One on the command line can be seen by other users of this machine while ctl runs: prefer the others.")]
pub(crate) struct LoginArgs {
    /// The controller's address; port 7443 unless given
    #[arg(value_name = "HOST[:PORT]")]
    endpoint: Endpoint,
    /// The invitation (rh1.…); other users of this machine can see it here
    #[arg(long, value_name = "TOKEN", conflicts_with = "token_file")]
    token: Option<String>,
    /// A file with the invitation; `-` is standard input
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Name of the context; the cluster's unless given
    #[arg(long, value_name = "CONTEXT")]
    name: Option<ContextName>,
}

/// What `ctl login` tells.
#[derive(Debug, Serialize)]
struct LoginReport {
    context: String,
    current: bool,
    user: String,
    role: Option<&'static str>,
    cluster: Text,
    cluster_id: String,
    file: PathBuf,
}

impl Report for LoginReport {
    fn render(&self, _page: &Page) -> String {
        let role = self.role.map(|role| format!(" ({role})")).unwrap_or_default();
        let current = match self.current {
            true => "it is the current one".to_owned(),
            false => format!("choose it with `ctl context use {}`", self.context),
        };
        format!("Logged in to {} as {}{role}. Context {}: {current}.\n", self.cluster, self.user, self.context)
    }
}

/// Trades an invitation for a certificate, and keeps it as a context.
pub(crate) async fn run(args: LoginArgs, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    let store = ContextStore::of(&invocation.environment)?;
    let token: Token = token_text(&args, invocation)?
        .parse()
        .map_err(|invalid| CtlError::usage(format!("this is not an invitation: {invalid}")))?;
    if let Some(name) = &args.name {
        refuse_foreign(&store, name, &token)?;
    }
    let pending = store.pending_key(token.id.as_str())?;
    let key = pending_key(&pending)?;

    let connection = Connection::open_to_enrol(&args.endpoint, &token, invocation.global.timeout).await?;
    let request = EnrolRequest {
        token_id: token.id.to_string(),
        token_secret: token.secret().to_owned(),
        csr_der: key.signing_request()?,
        kind: SubjectKind::User.into(),
        ..EnrolRequest::default()
    };
    let response =
        connection.answer(connection.enrolment().enrol(request)).await.map_err(|error| match error.status() {
            ExitStatus::NotAllowed => error.hint("ask an admin for a new invitation: ctl user invite NAME --role ROLE"),
            _ => error,
        })?;
    let credentials = Credentials::from_enrolment(&token, &key, &args.endpoint, response)
        .map_err(|invalid| CtlError::strange_answer(&invalid))?;

    let wanted = args.name.unwrap_or_else(|| ContextName::resembling(&credentials.cluster_name));
    let name = free_name(&store, &wanted, &credentials, invocation)?;
    store.save(&name, &credentials)?;
    let current = match store.current() {
        Ok(Some(current)) if store.has(&current) => current == name,
        _ => {
            store.set_current(&name)?;
            true
        }
    };
    durable::remove(&pending)?;

    let report = LoginReport {
        context: name.to_string(),
        current,
        user: credentials.identity.subject.name().to_owned(),
        role: role(&store, &name, invocation).await,
        cluster: Text::new(&credentials.cluster_name),
        cluster_id: credentials.cluster_id.to_string(),
        file: store.path(&name),
    };
    invocation.show(&report)?;
    Ok(ExitStatus::Fine)
}

/// The invitation, from the first source that there is.
fn token_text(args: &LoginArgs, invocation: &mut Invocation) -> Result<String, CtlError> {
    if let Some(token) = &args.token {
        return Ok(token.clone());
    }
    match args.token_file.as_deref() {
        Some(path) if path != Path::new("-") => {
            return read_text(path)?.ok_or_else(|| CtlError::usage(format!("{}: no such file", path.display())));
        }
        None if invocation.environment.token.is_some() => {
            return Ok(invocation.environment.token.clone().unwrap_or_default());
        }
        _ => {}
    }
    let question = if invocation.console.input_is_terminal { "Invitation (rh1.…): " } else { "" };
    invocation.console.ask(question, TOKEN_LIMIT_BYTES)?.filter(|line| !line.is_empty()).ok_or_else(|| {
        CtlError::usage("no invitation was given").hint(
            "give it by --token-file, RACKHAVEN_TOKEN or standard input; an admin makes one with `ctl user invite`",
        )
    })
}

/// A context of another cluster is not overwritten; this is found out before the invitation is spent.
fn refuse_foreign(store: &ContextStore, name: &ContextName, token: &Token) -> Result<(), CtlError> {
    if !store.has(name) {
        return Ok(());
    }
    let there_is = |what: &str| {
        CtlError::usage(format!("there is a context {name} already{what}"))
            .hint(format!("take another --name, or remove that one first: ctl context remove {name}"))
    };
    let context = store.load(name).map_err(|_| there_is(", and it cannot be read"))?;
    let same = ca_fingerprint(&context.credentials) == Some(token.ca_fingerprint);
    if same { Ok(()) } else { Err(there_is(&format!(" for another cluster, {}", context.credentials.cluster_name))) }
}

fn ca_fingerprint(credentials: &Credentials) -> Option<[u8; 32]> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    CertificateDer::from_pem_slice(credentials.ca_pem.as_bytes()).ok().map(|der| sha256(&der))
}

/// The key for this invitation: written before the invitation is spent, so that a lost answer can be asked for again.
/// The controller gives the same answer for the same key, and none for another.
fn pending_key(path: &Path) -> Result<PrivateKey, CtlError> {
    if let Some(pem) = read_text(path)? {
        match PrivateKey::from_pem(&pem) {
            Ok(key) => return Ok(key),
            Err(_) => _ = durable::set_aside(path)?,
        }
    }
    let key = PrivateKey::generate()?;
    durable::replace(path, key.to_pem().as_bytes(), 0o600)?;
    Ok(key)
}

/// The wanted name if it is free or this user's own in this cluster; else the same with the first free number.
fn free_name(
    store: &ContextStore,
    wanted: &ContextName,
    credentials: &Credentials,
    invocation: &mut Invocation,
) -> Result<ContextName, CtlError> {
    let own = |context: StoredContext| context.credentials.identity == credentials.identity;
    let fits = |name: &ContextName| !store.has(name) || store.load(name).is_ok_and(own);
    let numbered = (2..1000).map(|number| wanted.numbered(number));
    let name = std::iter::once(wanted.clone()).chain(numbered).find(fits).ok_or_else(|| {
        CtlError::failed(format!("the names {wanted} to {wanted}-999 are all taken"))
            .hint("name another one with --name")
    })?;
    if name != *wanted {
        invocation.console.note(&format!("Context {wanted} is somebody else's or unusable; this one is named {name}."));
    }
    Ok(name)
}

/// The user's role, which also shows that the new certificate works; that this fails is told, and no failure.
async fn role(store: &ContextStore, name: &ContextName, invocation: &mut Invocation) -> Option<&'static str> {
    let asked = async {
        let target = Target::Context(Box::new(store.load(name)?));
        let connection = Connection::open(&target, invocation.global.timeout).await?;
        connection.answer(connection.access().who_am_i(WhoAmIRequest {})).await
    };
    match asked.await {
        Ok(answer) => Role::try_from(answer.role()).ok().map(Role::as_str),
        Err(error) => {
            invocation.console.note(&format!("warning: the new certificate was not accepted yet: {error}"));
            None
        }
    }
}
