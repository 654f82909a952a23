//! What a walk leaves out.

use std::ffi::{CStr, OsStr};
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use ignore::gitignore::{Gitignore, GitignoreBuilder};
use rackhaven_proto::model::backup::Selection;

use super::names::Names;
use super::open::open_file;
use crate::entry::path_order;

/// How such a folder says that it is a cache (bford.info/cachedir).
const CACHE_TAG: &CStr = c"CACHEDIR.TAG";
const CACHE_SIGNATURE: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55";

/// The content of these belongs to the kernel or to running containers. The folders themselves are saved, for they are
/// needed as mount points.
const NEVER: &[&str] = &[
    "/proc",
    "/sys",
    "/dev",
    "/run",
    "/var/lib/containerd",
    "/var/lib/kubelet/pods",
    "/var/lib/rancher/k3s/agent/containerd",
];

/// A selection that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("exclude: {0}")]
pub struct BadPattern(#[from] ignore::Error);

/// What is walked and what is left out on the way.
#[derive(Debug)]
pub struct Rules {
    pub(super) roots: Vec<Vec<u8>>,
    /// Sources below others: their file systems are entered.
    entered: Vec<Vec<u8>>,
    patterns: Gitignore,
    caches: bool,
    markers: Vec<Vec<u8>>,
    pub(super) one_file_system: bool,
    never: Vec<Vec<u8>>,
}

impl Rules {
    /// From a job's selection. The content of `never`, such as the repository itself, is left out besides what no
    /// backup ever holds.
    ///
    /// # Errors
    /// When a pattern is none.
    pub fn new(selection: &Selection, never: &[PathBuf]) -> Result<Self, BadPattern> {
        let mut sources: Vec<Vec<u8>> = selection.sources.iter().map(|path| normalised(path)).collect();
        sources.sort_by(|a, b| path_order(a, b));
        sources.dedup();
        let mut roots: Vec<Vec<u8>> = Vec::new();
        let mut entered = Vec::new();
        for source in sources {
            match roots.last() {
                Some(root) if is_below(&source, root) => entered.push(source),
                _ => roots.push(source),
            }
        }
        let mut patterns = GitignoreBuilder::new("/");
        for pattern in &selection.exclude {
            patterns.add_line(None, pattern)?;
        }
        let never = NEVER.iter().map(Path::new).chain(never.iter().map(PathBuf::as_path)).map(normalised).collect();
        Ok(Self {
            roots,
            entered,
            patterns: patterns.build()?,
            caches: selection.exclude_caches,
            markers: selection.exclude_if_present.iter().map(|name| name.as_bytes().to_vec()).collect(),
            one_file_system: selection.one_file_system,
            never,
        })
    }

    /// Whether a pattern leaves this out, with all below it.
    pub(super) fn excludes(&self, path: &[u8], is_dir: bool) -> bool {
        !self.patterns.is_empty() && self.patterns.matched(Path::new(OsStr::from_bytes(path)), is_dir).is_ignore()
    }

    /// Whether this folder's content is never saved.
    pub(super) fn never_lists(&self, path: &[u8]) -> bool {
        self.never.iter().any(|never| never == path)
    }

    /// Whether a file system that is mounted here was asked for.
    pub(super) fn enters(&self, path: &[u8]) -> bool {
        !self.one_file_system || self.entered.iter().any(|source| source == path)
    }

    /// What says of a folder that it need not be saved: only this is.
    pub(super) fn marker(&self, dir: impl AsFd, names: &Names) -> Option<&[u8]> {
        let tagged = || self.caches && names.contains(CACHE_TAG.to_bytes()) && is_cache_tag(dir);
        let marker = self.markers.iter().find(|marker| names.contains(marker)).map(Vec::as_slice);
        marker.or_else(|| tagged().then_some(CACHE_TAG.to_bytes()))
    }
}

fn is_cache_tag(dir: impl AsFd) -> bool {
    let mut start = [0; CACHE_SIGNATURE.len()];
    let mut read = |fd| std::fs::File::from(fd).read_exact(&mut start);
    open_file(dir, CACHE_TAG).is_ok_and(|fd| read(fd).is_ok()) && start == CACHE_SIGNATURE
}

/// Without `.`, doubled slashes or one at the end.
fn normalised(path: &Path) -> Vec<u8> {
    path.components().collect::<PathBuf>().into_os_string().into_vec()
}

/// Whether `path` is in the folder `above` or below.
pub fn is_below(path: &[u8], above: &[u8]) -> bool {
    let rest = path.strip_prefix(above.strip_suffix(b"/").unwrap_or(above));
    rest.is_some_and(|rest| rest.first() == Some(&b'/') && rest.len() > 1)
}

#[cfg(test)]
mod tests {
    use super::{Rules, is_below};
    use rackhaven_proto::model::backup::Selection;

    fn selection(sources: &[&str], exclude: &[&str]) -> Selection {
        Selection {
            sources: sources.iter().map(Into::into).collect(),
            exclude: exclude.iter().map(|pattern| (*pattern).to_owned()).collect(),
            exclude_caches: true,
            exclude_if_present: vec![".nobackup".to_owned()],
            one_file_system: true,
        }
    }

    #[test]
    fn sources_are_walked_once_and_in_order() {
        let rules = Rules::new(&selection(&["/srv/b/", "/boot/firmware", "/srv", "/boot", "/a//b/./c"], &[]), &[]);
        let rules = rules.unwrap();
        assert_eq!(rules.roots, [b"/a/b/c".to_vec(), b"/boot".to_vec(), b"/srv".to_vec()]);
        assert!(rules.enters(b"/boot/firmware") && !rules.enters(b"/boot/other"));
    }

    #[test]
    fn patterns_mean_what_they_mean_in_gitignore() {
        let rules = Rules::new(&selection(&["/"], &["*.tmp", "/var/cache", "build/", "!keep.tmp"]), &[]).unwrap();
        let golden: [(&[u8], bool, bool); 9] = [
            (b"/a/x.tmp", false, true),
            (b"/a/keep.tmp", false, false),
            (b"/var/cache", true, true),
            (b"/srv/var/cache", true, false),
            (b"/home/build", true, true),
            (b"/home/build", false, false),
            (b"/a/\xff.tmp", false, true),
            (b"/a/x.tmpx", false, false),
            (b"/", true, false),
        ];
        for (path, is_dir, excluded) in golden {
            assert_eq!(rules.excludes(path, is_dir), excluded, "{}", path.escape_ascii());
        }
    }

    #[test]
    fn below_is_below_and_not_beside() {
        let golden: [(&[u8], &[u8], bool); 6] = [
            (b"/a/b", b"/a", true),
            (b"/a", b"/a", false),
            (b"/ab", b"/a", false),
            (b"/a", b"/", true),
            (b"/", b"/", false),
            (b"/a/b/c", b"/a", true),
        ];
        for (path, above, below) in golden {
            assert_eq!(is_below(path, above), below);
        }
    }
}
