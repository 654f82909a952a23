//! Undoes the mounts that pods left, and no others.

use anyhow::{Context, bail};
use nix::mount::{MntFlags, umount2};

use crate::files;
use crate::news::Done;
use crate::order::Work;

/// Below these all mounts are K3s's.
const FOLDERS: [&str; 4] = ["/run/k3s", "/var/lib/kubelet", "/var/lib/rancher/k3s", "/run/netns"];
/// More than a node ever has; a mount can lie upon another.
const MOST: usize = 10_000;

/// The mounts that are K3s's, of `/proc/self/mountinfo`, deepest and newest first.
#[must_use]
pub fn of_k3s(mountinfo: &str) -> Vec<String> {
    let place = |line: &str| line.split(' ').nth(4).map(unescaped);
    let is_ours = |path: &String| {
        FOLDERS.iter().any(|folder| {
            let below = path.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/'));
            match (*folder, below) {
                // The folder itself is the system's.
                ("/run/netns", Some(name)) => name.starts_with("cni-"),
                (_, Some(_)) => true,
                (_, None) => false,
            }
        })
    };
    let mut found: Vec<String> = mountinfo.lines().filter_map(place).filter(is_ours).collect();
    found.reverse();
    found.sort_by_key(|path| std::cmp::Reverse(path.matches('/').count()));
    found
}

/// A path as it is: mountinfo writes blanks, tabs, newlines and backslashes as three octal digits.
fn unescaped(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut path = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let code = part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(code) => {
                path.push(code);
                path.extend_from_slice(&part.as_bytes()[3..]);
            }
            None => {
                path.push(b'\\');
                path.extend_from_slice(part.as_bytes());
            }
        }
    }
    String::from_utf8_lossy(&path).into_owned()
}

fn found(work: &Work) -> Vec<String> {
    // Places below the root of the node, by their names on it.
    let root = work.root.at("/").display().to_string();
    let root = root.trim_end_matches('/');
    let told = work.root.told("/proc/self/mountinfo");
    let lines = told.lines().map(|line| line.replacen(&format!(" {root}/"), " /", 1));
    if root.is_empty() { of_k3s(&told) } else { of_k3s(&lines.collect::<Vec<_>>().join("\n")) }
}

/// Undoes them all.
pub(super) fn undo(work: &mut Work) -> anyhow::Result<Done> {
    let mut count = 0;
    while let Some(path) = found(work).into_iter().next() {
        work.go_on()?;
        let place = work.root.at(&path);
        // What is still in use goes when it is not any more; then nothing is left to be written to by us.
        let undone = umount2(&place, MntFlags::UMOUNT_NOFOLLOW)
            .or_else(|_| umount2(&place, MntFlags::UMOUNT_NOFOLLOW | MntFlags::MNT_DETACH));
        undone.with_context(|| format!("unmounting {path}"))?;
        count += 1;
        if count > MOST {
            bail!("more than {MOST} mounts: {path} comes again and again");
        }
    }
    let mut spaces = 0;
    for name in work.root.names("/run/netns").into_iter().filter(|name| name.starts_with("cni-")) {
        files::remove_if_there(&work.root.at(&format!("/run/netns/{name}")))?;
        spaces += 1;
    }
    Ok(match (count, spaces) {
        (0, 0) => Done::Unchanged("none is left".to_owned()),
        _ => Done::Changed(format!("{count} undone, {spaces} networks of pods removed")),
    })
}

#[cfg(test)]
mod tests {
    use super::of_k3s;

    #[test]
    fn golden() {
        let line = |place: &str| format!("36 35 98:0 / {place} rw,noatime shared:1 - ext3 /dev/root rw\n");
        let all: String = [
            "/",
            "/run/netns",
            "/run/netns/cni-1",
            "/run/netns/vpn",
            "/run/k3s/containerd/a/rootfs",
            "/run/k3s2/x",
            "/var/lib/rancher",
            "/var/lib/rancher/k3s",
            "/var/lib/rancher/k3s/agent/a\\040b",
            "/var/lib/kubelet/pods/1/volumes/nfs",
            "/var/lib/kubelet/pods/1/volumes/nfs",
            "/mnt/var/lib/kubelet/pods",
        ]
        .into_iter()
        .map(line)
        .collect();
        assert_eq!(
            of_k3s(&all),
            [
                "/var/lib/kubelet/pods/1/volumes/nfs",
                "/var/lib/kubelet/pods/1/volumes/nfs",
                "/var/lib/rancher/k3s/agent/a b",
                "/run/k3s/containerd/a/rootfs",
                "/run/netns/cni-1",
            ]
        );
        assert!(of_k3s("").is_empty() && of_k3s("1 2 3").is_empty());
    }
}
