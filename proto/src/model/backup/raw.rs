use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use super::{BackupEngine, Hooks, Job, Keep, Limits, OnBattery, Repository, Schedule, Selection};
use crate::model::{Invalid, plain_text};

/// Most sources, patterns, markers, hooks or recipients of one job.
const MAX_LIST: usize = 1000;
/// Longest pattern or path, bytes.
const MAX_TEXT_BYTES: usize = 4096;
/// What a run may take of memory unless the job says otherwise, MiB.
const MEMORY_MIB: u32 = 256;

/// A job as it stands in a file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawJob {
    engine: Option<BackupEngine>,
    #[serde(default)]
    sources: Vec<PathBuf>,
    #[serde(default)]
    exclude: Vec<String>,
    exclude_caches: Option<bool>,
    exclude_if_present: Option<Vec<String>>,
    one_file_system: Option<bool>,
    #[serde(default)]
    repository: String,
    requires_mount: Option<PathBuf>,
    ssh_key: Option<PathBuf>,
    known_hosts: Option<PathBuf>,
    password_file: Option<PathBuf>,
    schedule: Option<String>,
    random_delay_seconds: Option<u32>,
    catch_up: Option<bool>,
    full_every: Option<u32>,
    compression_level: Option<i32>,
    #[serde(default)]
    encrypt_to: Vec<String>,
    #[serde(default)]
    keep: Keep,
    #[serde(default)]
    hooks: RawHooks,
    #[serde(default)]
    limits: RawLimits,
    on_battery: Option<OnBattery>,
    #[serde(default)]
    verify: RawVerify,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawHooks {
    #[serde(default)]
    before: Vec<String>,
    #[serde(default)]
    after: Vec<String>,
    timeout_seconds: Option<u32>,
    #[serde(default)]
    sqlite: Vec<PathBuf>,
    #[serde(default)]
    k3s_etcd: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLimits {
    bytes_per_second: Option<u64>,
    threads: Option<u32>,
    nice: Option<u8>,
    memory_mib: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawVerify {
    schedule: Option<String>,
    percent: Option<u8>,
}

impl TryFrom<RawJob> for Job {
    type Error = Invalid;

    fn try_from(raw: RawJob) -> Result<Self, Invalid> {
        let engine = raw.engine.unwrap_or(BackupEngine::Tar);
        if raw.sources.is_empty() && raw.hooks.sqlite.is_empty() && !raw.hooks.k3s_etcd {
            return Err(Invalid::new("sources", "nothing is to be saved"));
        }
        paths("sources", &raw.sources)?;
        if raw.repository.is_empty() {
            return Err(Invalid::new("repository", "is missing"));
        }
        let mut repository: Repository = raw.repository.parse()?;
        let keys =
            [("ssh_key", &raw.ssh_key), ("known_hosts", &raw.known_hosts), ("password_file", &raw.password_file)];
        for (key, given) in keys {
            let fits = match (&repository, key) {
                (Repository::Folder(_), _) => false,
                (Repository::Ssh(_), key) => key != "password_file",
                (Repository::Daemon(_), key) => key == "password_file",
            };
            if given.is_some() && !fits {
                return Err(Invalid::new(key, format!("is of no use for {repository}")));
            }
            paths(key, given.as_slice())?;
        }
        if let Repository::Ssh(remote) | Repository::Daemon(remote) = &mut repository {
            (remote.ssh_key, remote.known_hosts, remote.password_file) =
                (raw.ssh_key, raw.known_hosts, raw.password_file);
        }
        if let (BackupEngine::Tar, Repository::Daemon(_)) = (engine, &repository) {
            return Err(Invalid::new("repository", "an rsync daemon takes no tar archives; use engine = \"rsync\""));
        }
        paths("requires_mount", raw.requires_mount.as_slice())?;
        if let (Some(mount), Repository::Folder(folder)) = (&raw.requires_mount, &repository)
            && !folder.starts_with(mount)
        {
            let reason = format!("{} does not lie below {}", folder.display(), mount.display());
            return Err(Invalid::new("requires_mount", reason));
        }
        let tar_only = [
            ("full_every", raw.full_every.is_some()),
            ("compression_level", raw.compression_level.is_some()),
            ("encrypt_to", !raw.encrypt_to.is_empty()),
        ];
        if engine != BackupEngine::Tar
            && let Some((key, _)) = tar_only.iter().find(|(_, given)| *given)
        {
            return Err(Invalid::new(*key, "is for engine = \"tar\" only"));
        }
        texts("encrypt_to", &raw.encrypt_to)?;
        if let Some(bad) = raw.encrypt_to.iter().find(|recipient| !recipient.starts_with("age1")) {
            return Err(Invalid::new("encrypt_to", format!("{bad:?} is no age recipient; those begin with age1")));
        }
        let markers = raw.exclude_if_present.unwrap_or_else(|| vec![".nobackup".to_owned()]);
        texts("exclude", &raw.exclude)?;
        texts("exclude_if_present", &markers)?;
        if let Some(bad) = markers.iter().find(|name| name.contains('/')) {
            return Err(Invalid::new("exclude_if_present", format!("{bad:?} is not the name of a file")));
        }
        Ok(Self {
            engine,
            selection: Selection {
                sources: raw.sources,
                exclude: raw.exclude,
                exclude_caches: raw.exclude_caches.unwrap_or(true),
                exclude_if_present: markers,
                one_file_system: raw.one_file_system.unwrap_or(true),
            },
            repository,
            requires_mount: raw.requires_mount,
            schedule: schedule("schedule", raw.schedule)?,
            random_delay_s: within("random_delay_seconds", raw.random_delay_seconds, 0, 0, 86_400)?,
            catch_up: raw.catch_up.unwrap_or(true),
            full_every: within("full_every", raw.full_every, 10, 0, 10_000)?,
            compression_level: within("compression_level", raw.compression_level, 3, 1, 19)?,
            encrypt_to: raw.encrypt_to,
            keep: raw.keep,
            hooks: raw.hooks.try_into()?,
            limits: raw.limits.try_into()?,
            on_battery: raw.on_battery.unwrap_or(OnBattery::Wait),
            verify_schedule: schedule("verify.schedule", raw.verify.schedule)?,
            verify_percent: within("verify.percent", raw.verify.percent, 5, 1, 100)?,
        })
    }
}

impl TryFrom<RawHooks> for Hooks {
    type Error = Invalid;

    fn try_from(raw: RawHooks) -> Result<Self, Invalid> {
        for (key, names) in [("hooks.before", &raw.before), ("hooks.after", &raw.after)] {
            texts(key, names)?;
            if let Some(bad) = names.iter().find(|name| name.contains('/') || name.starts_with('.')) {
                let reason = format!("{bad:?} is not the name of a program in the folder of hooks");
                return Err(Invalid::new(key, reason));
            }
        }
        paths("hooks.sqlite", &raw.sqlite)?;
        Ok(Self {
            before: raw.before,
            after: raw.after,
            timeout_s: within("hooks.timeout_seconds", raw.timeout_seconds, 600, 1, 86_400)?,
            sqlite: raw.sqlite,
            k3s_etcd: raw.k3s_etcd,
        })
    }
}

impl TryFrom<RawLimits> for Limits {
    type Error = Invalid;

    fn try_from(raw: RawLimits) -> Result<Self, Invalid> {
        if let Some(pace @ ..65_536) = raw.bytes_per_second {
            return Err(Invalid::new("limits.bytes_per_second", format!("{pace} is less than 65536")));
        }
        Ok(Self {
            bytes_per_second: raw.bytes_per_second,
            threads: raw.threads.map(|threads| within("limits.threads", Some(threads), 1, 1, 64)).transpose()?,
            nice: within("limits.nice", raw.nice, 10, 0, 19)?,
            memory_mib: within("limits.memory_mib", raw.memory_mib, MEMORY_MIB, 96, 1_048_576)?,
        })
    }
}

fn within<T: PartialOrd + std::fmt::Display>(
    key: &str,
    given: Option<T>,
    default: T,
    min: T,
    max: T,
) -> Result<T, Invalid> {
    let value = given.unwrap_or(default);
    if value < min || value > max {
        return Err(Invalid::new(key, format!("{value} is not between {min} and {max}")));
    }
    Ok(value)
}

fn schedule(key: &str, given: Option<String>) -> Result<Option<Schedule>, Invalid> {
    let parsed = given.map(|text| text.parse::<Schedule>()).transpose();
    parsed.map_err(|invalid| Invalid::new(key, invalid.reason))
}

fn counted<T>(key: &str, list: &[T]) -> Result<(), Invalid> {
    if list.len() > MAX_LIST {
        return Err(Invalid::new(key, format!("holds {} entries, at most {MAX_LIST} are allowed", list.len())));
    }
    Ok(())
}

fn texts(key: &str, list: &[String]) -> Result<(), Invalid> {
    counted(key, list)?;
    list.iter().try_for_each(|text| {
        if text.is_empty() {
            Err(Invalid::new(key, "holds an empty text"))
        } else {
            plain_text(key, text, MAX_TEXT_BYTES)
        }
    })
}

fn paths(key: &str, list: &[PathBuf]) -> Result<(), Invalid> {
    counted(key, list)?;
    let plain = |path: &Path| path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    list.iter().try_for_each(|path| {
        if !path.is_absolute() || !plain(path) {
            return Err(Invalid::new(key, format!("{path:?} does not begin with /, or holds ..")));
        }
        plain_text(key, &path.to_string_lossy(), MAX_TEXT_BYTES)
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::RawJob;
    use crate::daemon::parse_toml;
    use crate::model::backup::{BackupEngine, Job, Keep};

    fn parse(text: &str) -> Result<Job, String> {
        parse_toml::<RawJob, Job>(text, Path::new("etc.toml")).map_err(|error| error.to_string())
    }

    #[test]
    fn a_small_job_has_good_defaults() {
        let job = parse("sources = ['/etc']\nrepository = '/mnt/nas'\nkeep.daily = 7").unwrap();
        assert_eq!((job.engine, job.compression_level, job.full_every), (BackupEngine::Tar, 3, 10));
        assert_eq!(job.keep, Keep { daily: 7, ..Keep::default() });
        assert!(job.selection.one_file_system && job.selection.exclude_caches && job.catch_up);
        assert_eq!(job.selection.exclude_if_present, [".nobackup"]);
    }

    #[test]
    fn mistakes_are_named() {
        let with = |more: &str| format!("sources = ['/etc']\nrepository = '/mnt/nas'\n{more}");
        for (text, message) in [
            (String::new(), "etc.toml: sources: nothing is to be saved"),
            ("sources = ['/etc']".to_owned(), "etc.toml: repository: is missing"),
            (
                with("exlude = []"),
                "etc.toml: line 3: unknown field `exlude`, expected one of `engine`, `sources`, `exclude`, \
                 `exclude_caches`, `exclude_if_present`, `one_file_system`, `repository`, `requires_mount`, `ssh_key`, \
                 `known_hosts`, `password_file`, `schedule`, `random_delay_seconds`, `catch_up`, `full_every`, \
                 `compression_level`, `encrypt_to`, `keep`, `hooks`, `limits`, `on_battery`, `verify`; did you mean \
                 `exclude`?",
            ),
            (with("requires_mount = '/mnt/other'"), "etc.toml: requires_mount: /mnt/nas does not lie below /mnt/other"),
            (with("ssh_key = '/k'"), "etc.toml: ssh_key: is of no use for /mnt/nas"),
            (
                with("hooks.before = ['../x']"),
                "etc.toml: hooks.before: \"../x\" is not the name of a program in the folder of hooks",
            ),
            (with("engine = 'rsync'\nfull_every = 3"), "etc.toml: full_every: is for engine = \"tar\" only"),
            (with("limits.nice = 20"), "etc.toml: limits.nice: 20 is not between 0 and 19"),
            (with("encrypt_to = ['me']"), "etc.toml: encrypt_to: \"me\" is no age recipient; those begin with age1"),
            (
                "sources = ['etc/..']\nrepository = '/r'".to_owned(),
                "etc.toml: sources: \"etc/..\" does not begin with /, or holds ..",
            ),
            (
                "sources = ['/etc']\nrepository = 'rsync://nas/m'".to_owned(),
                "etc.toml: repository: an rsync daemon takes no tar archives; use engine = \"rsync\"",
            ),
        ] {
            assert_eq!(parse(&text).err().as_deref(), Some(message), "{text}");
        }
    }
}
