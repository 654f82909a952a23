use std::fs;
use std::os::unix::fs::PermissionsExt;

use rackhaven_pki::{Authority, Credentials, Identity, PrivateKey, Subject, Validity};

use super::{ContextName, ContextStore, StoredContext};
use crate::environment::Environment;
use crate::error::CtlError;
use crate::exit::ExitStatus;

const NOW_UNIX_S: i64 = 1_795_000_000;

fn credentials() -> Credentials {
    let cluster = "rack1".parse().unwrap();
    let (authority, _) = Authority::generate(&cluster, NOW_UNIX_S).unwrap();
    let identity = Identity { cluster: cluster.clone(), subject: Subject::User("ann".parse().unwrap()) };
    let key = PrivateKey::generate().unwrap();
    let validity = Validity { now_unix_s: NOW_UNIX_S, life_s: 1000 };
    Credentials {
        cluster_id: cluster,
        cluster_name: "Rack \"one\"\u{1b}[2J".to_owned(),
        certificate_pem: authority.issue_client(&identity, &key.signing_request().unwrap(), validity).unwrap(),
        identity,
        endpoints: vec!["10.0.0.5".parse().unwrap(), "[fd00::5]:99".parse().unwrap()],
        ca_pem: authority.certificate_pem().to_owned(),
        key,
    }
}

fn store(folder: &tempfile::TempDir) -> ContextStore {
    let folder = Some(folder.path().join("rackhaven"));
    ContextStore::of(&Environment { folder, ..Environment::default() }).unwrap()
}

fn name(text: &str) -> ContextName {
    text.parse().unwrap()
}

#[test]
fn what_is_saved_is_read_back_and_the_owners_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    assert!(store.names().unwrap().is_empty());
    assert_eq!(store.current().unwrap(), None);
    let saved = credentials();
    store.save(&name("home"), &saved).unwrap();
    store.save(&name("work.2"), &saved).unwrap();
    store.set_current(&name("home")).unwrap();

    let context = store.load(&name("home")).unwrap();
    assert_eq!(context.name, "home");
    assert_eq!(context.credentials.to_toml(), saved.to_toml());
    assert_eq!(store.names().unwrap(), [name("home"), name("work.2")]);
    assert_eq!(store.current().unwrap(), Some(name("home")));
    assert_eq!(fs::metadata(&context.path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(context.path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
    assert!(!context.is_exposed() && context.is_writable());
    fs::set_permissions(&context.path, fs::Permissions::from_mode(0o444)).unwrap();
    assert!(context.is_exposed() && !context.is_writable());

    store.remove(&name("home")).unwrap();
    assert_eq!(store.current().unwrap(), None);
    assert_eq!(store.names().unwrap(), [name("work.2")]);
}

#[test]
fn damaged_files_are_refused_with_a_next_step() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    store.save(&name("home"), &credentials()).unwrap();
    let path = store.path(&name("home"));
    let whole = fs::read(&path).unwrap();
    let key_line = String::from_utf8_lossy(&whole).lines().rev().nth(2).unwrap().to_owned();
    let refused = |content: &[u8]| -> CtlError {
        fs::write(&path, content).unwrap();
        let error = store.load(&name("home")).unwrap_err();
        assert_eq!(error.status(), ExitStatus::Failed);
        assert!(!error.to_string().contains(&key_line), "the key stands in: {error}");
        error
    };
    for end in (0..whole.len() - 1).step_by(7) {
        assert!(refused(&whole[..end]).to_string().contains("log in again"), "at {end}");
    }
    refused(b"\0\0\0\0");
    refused(b"garbage = [");
    refused(&[0xff, 0xfe, 0x80]);
    assert!(refused(&vec![b'#'; 300 * 1024]).to_string().contains("longer than"));
    let unknown = [&whole[..], b"\nextra = 1\n"].concat();
    assert!(refused(&unknown).to_string().contains("extra"));

    fs::write(path.parent().unwrap().parent().unwrap().join("current"), "../../etc/passwd\n").unwrap();
    assert!(store.current().unwrap_err().to_string().contains("ctl context use"));
    store.remove(&name("home")).unwrap();
}

#[test]
fn a_missing_context_is_told_with_those_that_there_are() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let error = store.load(&name("nosuch")).unwrap_err();
    assert_eq!((error.status(), error.message()), (ExitStatus::Usage, "there is no context nosuch"));
    store.save(&name("home"), &credentials()).unwrap();
    assert!(store.load(&name("nosuch")).unwrap_err().to_string().contains("there are: home"));
    assert_eq!(StoredContext::read(&folder.path().join("x")).unwrap_err().status(), ExitStatus::Usage);
}

#[test]
fn names_stay_in_their_folder() {
    for bad in ["", ".", "..", ".hidden", "a/b", "../a", "a b", "-a", "ä", &"x".repeat(65)] {
        assert!(bad.parse::<ContextName>().is_err(), "{bad:?} was taken");
    }
    for (cluster, context) in [("My Rack", "my-rack"), ("../..", "controller"), ("", "controller"), ("ä1", "1")] {
        let name = ContextName::resembling(cluster).to_string();
        assert_eq!(name, context);
        assert!(name.parse::<ContextName>().is_ok());
    }
}
