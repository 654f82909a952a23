//! Reads the head of a member, as [`super::pax`] writes it.

use std::io::{self, Read};

use super::attributes::{Attributes, is_attribute};
use super::{BLOCK_BYTES, padding};

/// The longest records of one member that are read, bytes.
const MAX_RECORDS_BYTES: u64 = 64 * 1024 * 1024;

/// What a tar stream says of one member.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Member {
    /// As [`super::pax::member_name`] makes it.
    pub(super) name: Vec<u8>,
    /// How long its data is, bytes.
    pub(super) data_bytes: u64,
    pub(super) attributes: Attributes,
    /// How long the file is whose data begins with a map; none for a file without holes.
    pub(super) sparse_bytes: Option<u64>,
}

/// Reads up to where a member's data begins.
///
/// # Errors
/// When it cannot be read, or is no member.
pub(super) fn read_member(input: &mut impl Read) -> io::Result<Member> {
    let mut header = read_header(input)?;
    let mut member = Member::default();
    let mut size = None;
    if header.kind == b'x' {
        if header.size > MAX_RECORDS_BYTES {
            return Err(damaged("the records of a member are too long"));
        }
        let mut records = Vec::new();
        input.take(header.size).read_to_end(&mut records)?;
        input.read_exact(padding_room(&mut [0; BLOCK_BYTES], header.size))?;
        size = take_records(&records, &mut member)?;
        header = read_header(input)?;
    }
    if member.name.is_empty() {
        member.name = header.name;
    }
    member.data_bytes = size.unwrap_or(header.size);
    Ok(member)
}

/// Room for what fills a member's data up to a whole block.
pub(super) fn padding_room(block: &mut [u8; BLOCK_BYTES], len: u64) -> &mut [u8] {
    block.get_mut(..padding(len)).unwrap_or_default()
}

fn take_records(mut records: &[u8], member: &mut Member) -> io::Result<Option<u64>> {
    let wrong = || damaged("a record of a member is malformed");
    let number = |value: &[u8]| std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()).ok_or_else(wrong);
    let mut size = None;
    while !records.is_empty() {
        let blank = records.iter().position(|byte| *byte == b' ').ok_or_else(wrong)?;
        let len: usize = std::str::from_utf8(records.get(..blank).unwrap_or_default())
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or_else(wrong)?;
        let (record, rest) = records.split_at_checked(len).ok_or_else(wrong)?;
        records = rest;
        let body = record.get(blank + 1..).and_then(|body| body.strip_suffix(b"\n")).ok_or_else(wrong)?;
        let equals = body.iter().position(|byte| *byte == b'=').ok_or_else(wrong)?;
        let (key, value) = (body.get(..equals).unwrap_or_default(), body.get(equals + 1..).unwrap_or_default());
        match key {
            b"GNU.sparse.name" => member.name = value.to_vec(),
            b"path" if member.sparse_bytes.is_none() => member.name = value.to_vec(),
            b"GNU.sparse.realsize" => member.sparse_bytes = Some(number(value)?),
            b"size" => size = Some(number(value)?),
            key if is_attribute(key) => member.attributes.0.push((key.to_vec(), value.to_vec())),
            // What else a head says stands in the manifest too.
            _ => {}
        }
    }
    Ok(size)
}

struct Header {
    name: Vec<u8>,
    size: u64,
    kind: u8,
}

fn read_header(input: &mut impl Read) -> io::Result<Header> {
    let mut block = [0; BLOCK_BYTES];
    input.read_exact(&mut block)?;
    let sum_at = 148..156;
    let sum: u64 = block
        .iter()
        .enumerate()
        .map(|(at, byte)| if sum_at.contains(&at) { u64::from(b' ') } else { u64::from(*byte) })
        .sum();
    let field = |range: std::ops::Range<usize>| block.get(range).unwrap_or_default();
    let said = octal(field(sum_at));
    if said != Some(sum) || field(257..262) != b"ustar" {
        return Err(damaged("there is no member where one should be"));
    }
    let name = field(0..100);
    let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
    let size = octal(field(124..136)).ok_or_else(|| damaged("a member has no size"))?;
    Ok(Header { name: name.get(..end).unwrap_or_default().to_vec(), size, kind: block[156] })
}

fn octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(field).ok()?.trim_matches(['\0', ' ']);
    u64::from_str_radix(text, 8).ok()
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::{padding_room, read_member};
    use crate::entry::{Entry, FileTime, Kind};
    use crate::tar::attributes::Attributes;
    use crate::tar::pax::{member_name, put_head};

    #[test]
    fn what_is_written_is_read() {
        let attributes = Attributes(vec![
            (b"SCHILY.acl.access".to_vec(), b"user::rwx".to_vec()),
            (b"SCHILY.xattr.user.x".to_vec(), b"1\n=\0\xff".to_vec()),
        ]);
        for (path, sparse, size) in [
            (b"/a".to_vec(), false, 5),
            ([b"/".to_vec(), vec![b'n'; 300], b"\xff\n".to_vec()].concat(), false, 0),
            (b"/holes/in it".to_vec(), true, 1 << 40),
            (b"/".to_vec(), false, 9 << 33),
        ] {
            let entry = Entry {
                path,
                kind: Kind::File,
                mode: 0o4755,
                uid: u32::MAX,
                gid: 3,
                size,
                mtime: FileTime { seconds: -5, nanoseconds: 1 },
                ctime: FileTime::default(),
                ino: 0,
                dev: 0,
                rdev: (0, 0),
                links: 1,
                target: None,
                hard_link: None,
            };
            let mut out = Vec::new();
            put_head(&mut out, &entry, &attributes, size, sparse);
            out.extend_from_slice(b"data");
            let mut input = out.as_slice();
            let member = read_member(&mut input).unwrap();
            assert_eq!(member.name, member_name(&entry.path, Kind::File));
            assert_eq!((member.data_bytes, member.sparse_bytes), (size, sparse.then_some(size)));
            assert_eq!(member.attributes, attributes);
            let mut rest = Vec::new();
            input.read_to_end(&mut rest).unwrap();
            assert_eq!(rest, b"data");
            for at in (0..out.len() - 4).step_by(3) {
                let _ = read_member(&mut &out[..at]).unwrap_err();
            }
        }
        assert_eq!(padding_room(&mut [0; 512], 513).len(), 511);
    }
}
