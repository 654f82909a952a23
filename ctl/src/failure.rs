//! What goes wrong between here and the controller, as sentences with a next step.

use std::error::Error;
use std::io;
use std::path::Path;
use std::time::Duration;

use rackhaven_pki::client::DialError;
use rackhaven_proto::model::Endpoint;
use rustls::AlertDescription;
use tonic::{Code, Status};

use crate::error::CtlError;
use crate::text::Text;

/// No endpoint answered: why, of those that did not keep silent, and after how long the others were given up.
pub(crate) fn of_dialling(
    endpoints: &[Endpoint],
    failures: &[DialError],
    given_up_after: Option<Duration>,
) -> CtlError {
    let told = |endpoint: &Endpoint| {
        failures.iter().find_map(|failure| match failure {
            DialError::Unreachable { endpoint: dialled, source } if dialled == endpoint => {
                Some((plain(source), hint(source)))
            }
            DialError::Untrusted { endpoint: dialled, reason } if dialled == endpoint => {
                Some((format!("not trusted: {reason}"), None))
            }
            _ => None,
        })
    };
    let silent = || match given_up_after {
        Some(time) => (format!("no answer within {}", spoken(time)), Some(NO_ANSWER)),
        None => ("not tried".to_owned(), None),
    };
    let mut outcomes = endpoints.iter().map(|endpoint| (endpoint, told(endpoint).unwrap_or_else(silent)));
    let Some((first, (reason, next))) = outcomes.next() else {
        return CtlError::unreachable("the context names no endpoint").hint("log in again: ctl login HOST:7443");
    };
    let mut error = CtlError::unreachable(format!("cannot reach {first}: {reason}"));
    let others: Vec<_> = outcomes.map(|(endpoint, (reason, _))| format!("{endpoint} ({reason})")).collect();
    let mut hints: Vec<String> = next.into_iter().map(str::to_owned).collect();
    if !others.is_empty() {
        hints.push(format!("other endpoints tried: {}", others.join(", ")));
    }
    if !hints.is_empty() {
        error = error.hint(hints.join("\n  "));
    }
    error
}

const NO_ANSWER: &str = "is its machine on, and the network or VPN up from here?";

/// The next step after a failed connection.
fn hint(error: &io::Error) -> Option<&'static str> {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            Some("is the controller running there? (systemctl status rackhaven-controller)")
        }
        io::ErrorKind::TimedOut | io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Some(NO_ANSWER),
        _ => None,
    }
}

/// A system error without its number.
fn plain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => "it was cut".to_owned(),
        io::ErrorKind::UnexpectedEof => "it hung up".to_owned(),
        io::ErrorKind::HostUnreachable => "no route to the host".to_owned(),
        io::ErrorKind::NetworkUnreachable => "no route to its network".to_owned(),
        _ => {
            let text = error.to_string();
            let text = text.strip_prefix("failed to lookup address information: ").unwrap_or(&text);
            text.split(" (os error").next().unwrap_or_default().to_owned()
        }
    }
}

/// The controller's Unix socket cannot be used.
pub(crate) fn socket(path: &Path, error: &io::Error) -> CtlError {
    let path = path.display();
    match error.kind() {
        io::ErrorKind::PermissionDenied => CtlError::not_allowed(format!("{path} is root's alone"))
            .hint("use sudo, or log in as a user: ctl login HOST:7443"),
        io::ErrorKind::NotFound => CtlError::unreachable(format!("cannot reach {path}: there is no such socket"))
            .hint("is the controller running on this machine? (systemctl status rackhaven-controller)"),
        _ => CtlError::unreachable(format!("cannot reach {path}: {}", plain(error)))
            .hint("is the controller running on this machine? (systemctl status rackhaven-controller)"),
    }
}

/// Connected, and then nothing came.
pub(crate) fn silent(address: &str, timeout: Duration) -> CtlError {
    CtlError::unreachable(format!("the controller at {address} did not answer within {}", spoken(timeout)))
        .hint("is its machine overloaded? --timeout waits longer")
}

/// A time limit in words.
fn spoken(limit: Duration) -> String {
    match limit.subsec_millis() {
        0 => format!("{} s", limit.as_secs()),
        _ => format!("{} ms", limit.as_millis()),
    }
}

/// Connected, and then HTTP/2 could not be set up.
pub(crate) fn set_up(address: &str, error: &tonic::transport::Error) -> CtlError {
    lost(address, error)
}

/// A call that came back with a status.
pub(crate) fn of_call(address: &str, status: &Status) -> CtlError {
    if let Some(source) = status.source() {
        return lost(address, source);
    }
    let said = match status.message() {
        "" => format!("the controller answered {:?} without a word", status.code()),
        message => Text::new(message).to_string(),
    };
    match status.code() {
        Code::PermissionDenied => CtlError::not_allowed(said)
            .hint("`ctl whoami` shows your role; an admin can give you another by a new invitation"),
        Code::Unauthenticated => {
            CtlError::not_allowed(said).hint("log in again with a new invitation: ctl login HOST:7443")
        }
        Code::Unimplemented => CtlError::failed("this controller does not know that command")
            .hint("it is older than this ctl: upgrade rackhaven-controller"),
        Code::Unavailable => CtlError::unreachable(said).hint("try again; it may be starting or stopping"),
        Code::DeadlineExceeded => CtlError::unreachable(said).hint("--timeout waits longer"),
        Code::ResourceExhausted => CtlError::failed(said).hint("try again in a moment"),
        Code::DataLoss => {
            CtlError::failed(said).hint("the record was damaged or changed; keep a copy and look into it")
        }
        _ => CtlError::failed(said),
    }
}

/// The connection ended under a call.
fn lost(address: &str, error: &(dyn Error + 'static)) -> CtlError {
    let causes: Vec<_> = std::iter::successors(Some(error), |error| cause(*error)).collect();
    if let Some(alert) = causes.iter().find_map(|error| tls_alert(*error)) {
        return refused_certificate(address, alert);
    }
    // The system's word for it, where there is one, is shorter than what is built upon it.
    let system = causes.iter().filter_map(|error| error.downcast_ref::<io::Error>());
    let reason = system
        .filter(|error| error.kind() != io::ErrorKind::Other)
        .map(plain)
        .next()
        .or_else(|| causes.last().map(ToString::to_string));
    let reason = Text::new(&reason.unwrap_or_default());
    CtlError::unreachable(format!("lost the connection to the controller at {address}: {reason}"))
        .hint("try again; it may be restarting")
}

/// The next error below; an [`io::Error`] hides the one inside it from `source`.
fn cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}

fn tls_alert(error: &(dyn Error + 'static)) -> Option<AlertDescription> {
    match error.downcast_ref::<rustls::Error>()? {
        rustls::Error::AlertReceived(alert) => Some(*alert),
        _ => None,
    }
}

/// In TLS 1.3 a server refuses a client's certificate after the client's side of the handshake is over.
fn refused_certificate(address: &str, alert: AlertDescription) -> CtlError {
    let why = match alert {
        AlertDescription::CertificateRevoked => "it was revoked".to_owned(),
        AlertDescription::CertificateExpired => "it has expired".to_owned(),
        AlertDescription::UnknownCA => "it is from another cluster".to_owned(),
        other => format!("TLS alert {other:?}"),
    };
    CtlError::not_allowed(format!("the controller at {address} refuses this context's certificate: {why}"))
        .hint("log in again with a new invitation: ctl login HOST:7443")
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::time::Duration;

    use rackhaven_pki::client::DialError;
    use rackhaven_proto::model::Endpoint;
    use tonic::{Code, Status};

    use super::{of_call, of_dialling, socket};
    use crate::exit::ExitStatus;

    #[test]
    fn each_endpoint_is_told_of() {
        let endpoints: Vec<Endpoint> = ["10.0.0.5", "rack.vpn", "10.9.0.1"].map(|text| text.parse().unwrap()).into();
        let failures = [
            DialError::Unreachable {
                endpoint: endpoints[0].clone(),
                source: io::Error::from(io::ErrorKind::ConnectionRefused),
            },
            DialError::Untrusted { endpoint: endpoints[1].clone(), reason: "it does not speak TLS".to_owned() },
        ];
        let error = of_dialling(&endpoints, &failures, Some(Duration::from_secs(10)));
        assert_eq!(error.status(), ExitStatus::Unreachable);
        assert_eq!(
            error.to_string(),
            "cannot reach 10.0.0.5:7443: connection refused\n  \
             is the controller running there? (systemctl status rackhaven-controller)\n  \
             other endpoints tried: rack.vpn:7443 (not trusted: it does not speak TLS), \
             10.9.0.1:7443 (no answer within 10 s)"
        );
    }

    #[test]
    fn each_code_has_its_exit_status() {
        for (code, status) in [
            (Code::PermissionDenied, ExitStatus::NotAllowed),
            (Code::Unauthenticated, ExitStatus::NotAllowed),
            (Code::Unavailable, ExitStatus::Unreachable),
            (Code::DeadlineExceeded, ExitStatus::Unreachable),
            (Code::NotFound, ExitStatus::Failed),
            (Code::InvalidArgument, ExitStatus::Failed),
            (Code::FailedPrecondition, ExitStatus::Failed),
            (Code::Unimplemented, ExitStatus::Failed),
            (Code::DataLoss, ExitStatus::Failed),
            (Code::Internal, ExitStatus::Failed),
        ] {
            let error = of_call("rack:7443", &Status::new(code, "no \u{1b}[31mway"));
            assert_eq!(error.status(), status, "{code:?}");
            assert!(!error.to_string().contains('\u{1b}'), "{code:?}");
            assert!(!error.to_string().contains("status:"), "{code:?}");
        }
        assert_eq!(of_call("a", &Status::not_found("there is no node pi-9")).to_string(), "there is no node pi-9");
    }

    #[test]
    fn a_broken_connection_is_unreachable_and_a_refused_certificate_is_not_allowed() {
        let broken = Status::from_error(Box::new(io::Error::from(io::ErrorKind::ConnectionReset)));
        assert_eq!(of_call("rack:7443", &broken).status(), ExitStatus::Unreachable);
        let eof = io::Error::new(io::ErrorKind::UnexpectedEof, "peer closed connection, see https://example.org/");
        let cut = of_call("rack:7443", &Status::from_error(Box::new(io::Error::other(eof))));
        assert_eq!(cut.message(), "lost the connection to the controller at rack:7443: it hung up");
        let alert = rustls::Error::AlertReceived(rustls::AlertDescription::CertificateRevoked);
        let refused = of_call("rack:7443", &Status::from_error(Box::new(io::Error::other(alert))));
        assert_eq!(refused.status(), ExitStatus::NotAllowed);
        assert!(refused.to_string().contains("it was revoked"), "{refused}");
    }

    #[test]
    fn a_socket_of_roots_is_not_allowed() {
        let path = std::path::Path::new("/run/rackhaven/controller.sock");
        let error = |kind| socket(path, &io::Error::from(kind)).status();
        assert_eq!(error(io::ErrorKind::PermissionDenied), ExitStatus::NotAllowed);
        assert_eq!(error(io::ErrorKind::NotFound), ExitStatus::Unreachable);
        assert_eq!(error(io::ErrorKind::ConnectionRefused), ExitStatus::Unreachable);
    }
}
