use std::net::SocketAddr;

use rackhaven_pki::{CertificateInfo, Subject};
use rackhaven_proto::Invalid;
use rackhaven_proto::model::ClusterId;

/// The other end of a connection, and what it has proved of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its address, for logs and audit.
    pub address: String,
    /// What the connection proves.
    pub proof: Proof,
}

/// What a connection proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// Nothing: no certificate was shown.
    Nothing,
    /// A certificate of our CA. Whether it counts (revoked, expired) is asked at each call.
    Certificate {
        /// Its serial number.
        serial: String,
        /// Whom it names.
        subject: Subject,
    },
    /// A process on this machine, by the kernel's word.
    Local {
        /// Its user.
        uid: u32,
    },
}

impl Peer {
    /// The peer of a TLS connection, from the leaf that it showed in the handshake.
    ///
    /// # Errors
    /// When the certificate names no identity of this cluster.
    pub fn from_tls(address: SocketAddr, leaf: Option<&[u8]>, cluster: &ClusterId) -> Result<Self, Invalid> {
        let proof = match leaf {
            None => Proof::Nothing,
            Some(der) => {
                let info = CertificateInfo::from_der(der)
                    .map_err(|error| Invalid::new("client certificate", error.to_string()))?;
                let identity = info.identity()?;
                if identity.cluster != *cluster {
                    return Err(Invalid::new("client certificate", format!("is for cluster {}", identity.cluster)));
                }
                Proof::Certificate { serial: info.serial, subject: identity.subject }
            }
        };
        let address = SocketAddr::new(address.ip().to_canonical(), address.port()).to_string();
        Ok(Self { address, proof })
    }

    /// The address without its port: by it, tries are counted.
    pub fn host(&self) -> &str {
        self.address.rsplit_once(':').map_or(self.address.as_str(), |(host, _)| host)
    }
}
