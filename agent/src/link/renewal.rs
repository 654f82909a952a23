use rackhaven_pki::PrivateKey;
use rackhaven_proto::v1::RenewRequest;
use rackhaven_proto::v1::enrolment_client::EnrolmentClient;
use tonic::Status;
use tonic::transport::Channel;

use super::{Link, renew_unix_s};
use crate::state::save_identity;

impl Link {
    /// Gets a certificate for a new key, and keeps both in place of the old ones once they are on the disk.
    pub(super) async fn renew(&mut self, channel: &Channel) -> Result<(), Status> {
        let own = |error: &dyn std::error::Error| Status::internal(error.to_string());
        let key = PrivateKey::generate().map_err(|error| own(&error))?;
        let csr_der = key.signing_request().map_err(|error| own(&error))?;
        let answer = EnrolmentClient::new(channel.clone()).renew(RenewRequest { csr_der }).await?.into_inner();
        let renewed = self.credentials.renewed(&key, answer.certificate_pem).map_err(|error| own(&error))?;
        save_identity(&self.folder, &renewed).map_err(|error| own(&error))?;
        self.renew_unix_s = renew_unix_s(&renewed);
        self.credentials = renewed;
        tracing::info!("certificate renewed");
        Ok(())
    }
}
