use super::{ArchiveId, HEAD_BYTES, ManifestError, magic};

/// How long a footer is, with its frame's head.
pub const FOOTER_BYTES: usize = 1024;

const WORD: &[u8; 16] = b"rackhaven-backup";
const VERSION: u32 = 1;
/// Where the hash of what stands before it is.
const HASH_AT: usize = HEAD_BYTES + WORD.len() + 4 + 16 + 6 * 8 + 2 * 32;
const TEXT_AT: usize = HASH_AT + 32;

/// The last bytes of an archive, from which everything else is found and checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footer {
    /// The archive's id.
    pub id: ArchiveId,
    /// Where the manifest begins, which is where the data ends.
    pub manifest_offset: u64,
    /// How long the manifest is, without this footer.
    pub manifest_bytes: u64,
    /// How much of that, at its end, is the table.
    pub table_bytes: u64,
    /// How many frames of data there are.
    pub frames: u64,
    /// How many entries the manifest lists.
    pub entries: u64,
    /// How long the content of all files is, bytes.
    pub content_bytes: u64,
    /// BLAKE3 over the frames' hashes.
    pub frames_hash: [u8; 32],
    /// BLAKE3 of the manifest.
    pub manifest_hash: [u8; 32],
}

impl Footer {
    /// As it is stored. `help` says how to restore without this program, and is cut where it does not fit.
    pub fn to_bytes(&self, help: &str) -> [u8; FOOTER_BYTES] {
        let mut out = Vec::with_capacity(FOOTER_BYTES);
        out.extend_from_slice(&magic::FOOTER.to_le_bytes());
        out.extend_from_slice(&u32::to_le_bytes((FOOTER_BYTES - HEAD_BYTES) as u32));
        out.extend_from_slice(WORD);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&self.id.0);
        for number in
            [self.manifest_offset, self.manifest_bytes, self.table_bytes, self.frames, self.entries, self.content_bytes]
        {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.frames_hash);
        out.extend_from_slice(&self.manifest_hash);
        let mut bytes = [b'\n'; FOOTER_BYTES];
        for (to, from) in bytes.iter_mut().zip(&out) {
            *to = *from;
        }
        for (to, from) in bytes.iter_mut().skip(TEXT_AT).zip(help.bytes()) {
            *to = from;
        }
        let hash = hash(&bytes);
        for (to, from) in bytes.iter_mut().skip(HASH_AT).zip(hash) {
            *to = from;
        }
        bytes
    }

    /// From an archive's last bytes.
    ///
    /// # Errors
    /// When they are no footer, or a damaged one.
    pub fn from_bytes(bytes: &[u8; FOOTER_BYTES]) -> Result<Self, ManifestError> {
        let foreign = |what: &str| ManifestError::Foreign(what.to_owned());
        let mut rest = super::bytes::Bytes(bytes);
        let head = (u32::from_le_bytes(rest.array()?), u32::from_le_bytes(rest.array()?) as usize);
        if head != (magic::FOOTER, FOOTER_BYTES - HEAD_BYTES) || rest.array()? != *WORD {
            return Err(foreign("its footer is not there"));
        }
        let version = u32::from_le_bytes(rest.array()?);
        let id = ArchiveId(rest.array()?);
        let mut number = || rest.array().map(u64::from_le_bytes);
        let (manifest_offset, manifest_bytes, table_bytes) = (number()?, number()?, number()?);
        let (frames, entries, content_bytes) = (number()?, number()?, number()?);
        let (frames_hash, manifest_hash) = (rest.array()?, rest.array()?);
        if rest.array()? != hash(bytes) {
            return Err(ManifestError::damaged("its footer does not fit its own hash"));
        }
        if version != VERSION {
            return Err(foreign(&format!("its version is {version}, and only {VERSION} is known")));
        }
        Ok(Self {
            id,
            manifest_offset,
            manifest_bytes,
            table_bytes,
            frames,
            entries,
            content_bytes,
            frames_hash,
            manifest_hash,
        })
    }
}

/// Of all but the place of the hash itself.
fn hash(bytes: &[u8; FOOTER_BYTES]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(bytes.get(..HASH_AT).unwrap_or_default());
    hasher.update(bytes.get(TEXT_AT..).unwrap_or_default());
    *hasher.finalize().as_bytes()
}
