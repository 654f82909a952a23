use crate::model::Invalid;
use crate::model::k3s::{Artifact, Digest};
use crate::v1;

impl TryFrom<v1::Artifact> for Artifact {
    type Error = Invalid;

    fn try_from(wire: v1::Artifact) -> Result<Self, Invalid> {
        let digest: [u8; 32] = wire
            .sha256
            .as_slice()
            .try_into()
            .map_err(|_| Invalid::new("sha256", format!("{} bytes, not 32", wire.sha256.len())))?;
        let source = (!wire.source.is_empty()).then(|| wire.source.parse()).transpose()?;
        let least = u64::from(source.is_none());
        if !(least..=Self::MOST_BYTES).contains(&wire.bytes) {
            return Err(Invalid::new(
                "bytes",
                format!("{} is not between {least} and {}", wire.bytes, Self::MOST_BYTES),
            ));
        }
        Ok(Self {
            version: wire.version.parse()?,
            arch: wire.arch.parse()?,
            kind: wire.kind.parse()?,
            bytes: wire.bytes,
            sha256: Digest(digest),
            added_unix_ms: wire.added_unix_ms,
            source,
        })
    }
}

impl From<Artifact> for v1::Artifact {
    fn from(artifact: Artifact) -> Self {
        Self {
            version: artifact.version.to_string(),
            arch: artifact.arch.to_string(),
            kind: artifact.kind.to_string(),
            bytes: artifact.bytes,
            sha256: artifact.sha256.0.to_vec(),
            added_unix_ms: artifact.added_unix_ms,
            source: artifact.source.map_or_else(String::new, |source| source.as_str().to_owned()),
        }
    }
}
