use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::mount::{MntFlags, umount2};
use rackhaven_proto::model::StepOutcome;

use super::{Ended, blocking};
use crate::causes::with_causes;
use crate::host::linux::child::{self, Job, Place};
use crate::host::linux::parse::mounts;

const TABLE: &str = "/proc/self/mountinfo";

/// Unmounts the file systems of these types, which are a network's, on the machine, which may be beyond the agent's
/// sandbox. In a drill they are only listed.
pub(super) async fn run(drill: bool, types: Vec<String>, place: Place, limit: Duration) -> Ended {
    let chosen = match list(&types) {
        Ok(chosen) => chosen,
        Err(why) => return (StepOutcome::Failed, why),
    };
    if chosen.is_empty() {
        return (StepOutcome::Skipped, "there is none".to_owned());
    }
    if drill {
        return (StepOutcome::Skipped, format!("this is a drill; would be unmounted: {}", names(&chosen)));
    }
    let unmounted = match place {
        Place::Unit => by_unit(&types, limit).await,
        Place::Here => blocking::run("unmount", move || unmount_all(&types)).await.flatten(),
    };
    match unmounted {
        Ok(told) => (StepOutcome::Done, told),
        Err(why) => (StepOutcome::Failed, why),
    }
}

/// The agent's own program does it, as a unit of systemd's, where the machine's mounts are.
async fn by_unit(types: &[String], limit: Duration) -> Result<String, String> {
    let program = std::env::current_exe().map_err(|error| format!("finding the agent's program: {error}"))?;
    let mut argv = vec![program.display().to_string(), "unmount-network".to_owned(), "--".to_owned()];
    argv.extend_from_slice(types);
    let job = Job { argv: &argv, environment: &[], stands: false, place: Place::Unit };
    child::run(job, limit).await.map(|said| said.join("; ")).map_err(|error| with_causes(&error))
}

/// Unmounts the file systems of these types that are seen from here: by force, and without waiting for a server that is
/// gone. May hang in the kernel all the same. The mount points.
///
/// # Errors
/// Which of them were refused, and why; the others are unmounted.
pub fn unmount_all(types: &[String]) -> Result<String, String> {
    let chosen = list(types)?;
    let refused: Vec<String> = chosen
        .iter()
        .filter_map(|path| match umount2(path, MntFlags::MNT_FORCE | MntFlags::MNT_DETACH) {
            // Somebody else was faster.
            Ok(()) | Err(nix::errno::Errno::EINVAL) => None,
            Err(error) => Some(format!("{}: {}", path.display(), error.desc())),
        })
        .collect();
    if refused.is_empty() { Ok(names(&chosen)) } else { Err(refused.join("; ")) }
}

fn names(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

fn list(types: &[String]) -> Result<Vec<PathBuf>, String> {
    let table = std::fs::read(TABLE).map_err(|error| format!("reading {TABLE}: {error}"))?;
    Ok(choose(&table, types))
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
        let table = b"1 0 0:1 / / rw - nfs4 nas:/pi rw\n2 1 8:1 / /srv rw - ext4 /dev/sda1 rw\n\
            3 1 0:2 / /mnt/a rw - nfs4 nas:/a rw\n4 3 0:3 / /mnt/a/b\\040c rw shared:1 - nfs nas:/b rw\n\
            5 1 0:4 / /mnt/x rw - cifs //nas/x rw\n6 1 0:5 / /home/u/h rw - fuse.sshfs u@h: rw\n\
            7 1 0:6 / /mnt/x rw - nfs nas:/over rw\n8 1 0:7 / /mnt/fuse rw - fuse.lxcfs none rw\n";
        let types = ["nfs", "nfs4", "cifs", "fuse.sshfs"].map(str::to_owned);
        let chosen: Vec<_> = choose(table, &types).iter().map(|path| path.display().to_string()).collect();
        assert_eq!(chosen, ["/home/u/h", "/mnt/a/b c", "/mnt/x", "/mnt/x", "/mnt/a"]);
        assert!(choose(table, &[]).is_empty());
    }
}
