use rackhaven_proto::model::ClusterId;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};
use rustls_pki_types::CertificateSigningRequestDer;
use time::OffsetDateTime;

use crate::{Identity, PkiError, PrivateKey, hex, random, sha256};

/// How far in the past every certificate begins, seconds: a client's clock may be that far behind.
pub(crate) const BACKDATE_S: i64 = 24 * 3600;
/// Life of the authority's own certificate, seconds: 20 years.
const AUTHORITY_LIFE_S: i64 = 20 * 365 * 24 * 3600;

/// From when to when a certificate is good.
#[derive(Debug, Clone, Copy)]
pub struct Validity {
    /// Now, seconds since 1970-01-01 UTC.
    pub now_unix_s: i64,
    /// How long from now, seconds.
    pub life_s: i64,
}

/// The cluster's certificate authority: ECDSA P-256, it signs leaves only.
pub struct Authority {
    cluster: ClusterId,
    issuer: Issuer<'static, KeyPair>,
    certificate_pem: String,
    certificate_der: Vec<u8>,
}

impl Authority {
    /// Makes a new authority for `cluster`, good for 20 years.
    ///
    /// # Errors
    /// When there is no randomness, or signing fails.
    pub fn generate(cluster: &ClusterId, now_unix_s: i64) -> Result<(Self, PrivateKey), PkiError> {
        let key = PrivateKey::generate()?;
        let mut params = params_for(&format!("Rackhaven CA {cluster}"))?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        set_validity(&mut params, Validity { now_unix_s, life_s: AUTHORITY_LIFE_S })?;
        let certificate =
            params.self_signed(&key.0).map_err(|source| PkiError::Signing { what: "CA certificate", source })?;
        let authority = Self::load(cluster.clone(), &certificate.pem(), &key)?;
        Ok((authority, key))
    }

    /// Takes up an authority from its certificate and key.
    ///
    /// # Errors
    /// When either cannot be read, or they do not belong together.
    pub fn load(cluster: ClusterId, certificate_pem: &str, key: &PrivateKey) -> Result<Self, PkiError> {
        let pair = PrivateKey::from_pem(&key.to_pem())?.0;
        let info = crate::CertificateInfo::from_pem(certificate_pem)?;
        if info.key_hash != sha256(&rcgen::PublicKeyData::subject_public_key_info(&pair)) {
            return Err(PkiError::malformed("CA", "the private key does not belong to the certificate"));
        }
        let issuer = Issuer::from_ca_cert_pem(certificate_pem, pair)
            .map_err(|source| PkiError::malformed("CA certificate", source))?;
        let certificate_der = crate::verify::certificates(certificate_pem, "CA certificate")?
            .into_iter()
            .next()
            .map(|der| der.to_vec())
            .unwrap_or_default();
        Ok(Self { cluster, issuer, certificate_pem: certificate_pem.to_owned(), certificate_der })
    }

    /// The authority's certificate.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// SHA-256 of the certificate's DER, as `openssl x509 -fingerprint -sha256` shows it: what an invitation pins.
    pub fn fingerprint(&self) -> [u8; 32] {
        sha256(&self.certificate_der)
    }

    /// Issues the controller's certificate for the cluster's one fixed server name; PEM, the authority's appended so
    /// that a joining machine can compare its fingerprint.
    ///
    /// # Errors
    /// When signing fails.
    pub fn issue_server(&self, key: &PrivateKey, validity: Validity) -> Result<String, PkiError> {
        let mut params = params_for("Rackhaven controller")?;
        let name = self
            .cluster
            .server_name()
            .try_into()
            .map_err(|source| PkiError::Signing { what: "server name", source })?;
        params.subject_alt_names = vec![SanType::DnsName(name)];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        set_validity(&mut params, validity)?;
        let certificate = params
            .signed_by(&key.0, &self.issuer)
            .map_err(|source| PkiError::Signing { what: "server certificate", source })?;
        Ok(format!("{}{}", certificate.pem(), self.certificate_pem))
    }

    /// Issues a client's certificate for the public key of a signing request. Nothing else of the request is used.
    ///
    /// # Errors
    /// When the request cannot be read or its own signature is wrong.
    pub fn issue_client(
        &self,
        identity: &Identity,
        request_der: &[u8],
        validity: Validity,
    ) -> Result<String, PkiError> {
        let request = parse_request(request_der)?;
        let mut params = params_for(&identity.subject.to_string())?;
        let uri = identity
            .to_string()
            .try_into()
            .map_err(|source| PkiError::Signing { what: "certificate identity", source })?;
        params.subject_alt_names = vec![SanType::URI(uri)];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        set_validity(&mut params, validity)?;
        params
            .signed_by(&request.public_key, &self.issuer)
            .map(|certificate| certificate.pem())
            .map_err(|source| PkiError::Signing { what: "client certificate", source })
    }

    /// SHA-256 of the public key in a signing request: by it a repeated enrolment is known.
    ///
    /// # Errors
    /// When the request cannot be read or its own signature is wrong.
    pub fn request_key_hash(request_der: &[u8]) -> Result<[u8; 32], PkiError> {
        let request = parse_request(request_der)?;
        Ok(sha256(&rcgen::PublicKeyData::subject_public_key_info(&request.public_key)))
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Authority({}, {})", self.cluster, hex(&self.fingerprint()))
    }
}

fn parse_request(der: &[u8]) -> Result<CertificateSigningRequestParams, PkiError> {
    // A P-256 request is some 300 bytes; rcgen checks its signature, which proves that the key is held.
    if der.len() > 4096 {
        return Err(PkiError::malformed("certificate signing request", "longer than 4096 bytes"));
    }
    CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(der))
        .map_err(|error| PkiError::malformed("certificate signing request", error))
}

fn params_for(common_name: &str) -> Result<CertificateParams, PkiError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    // RFC 5280, 4.1.2.2: positive and at most 20 octets.
    let mut serial = random::<16>()?;
    serial[0] = serial[0] & 0x7f | 0x40;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    Ok(params)
}

fn set_validity(params: &mut CertificateParams, validity: Validity) -> Result<(), PkiError> {
    let moment = |unix_s: i64| {
        OffsetDateTime::from_unix_timestamp(unix_s)
            .map_err(|error| PkiError::malformed("certificate's time of validity", error))
    };
    params.not_before = moment(validity.now_unix_s.saturating_sub(BACKDATE_S))?;
    params.not_after = moment(validity.now_unix_s.saturating_add(validity.life_s))?;
    Ok(())
}
