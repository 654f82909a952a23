use std::fmt;
use std::str::FromStr;

use super::Source;
use crate::model::Invalid;

/// The name of a release, such as `v1.31.4+k3s1` or `v1.32.0-rc2+k3s1`. Ordered as releases are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct K3sVersion {
    text: Box<str>,
    /// Major, minor, patch of Kubernetes; the candidate's number, or the highest for a release; K3s's own number.
    parts: [u32; 5],
}

impl K3sVersion {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Major and minor version of Kubernetes.
    pub fn minor(&self) -> (u32, u32) {
        let [major, minor, ..] = self.parts;
        (major, minor)
    }
}

impl FromStr for K3sVersion {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let refuse = || Invalid::new("version", format!("{text:?} is not a release of K3s, such as v1.31.4+k3s1"));
        // A number has one form only, so that equal versions have equal names.
        let number = |part: &str| {
            let number: u32 = part.parse().ok().filter(|number: &u32| number.to_string() == part)?;
            Some(number)
        };
        let read = || {
            let (kubernetes, own) = text.strip_prefix('v')?.split_once("+k3s")?;
            let (numbers, candidate) = match kubernetes.split_once("-rc") {
                Some((numbers, candidate)) => (numbers, number(candidate)?),
                None => (kubernetes, u32::MAX),
            };
            let mut numbers = numbers.split('.').map(number);
            let [major, minor, patch] = [numbers.next()??, numbers.next()??, numbers.next()??];
            numbers.next().is_none().then_some([major, minor, patch, candidate, number(own)?])
        };
        Ok(Self { parts: read().ok_or_else(refuse)?, text: text.into() })
    }
}

impl fmt::Display for K3sVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl Ord for K3sVersion {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.parts.cmp(&other.parts)
    }
}

impl PartialOrd for K3sVersion {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// For which processors a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Arch {
    /// 64-bit x86.
    Amd64,
    /// 64-bit ARM.
    Arm64,
    /// 32-bit ARM with hardware floating point.
    Armhf,
}

impl Arch {
    /// As Debian calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
            Self::Armhf => "armhf",
        }
    }

    /// Of a program for Linux, by its first bytes (ELF-64 object file format, `e_ident` and `e_machine`); none if it is
    /// something else.
    pub fn of_program(first: &[u8]) -> Option<Self> {
        if !first.starts_with(b"\x7fELF") {
            return None;
        }
        let machine: [u8; 2] = first.get(18..20)?.try_into().ok()?;
        match u16::from_le_bytes(machine) {
            0x3e => Some(Self::Amd64),
            0xb7 => Some(Self::Arm64),
            0x28 => Some(Self::Armhf),
            _ => None,
        }
    }
}

impl FromStr for Arch {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let known = [Self::Amd64, Self::Arm64, Self::Armhf].into_iter().find(|arch| arch.as_str() == text);
        known.ok_or_else(|| Invalid::new("arch", format!("{text:?} is none of amd64, arm64, armhf")))
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ArtifactKind {
    /// The program.
    Program,
    /// The images of its own pods, for nodes without internet; compressed with Zstandard,
    ImagesZst,
    /// with gzip,
    ImagesGz,
    /// or not at all.
    ImagesTar,
}

impl ArtifactKind {
    const ALL: [Self; 4] = [Self::Program, Self::ImagesZst, Self::ImagesGz, Self::ImagesTar];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Program => "k3s",
            Self::ImagesZst => "images.tar.zst",
            Self::ImagesGz => "images.tar.gz",
            Self::ImagesTar => "images.tar",
        }
    }

    /// By a file's first bytes, 512 of them if it has so many; none if it is nothing of all this.
    pub fn of_bytes(first: &[u8]) -> Option<Self> {
        match first {
            [0x7f, b'E', b'L', b'F', ..] => Some(Self::Program),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Self::ImagesZst),
            [0x1f, 0x8b, ..] => Some(Self::ImagesGz),
            _ if first.get(257..262) == Some(b"ustar") => Some(Self::ImagesTar),
            _ => None,
        }
    }

    /// Whether one takes the other's place: images are kept once, however they are compressed.
    pub fn replaces(self, other: Self) -> bool {
        (self == Self::Program) == (other == Self::Program)
    }
}

impl FromStr for ArtifactKind {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let known = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        known.ok_or_else(|| {
            Invalid::new("kind", format!("{text:?} is none of k3s, images.tar.zst, images.tar.gz, images.tar"))
        })
    }
}

impl fmt::Display for ArtifactKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A SHA-256 (FIPS 180-4).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl FromStr for Digest {
    type Err = Invalid;

    /// From 64 hexadecimal digits.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let refuse = || Invalid::new("sha256", format!("{text:?} is not 64 hexadecimal digits"));
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(refuse());
        }
        let mut digest = [0; 32];
        for (byte, pair) in digest.iter_mut().zip(text.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| refuse())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| refuse())?;
        }
        Ok(Self(digest))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// A file of a release that nodes can have: from the controller, or from elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// Of which release.
    pub version: K3sVersion,
    /// For which processors.
    pub arch: Arch,
    /// What it is.
    pub kind: ArtifactKind,
    /// How long it is; 0 where that is not known, which may be so with a source only.
    pub bytes: u64,
    /// What it must have.
    pub sha256: Digest,
    /// When it was taken up, milliseconds since 1970-01-01 UTC; 0 before.
    pub added_unix_ms: i64,
    /// Where nodes fetch it from; none if the controller keeps it.
    pub source: Option<Source>,
}

impl Artifact {
    /// The longest file that is taken, bytes: images of all architectures together have some 700 MB.
    pub const MOST_BYTES: u64 = 4 << 30;
}

impl fmt::Display for Artifact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.version, self.arch, self.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::{Arch, ArtifactKind, Digest, K3sVersion};

    #[test]
    fn versions_golden() {
        let sorted =
            ["v1.9.10+k3s1", "v1.31.4-rc2+k3s1", "v1.31.4-rc10+k3s1", "v1.31.4+k3s1", "v1.31.4+k3s2", "v1.32.0+k3s1"];
        let versions: Vec<K3sVersion> = sorted.iter().map(|text| text.parse().unwrap()).collect();
        assert!(versions.is_sorted());
        assert_eq!(versions.iter().map(ToString::to_string).collect::<Vec<_>>(), sorted);
        assert_eq!(versions[3].minor(), (1, 31));
        for text in [
            "",
            "1.31.4+k3s1",
            "v1.31+k3s1",
            "v1.31.4",
            "v1.31.4.5+k3s1",
            "v1.31.4+k3s",
            "v1.031.4+k3s1",
            "v1.31.4+k3s1/..",
            "v1.-1.4+k3s1",
        ] {
            assert!(text.parse::<K3sVersion>().is_err(), "{text}");
        }
    }

    #[test]
    fn files_are_told_by_their_bytes() {
        let elf = |machine: u8| [b"\x7fELF\x02\x01\x01".as_slice(), &[0; 11], &[machine, 0]].concat();
        let tar = [[0; 257].as_slice(), b"ustar\x0000"].concat();
        for (first, kind, arch) in [
            (elf(0x3e), Some(ArtifactKind::Program), Some(Arch::Amd64)),
            (elf(0xb7), Some(ArtifactKind::Program), Some(Arch::Arm64)),
            (elf(0x28), Some(ArtifactKind::Program), Some(Arch::Armhf)),
            (elf(0xf3), Some(ArtifactKind::Program), None),
            (b"\x7fELF".to_vec(), Some(ArtifactKind::Program), None),
            (vec![0x28, 0xb5, 0x2f, 0xfd, 0], Some(ArtifactKind::ImagesZst), None),
            (vec![0x1f, 0x8b, 8], Some(ArtifactKind::ImagesGz), None),
            (tar, Some(ArtifactKind::ImagesTar), None),
            (b"#!/bin/sh".to_vec(), None, None),
            (Vec::new(), None, None),
        ] {
            assert_eq!((ArtifactKind::of_bytes(&first), Arch::of_program(&first)), (kind, arch), "{first:?}");
        }
        let hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(hex.parse::<Digest>().unwrap().to_string(), hex);
        assert!(hex[1..].parse::<Digest>().is_err() && "é".repeat(32).parse::<Digest>().is_err());
    }
}
