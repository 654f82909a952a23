//! New certificates before the old ones end.

use std::time::Duration;

use rackhaven_pki::PrivateKey;
use rackhaven_pki::clock::SystemClock;
use rackhaven_proto::v1::RenewRequest;

use crate::connection::Connection;
use crate::context::StoredContext;
use crate::error::CtlError;
use crate::exit::ExitStatus;

/// Renews the context's certificate if two thirds of its life are over. That this fails is a warning, and no failure as
/// long as the old one is good.
pub(crate) async fn renew_if_due(context: &mut StoredContext, timeout: Duration) -> Result<Option<String>, CtlError> {
    let certificate = context.credentials.certificate()?;
    let now_unix_s = SystemClock::unix_ms().div_euclid(1000);
    if now_unix_s < certificate.renew_unix_s() {
        return Ok(None);
    }
    let expired = now_unix_s > certificate.not_after_unix_s;
    let failed = match context.is_writable() {
        true => match renew(context, timeout).await {
            Ok(()) => return Ok(None),
            // The command itself would fail in the same way: say it once.
            Err(error) if error.status() == ExitStatus::Unreachable => return Err(error),
            Err(error) => error.message().to_owned(),
        },
        false if !expired => return Ok(None),
        false => format!("{} is read-only", context.path.display()),
    };
    if expired {
        let message =
            format!("the certificate of context {} has expired, and cannot be renewed: {failed}", context.name);
        return Err(CtlError::not_allowed(message).hint("log in again with a new invitation: ctl login HOST:7443"));
    }
    Ok(Some(format!("warning: the certificate of context {} could not be renewed: {failed}", context.name)))
}

/// A new key and its certificate take the old ones' place in one step.
async fn renew(context: &mut StoredContext, timeout: Duration) -> Result<(), CtlError> {
    let connection = Connection::open_as(&context.credentials, timeout).await?;
    let key = PrivateKey::generate()?;
    let request = RenewRequest { csr_der: key.signing_request()? };
    let response = connection.answer(connection.enrolment().renew(request)).await?;
    let renewed = context
        .credentials
        .renewed(&key, response.certificate_pem)
        .map_err(|invalid| CtlError::strange_answer(&invalid))?;
    context.replace(renewed)
}
