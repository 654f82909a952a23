//! Whether what should be mounted is mounted.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// What the system says of its mounts.
#[derive(Debug, Clone)]
pub struct MountTables {
    /// What is mounted now, as in `/proc/self/mountinfo`.
    pub mounted: PathBuf,
    /// What should be, as in `/etc/fstab`.
    pub wanted: PathBuf,
}

impl Default for MountTables {
    fn default() -> Self {
        Self { mounted: "/proc/self/mountinfo".into(), wanted: "/etc/fstab".into() }
    }
}

impl MountTables {
    /// Why nothing may be written to `folder`: it lies below a mount point, by the job's word or by the system's table,
    /// and nothing is mounted there. Looks at nothing but the tables.
    ///
    /// # Errors
    /// When it is not known what is mounted.
    pub fn refusal(&self, folder: &Path, required: Option<&Path>) -> std::io::Result<Option<String>> {
        let mounted = mounted(&std::fs::read(&self.mounted)?);
        // Without a table nothing is wanted.
        let wanted = wanted(&std::fs::read(&self.wanted).unwrap_or_default());
        Ok(decide(folder, required, &mounted, &wanted))
    }

    /// The type of the file system that holds `folder`, such as `nfs4`.
    pub fn file_system(&self, folder: &Path) -> Option<String> {
        let mounted = mounted(&std::fs::read(&self.mounted).ok()?);
        let holding = mounted.iter().enumerate().filter(|(_, (point, _))| folder.starts_with(point));
        holding
            .max_by_key(|(index, (point, _))| (point.components().count(), *index))
            .map(|(_, (_, kind))| kind.clone())
    }
}

fn decide(folder: &Path, required: Option<&Path>, mounted: &[(PathBuf, String)], wanted: &[PathBuf]) -> Option<String> {
    let by_table = wanted.iter().filter(|point| folder.starts_with(point) && point.as_path() != Path::new("/"));
    for point in required.into_iter().chain(by_table.map(PathBuf::as_path)) {
        // What was mounted last covers what was there before.
        let on_top = mounted.iter().rev().find(|(at, _)| at == point);
        match on_top {
            None => return Some(format!("nothing is mounted at {}", point.display())),
            Some((_, kind)) if kind == "autofs" => {
                return Some(format!("{} was not mounted when it was asked for", point.display()));
            }
            Some(_) => {}
        }
    }
    None
}

fn mounted(table: &[u8]) -> Vec<(PathBuf, String)> {
    let line = |line: &[u8]| {
        let mut fields = line.split(|byte| *byte == b' ');
        let point = unescaped(fields.nth(4)?);
        let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
        Some((point, String::from_utf8_lossy(kind).into_owned()))
    };
    table.split(|byte| *byte == b'\n').filter_map(line).collect()
}

fn wanted(table: &[u8]) -> Vec<PathBuf> {
    let line = |line: &[u8]| {
        let mut fields = line.split(|byte| matches!(byte, b' ' | b'\t')).filter(|field| !field.is_empty());
        let device = fields.next()?;
        let point = unescaped(fields.next()?);
        (!device.starts_with(b"#") && point.is_absolute()).then_some(point)
    };
    table.split(|byte| *byte == b'\n').filter_map(line).collect()
}

/// Both tables write blanks as three octal digits after a backslash.
fn unescaped(field: &[u8]) -> PathBuf {
    let mut path = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, others)) = rest.split_first() {
        let octal = others.get(..3).filter(|_| *first == b'\\').and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                path.push(byte);
                rest = others.get(3..).unwrap_or_default();
            }
            None => {
                path.push(*first);
                rest = others;
            }
        }
    }
    // A path that ends in a slash is the same point.
    PathBuf::from(OsString::from_vec(path)).components().collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{decide, mounted, wanted};

    const MOUNTINFO: &[u8] = b"22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 22 0:50 / /mnt/nas rw shared:5 master:1 - nfs4 nas:/volume1 rw,vers=4.2
31 22 0:51 / /mnt/auto rw - autofs systemd-1 rw
32 22 0:52 / /mnt/awake rw - autofs systemd-1 rw
33 32 0:53 / /mnt/awake rw - cifs //nas/share rw
34 22 254:1 /sub /mnt/with\\040blank rw - ext4 /dev/vdb rw
";
    const FSTAB: &[u8] = b"# <file system> <mount point>
/dev/vda / ext4 defaults 0 1
nas:/volume1\t/mnt/nas/\tnfs4\tdefaults
nas:/volume2 /mnt/away nfs4 noauto
#nas:/volume3 /mnt/commented nfs4 defaults
UUID=x none swap sw
UUID=y /mnt/with\\040blank ext4 defaults
";

    #[test]
    fn the_table() {
        let table = [
            ("/mnt/nas/r", Some("/mnt/nas"), None),
            ("/mnt/nas/r", None, None),
            ("/mnt/awake/r", Some("/mnt/awake"), None),
            ("/mnt/with blank/r", Some("/mnt/with blank"), None),
            ("/srv/r", None, None),
            ("/mnt/commented/r", None, None),
            ("/mnt/away-not/r", None, None),
            ("/mnt/away/r", None, Some("nothing is mounted at /mnt/away")),
            ("/srv/disk/r", Some("/srv/disk"), Some("nothing is mounted at /srv/disk")),
            ("/mnt/nas/r", Some("/mnt/nas/r"), Some("nothing is mounted at /mnt/nas/r")),
            ("/mnt/auto/r", Some("/mnt/auto"), Some("/mnt/auto was not mounted when it was asked for")),
        ];
        let (mounted, wanted) = (mounted(MOUNTINFO), wanted(FSTAB));
        for (folder, required, expected) in table {
            let refusal = decide(Path::new(folder), required.map(Path::new), &mounted, &wanted);
            assert_eq!(refusal.as_deref(), expected, "{folder}");
        }
    }
}
