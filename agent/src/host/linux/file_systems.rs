use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::sys::statvfs::statvfs;
use rackhaven_proto::v1;

use super::file::{Buffer, KernelFile};
use super::parse::{Mount, mounts, printable};
use crate::host::sys;

/// Most file systems that are reported.
const MAX_FILE_SYSTEMS: usize = 64;

/// How much of the table is read for each sample, bytes: enough for the root, which stands near its beginning.
const GLANCE_BYTES: usize = 4096;

/// Types that keep data on a disk of this node. A list of what counts rather than of what does not: it needs no word on
/// the dozens of pseudo file systems, and leaves out images that are full by nature (squashfs, iso9660).
///
/// Network and FUSE file systems are left out on purpose. Asking them means asking another machine or process, and if
/// that is dead the call never returns; a measurement must not wait, above all not while the power is going.
const LOCAL: [&[u8]; 17] = [
    b"ext2",
    b"ext3",
    b"ext4",
    b"xfs",
    b"btrfs",
    b"f2fs",
    b"vfat",
    b"exfat",
    b"ntfs",
    b"ntfs3",
    b"zfs",
    b"bcachefs",
    b"jfs",
    b"nilfs2",
    b"reiserfs",
    b"ubifs",
    b"hfsplus",
];

/// Beginnings of the types that another machine or process answers for.
const REMOTE: [&[u8]; 9] = [b"nfs", b"cifs", b"smb", b"fuse", b"autofs", b"9p", b"ceph", b"afs", b"gluster"];

/// Measures how full the file systems are.
pub(super) struct FileSystems {
    table: KernelFile,
    chosen: Vec<Chosen>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Chosen {
    path: PathBuf,
    mount_point: String,
    fs_type: String,
    read_only: bool,
    source: Vec<u8>,
}

impl FileSystems {
    /// Looks at the agent's own mounts: what is mounted on the machine is seen in its sandbox, too.
    pub(super) fn new(proc: &Path) -> Self {
        Self { table: KernelFile::new(proc.join("self/mountinfo")), chosen: Vec::new() }
    }

    /// Reads the table of mounts. It is long on a node with many containers, so it is done about once a minute, which
    /// finds a disk that turned read-only, and whenever something was mounted or unmounted.
    pub(super) fn discover(&mut self) {
        // Memory of its own: the table may be far longer than what is read for each sample.
        self.chosen = self.table.read(&mut Buffer::new()).map(choose).unwrap_or_default();
        // Containers get single files mounted from the machine's disk, such as /etc/hosts.
        self.chosen.retain(|fs| fs.path.is_dir());
    }

    /// A file system that turns read-only changes no mount, so that nobody is told; the root is looked after each time.
    fn glance(&mut self) {
        let mut beginning = [0; GLANCE_BYTES];
        let Some(lines) = self.table.beginning(&mut beginning) else { return };
        for mount in mounts(lines) {
            let known = self.chosen.iter_mut().find(|fs| fs.path.as_os_str().as_bytes() == &*mount.mount_point);
            if let Some(known) = known.filter(|known| *known.source == *mount.source) {
                known.read_only = mount.read_only;
            }
        }
    }

    /// Asks each file system.
    pub(super) fn measure(&mut self) -> Vec<v1::FileSystem> {
        if self.table.opened().is_some_and(sys::mounts_changed) {
            self.discover();
        } else {
            self.glance();
        }
        self.chosen.iter().filter_map(Chosen::measure).collect()
    }
}

impl Chosen {
    fn measure(&self) -> Option<v1::FileSystem> {
        let stat = statvfs(&self.path).ok()?;
        // These are 32 bits wide on some machines.
        let [unit, blocks, free, available] = [
            stat.fragment_size() as u64,
            stat.blocks() as u64,
            stat.blocks_free() as u64,
            stat.blocks_available() as u64,
        ];
        let [inodes, inodes_free] = [stat.files() as u64, stat.files_free() as u64];
        let bytes = |blocks: u64| blocks.saturating_mul(unit);
        (blocks > 0).then(|| v1::FileSystem {
            mount_point: self.mount_point.clone(),
            fs_type: self.fs_type.clone(),
            total_bytes: bytes(blocks),
            available_bytes: bytes(available),
            used_bytes: bytes(blocks.saturating_sub(free)),
            inodes_total: (inodes > 0).then_some(inodes),
            inodes_used: (inodes > 0).then_some(inodes.saturating_sub(inodes_free)),
            read_only: self.read_only,
        })
    }
}

/// The mounts worth asking, in the order in which they were mounted, each file system once.
fn choose(table: &[u8]) -> Vec<Chosen> {
    let mut chosen: Vec<Chosen> = Vec::new();
    let mut remote: Vec<PathBuf> = Vec::new();
    for mount in mounts(table) {
        let path = Path::new(OsStr::from_bytes(&mount.mount_point)).to_owned();
        // Of several mounts in one place only the last is seen.
        chosen.retain(|other| other.path != path);
        remote.retain(|other| *other != path);
        if REMOTE.iter().any(|prefix| mount.fs_type.starts_with(prefix)) {
            remote.push(path);
            continue;
        }
        // The way to a mount below a dead share is as dead. But if the root is a share, the agent itself lives on it.
        let hidden = remote.iter().any(|share| share != Path::new("/") && path.starts_with(share));
        if hidden || !is_local(&mount) {
            continue;
        }
        let Some(mount_point) = printable(&mount.mount_point).filter(|text| text.as_bytes() == &*mount.mount_point)
        else {
            continue;
        };
        // Bind mounts and subvolumes show the same space again, mostly deeper in the tree.
        match chosen.iter_mut().find(|other| *other.source == *mount.source) {
            Some(other) if other.mount_point.len() <= mount_point.len() => {}
            Some(other) => *other = Chosen::new(&mount, path, mount_point),
            None => chosen.push(Chosen::new(&mount, path, mount_point)),
        }
    }
    chosen.truncate(MAX_FILE_SYSTEMS);
    chosen
}

impl Chosen {
    fn new(mount: &Mount<'_>, path: PathBuf, mount_point: String) -> Self {
        Self {
            path,
            mount_point,
            fs_type: String::from_utf8_lossy(&mount.fs_type).into_owned(),
            read_only: mount.read_only,
            source: mount.source.to_vec(),
        }
    }
}

fn is_local(mount: &Mount<'_>) -> bool {
    // Overlays belong to containers, but for the root of a board whose card is kept read-only.
    LOCAL.contains(&&*mount.fs_type) || (*mount.fs_type == *b"overlay" && *mount.mount_point == *b"/")
}

#[cfg(test)]
mod tests {
    use super::{FileSystems, choose};
    use crate::host::linux::Roots;

    /// From source, mount point, type and options.
    fn table(mounts: &str) -> Vec<u8> {
        let line = |line: &str| match line.split(' ').collect::<Vec<_>>()[..] {
            [source, point, fs_type, options] => format!("9 1 8:1 / {point} rw - {fs_type} {source} {options}\n"),
            _ => panic!("{line}"),
        };
        mounts.lines().map(line).collect::<String>().into_bytes()
    }

    fn chosen(table: &[u8]) -> Vec<(String, bool)> {
        choose(table).into_iter().map(|fs| (fs.mount_point, fs.read_only)).collect()
    }

    fn plain(mounts: &str) -> Vec<(String, bool)> {
        chosen(&table(mounts))
    }

    fn some(expected: &[(&str, bool)]) -> Vec<(String, bool)> {
        expected.iter().map(|(mount_point, read_only)| ((*mount_point).to_owned(), *read_only)).collect()
    }

    #[test]
    fn recorded_boards() {
        assert_eq!(
            chosen(include_bytes!("fixtures/pi4/proc/self/mountinfo")),
            some(&[("/", false), ("/boot/firmware", false), ("/mnt/usb disk", true)])
        );
        assert_eq!(
            chosen(include_bytes!("fixtures/x86/proc/self/mountinfo")),
            some(&[("/", false), ("/boot/efi", false), ("/srv", false), ("/tank", false), ("/tank/media", true)])
        );
        assert_eq!(
            chosen(include_bytes!("fixtures/bananapi-m5/proc/self/mountinfo")),
            some(&[("/", false), ("/var/log", false)])
        );
    }

    #[test]
    fn nothing_that_may_hang_is_asked() {
        let shares = ["nfs", "nfs4", "cifs", "fuse.sshfs", "fuseblk", "autofs"];
        for share in shares {
            let table = format!("h:/x /mnt {share} rw\n/dev/sda1 /mnt/disk ext4 rw\n/dev/sdb1 /mnt2 ext4 rw\n");
            assert_eq!(plain(&table), some(&[("/mnt2", false)]), "{share}");
        }
        let netboot = "nas:/pi / nfs rw\n/dev/sda1 /srv ext4 rw\n";
        assert_eq!(plain(netboot), some(&[("/srv", false)]));
    }

    #[test]
    fn what_is_mounted_over_is_not_seen() {
        assert_eq!(plain("/dev/sda1 /srv ext4 rw\ntmpfs /srv tmpfs rw\n"), []);
        assert_eq!(plain("/dev/sda1 /srv ext4 rw\nh:/ /srv nfs rw\n/dev/sdb1 /srv/a xfs rw\n"), []);
        assert_eq!(plain("overlayroot / overlay rw\n"), some(&[("/", false)]));
    }

    #[test]
    fn names_that_the_controller_would_refuse_are_left_out() {
        assert_eq!(plain("/dev/sda1 /mnt/a\\012b ext4 rw\n"), []);
        let long = format!("/dev/sda1 /{} ext4 rw\n", "x".repeat(300));
        assert_eq!(plain(&long), []);
        let many: String = (0..100).map(|n| format!("/dev/s{n} /m{n} ext4 rw\n")).collect();
        assert_eq!(plain(&many).len(), 64);
    }

    #[test]
    fn a_root_that_turns_read_only_is_seen_at_the_next_glance() {
        let proc = tempfile::tempdir().unwrap();
        std::fs::create_dir(proc.path().join("self")).unwrap();
        let write = |options: &str| {
            let table = table(&format!("/dev/mmcblk0p2 / ext4 {options}\n"));
            std::fs::write(proc.path().join("self/mountinfo"), table).unwrap();
        };
        write("rw");
        let mut file_systems = FileSystems::new(proc.path());
        file_systems.discover();
        assert!(!file_systems.measure()[0].read_only);
        for options in ["ro", "rw,emergency_ro"] {
            write(options);
            assert!(file_systems.measure()[0].read_only, "{options}");
        }
    }

    #[test]
    fn this_machine_has_a_root() {
        let mut file_systems = FileSystems::new(&Roots::default().proc);
        file_systems.discover();
        for fs in file_systems.measure() {
            assert!(fs.total_bytes >= fs.used_bytes && fs.total_bytes > 0, "{fs:?}");
        }
    }
}
