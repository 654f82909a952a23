use rackhaven_proto::Invalid;
use rackhaven_proto::model::{ClusterId, Endpoint};
use rackhaven_proto::v1::EnrolResponse;
use serde::{Deserialize, Serialize};

use crate::verify::certificates;
use crate::{CertificateInfo, Identity, PrivateKey, Token, sha256};

/// All that a node or a user needs to reach its controller: kept as one file, so that it is replaced as one.
#[derive(Debug)]
pub struct Credentials {
    /// The cluster's id.
    pub cluster_id: ClusterId,
    /// The cluster's name, for people.
    pub cluster_name: String,
    /// Who the holder is.
    pub identity: Identity,
    /// Where the controller can be reached, in order of preference; at least one.
    pub endpoints: Vec<Endpoint>,
    /// The holder's private key.
    pub key: PrivateKey,
    /// The holder's certificate.
    pub certificate_pem: String,
    /// The cluster's CA.
    pub ca_pem: String,
}

/// The file's form.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    cluster_id: String,
    cluster_name: String,
    endpoints: Vec<String>,
    ca: String,
    certificate: String,
    key: String,
}

impl Credentials {
    /// Takes up what the controller answered to an enrolment, and checks that it fits the invitation and the key.
    ///
    /// # Errors
    /// When CA, certificate or identity are not what was asked for.
    pub fn from_enrolment(
        token: &Token,
        key: &PrivateKey,
        dialled: &Endpoint,
        response: EnrolResponse,
    ) -> Result<Self, Invalid> {
        let ca = certificates(&response.ca_pem, "CA certificate")
            .map_err(|error| Invalid::new("ca_pem", error.to_string()))?;
        if ca.first().is_none_or(|der| sha256(der) != token.ca_fingerprint) {
            return Err(Invalid::new("ca_pem", "is not the CA of the invitation"));
        }
        let mut credentials = Self::assemble(File {
            cluster_id: response.cluster_id,
            cluster_name: response.cluster_name,
            endpoints: response.endpoints,
            ca: response.ca_pem,
            certificate: response.certificate_pem,
            key: key.to_pem(),
        })?;
        // The address that just worked comes first: it is known to be right from here.
        credentials.endpoints.retain(|endpoint| endpoint != dialled);
        credentials.endpoints.insert(0, dialled.clone());
        Ok(credentials)
    }

    /// The same with a renewed certificate.
    ///
    /// # Errors
    /// When the certificate is for another key or identity.
    pub fn renewed(&self, key: &PrivateKey, certificate_pem: String) -> Result<Self, Invalid> {
        let renewed = Self::assemble(File {
            cluster_id: self.cluster_id.to_string(),
            cluster_name: self.cluster_name.clone(),
            endpoints: self.endpoints.iter().map(ToString::to_string).collect(),
            ca: self.ca_pem.clone(),
            certificate: certificate_pem,
            key: key.to_pem(),
        })?;
        if renewed.identity != self.identity {
            return Err(Invalid::new("certificate_pem", format!("is for {}, not {}", renewed.identity, self.identity)));
        }
        Ok(renewed)
    }

    /// Reads the file's form (TOML).
    ///
    /// # Errors
    /// When a key is missing, unknown, or does not fit the others. Errors never repeat the private key.
    pub fn from_toml(text: &str) -> Result<Self, Invalid> {
        let file: File = toml::from_str(text).map_err(|error| Invalid::new("credentials", error.message()))?;
        let credentials = Self::assemble(file)?;
        if credentials.endpoints.is_empty() {
            return Err(Invalid::new("endpoints", "is empty"));
        }
        Ok(credentials)
    }

    /// The file's form (TOML). It holds the private key: mode 0600.
    pub fn to_toml(&self) -> String {
        let file = File {
            cluster_id: self.cluster_id.to_string(),
            cluster_name: self.cluster_name.clone(),
            endpoints: self.endpoints.iter().map(ToString::to_string).collect(),
            ca: self.ca_pem.clone(),
            certificate: self.certificate_pem.clone(),
            key: self.key.to_pem(),
        };
        toml::to_string(&file).unwrap_or_default()
    }

    /// What the certificate says.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn certificate(&self) -> Result<CertificateInfo, crate::PkiError> {
        CertificateInfo::from_pem(&self.certificate_pem)
    }

    fn assemble(file: File) -> Result<Self, Invalid> {
        let cluster_id: ClusterId = file.cluster_id.parse()?;
        let key = PrivateKey::from_pem(&file.key).map_err(|error| Invalid::new("key", error.to_string()))?;
        let info = CertificateInfo::from_pem(&file.certificate)
            .map_err(|error| Invalid::new("certificate", error.to_string()))?;
        if info.key_hash != sha256(&rcgen::PublicKeyData::subject_public_key_info(&key.0)) {
            return Err(Invalid::new("certificate", "does not belong to the private key"));
        }
        let identity = info.identity()?;
        if identity.cluster != cluster_id {
            return Err(Invalid::new("certificate", format!("is for cluster {}, not {cluster_id}", identity.cluster)));
        }
        certificates(&file.ca, "CA certificate").map_err(|error| Invalid::new("ca", error.to_string()))?;
        let endpoints = file.endpoints.iter().map(|text| text.parse()).collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            cluster_id,
            cluster_name: file.cluster_name,
            identity,
            endpoints,
            key,
            certificate_pem: file.certificate,
            ca_pem: file.ca,
        })
    }
}
