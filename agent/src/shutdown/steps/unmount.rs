use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, umount2};
use rackhaven_proto::model::StepOutcome;

use super::{Ended, blocking};
use crate::host::linux::parse::mounts;

const TABLE: &str = "/proc/self/mounts";

/// Unmounts the file systems of these types, which are a network's: by force, and without waiting for a server that is
/// gone. In a drill they are only listed.
pub(super) async fn run(drill: bool, types: Vec<String>) -> Ended {
    let table = match std::fs::read(TABLE) {
        Ok(table) => table,
        Err(error) => return (StepOutcome::Failed, format!("reading {TABLE}: {error}")),
    };
    let chosen = choose(&table, &types);
    let names = || chosen.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
    if chosen.is_empty() {
        return (StepOutcome::Skipped, "there is none".to_owned());
    }
    if drill {
        return (StepOutcome::Skipped, format!("this is a drill; would be unmounted: {}", names()));
    }
    let told = names();
    let unmount = move || {
        let refused =
            chosen.iter().filter_map(|path| match umount2(path, MntFlags::MNT_FORCE | MntFlags::MNT_DETACH) {
                // Somebody else was faster.
                Ok(()) | Err(nix::errno::Errno::EINVAL) => None,
                Err(error) => Some(format!("{}: {}", path.display(), error.desc())),
            });
        refused.collect::<Vec<_>>()
    };
    match blocking::run("unmount", unmount).await {
        Ok(refused) if refused.is_empty() => (StepOutcome::Done, told),
        Ok(refused) => (StepOutcome::Failed, refused.join("; ")),
        Err(why) => (StepOutcome::Failed, why),
    }
}

/// What is to be unmounted, in this order: what lies in another first, and of several in one place the last.
fn choose(table: &[u8], types: &[String]) -> Vec<PathBuf> {
    let network = mounts(table).filter(|mount| types.iter().any(|name| name.as_bytes() == &*mount.fs_type));
    // The agent itself may live on the root.
    let paths = network.map(|mount| Path::new(OsStr::from_bytes(&mount.mount_point)).to_owned());
    let mut chosen: Vec<PathBuf> = paths.filter(|path| path != Path::new("/")).collect();
    chosen.reverse();
    chosen.sort_by_key(|path| std::cmp::Reverse(path.components().count()));
    chosen
}

#[cfg(test)]
mod tests {
    use super::choose;

    #[test]
    fn the_deepest_goes_first_and_the_root_stays() {
        let table = b"nas:/pi / nfs4 rw 0 0\n/dev/sda1 /srv ext4 rw 0 0\nnas:/a /mnt/a nfs4 rw 0 0\n\
            nas:/b /mnt/a/b\\040c nfs rw 0 0\n//nas/x /mnt/x cifs rw 0 0\nu@h: /home/u/h fuse.sshfs rw 0 0\n\
            nas:/over /mnt/x nfs rw 0 0\nnone /mnt/fuse fuse.lxcfs rw 0 0\n";
        let types = ["nfs", "nfs4", "cifs", "fuse.sshfs"].map(str::to_owned);
        let chosen: Vec<_> = choose(table, &types).iter().map(|path| path.display().to_string()).collect();
        assert_eq!(chosen, ["/home/u/h", "/mnt/a/b c", "/mnt/x", "/mnt/x", "/mnt/a"]);
        assert!(choose(table, &[]).is_empty());
    }
}
