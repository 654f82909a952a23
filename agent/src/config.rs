//! `agent.toml`: raw TOML, then a type whose values can all be used.

use std::path::PathBuf;
use std::time::Duration;

use rackhaven_proto::Invalid;
use rackhaven_proto::daemon::LogSettings;
use serde::Deserialize;

/// The checked configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// How this machine is switched.
    pub power: PowerConfig,
    /// What is done on the way down.
    pub shutdown: ShutdownConfig,
    /// How K3s is stopped, held and started.
    pub k3s: K3sConfig,
    /// What makes backups, and where it finds its jobs.
    pub backup: BackupConfig,
    /// The programs that are asked about this machine.
    pub programs: ProgramsConfig,
    /// The log.
    pub log: LogSettings,
}

/// The `[power]` table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PowerConfig {
    /// Program and arguments that switch the machine off.
    pub poweroff_command: Vec<String>,
    /// Program and arguments that restart it.
    pub reboot_command: Vec<String>,
    /// How long either may take to answer.
    pub timeout: Duration,
}

/// The `[shutdown]` table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShutdownConfig {
    /// Where the admin's hooks are.
    pub hooks_dir: PathBuf,
    /// How long each may take.
    pub hook_timeout: Duration,
    /// File systems of these types are unmounted.
    pub unmount_types: Vec<String>,
}

/// The `[k3s]` table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct K3sConfig {
    /// Program and arguments that stop it; none asks systemd.
    pub stop_command: Option<Vec<String>>,
    /// Program and arguments that start it; none asks systemd.
    pub start_command: Option<Vec<String>>,
    /// How long it is held without a controller.
    pub hold_max: Duration,
    /// Where its units are, and where the hold is put.
    pub systemd_dir: PathBuf,
    /// The program that installs it.
    pub engine: PathBuf,
}

/// The `[backup]` table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupConfig {
    /// The program that makes and reads archives.
    pub engine: PathBuf,
    /// Where this node's own jobs are.
    pub jobs_dir: PathBuf,
    /// Where the engine tells how far it is.
    pub status_dir: PathBuf,
}

/// The `[programs]` table: names that are looked up as a shell would, or paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgramsConfig {
    /// Reads the journal.
    pub journalctl: String,
    /// Asks disks how they are.
    pub smartctl: String,
}

/// The file's form.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawConfig {
    #[serde(default)]
    power: RawPower,
    #[serde(default)]
    shutdown: RawShutdown,
    #[serde(default)]
    k3s: RawK3s,
    #[serde(default)]
    backup: RawBackup,
    #[serde(default)]
    programs: RawPrograms,
    #[serde(default)]
    log: LogSettings,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBackup {
    engine: Option<PathBuf>,
    jobs_dir: Option<PathBuf>,
    status_dir: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPrograms {
    journalctl: Option<String>,
    smartctl: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPower {
    poweroff_command: Option<Vec<String>>,
    reboot_command: Option<Vec<String>>,
    timeout_seconds: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawShutdown {
    hooks_dir: Option<PathBuf>,
    hook_timeout_seconds: Option<u32>,
    unmount_types: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawK3s {
    stop_command: Option<Vec<String>>,
    start_command: Option<Vec<String>>,
    hold_max_seconds: Option<u32>,
    systemd_dir: Option<PathBuf>,
    engine: Option<PathBuf>,
}

/// Whatever holds a lock against it, because the battery does not wait.
const POWER_OFF: [&str; 3] = ["systemctl", "poweroff", "-i"];
const REBOOT: [&str; 2] = ["systemctl", "reboot"];
/// Types of file systems for which another machine answers.
const UNMOUNT_TYPES: [&str; 12] = [
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "fuse.sshfs",
    "fuse.rclone",
    "fuse.glusterfs",
    "fuse.ceph",
    "ceph",
    "glusterfs",
    "afs",
    "9p",
];
/// Longest time of a hook, seconds: that of a step.
const MAX_HOOK_S: u32 = 3600;
/// Longest hold without a controller, seconds: a day.
const MAX_HOLD_S: u32 = 86_400;

fn seconds(key: &str, given: Option<u32>, default: u32, max: u32) -> Result<Duration, Invalid> {
    let seconds = given.unwrap_or(default);
    if !(1..=max).contains(&seconds) {
        return Err(Invalid::new(key, format!("{seconds} is not between 1 and {max}")));
    }
    Ok(Duration::from_secs(seconds.into()))
}

fn absolute(key: &str, given: Option<PathBuf>, default: &str) -> Result<PathBuf, Invalid> {
    let path = given.unwrap_or_else(|| default.into());
    if !path.is_absolute() {
        return Err(Invalid::new(key, format!("{path:?} does not begin with /")));
    }
    Ok(path)
}

fn named(key: &str, given: Option<Vec<String>>) -> Result<Option<Vec<String>>, Invalid> {
    given.map(|argv| command(key, Some(argv), &[])).transpose()
}

impl TryFrom<RawShutdown> for ShutdownConfig {
    type Error = Invalid;

    fn try_from(raw: RawShutdown) -> Result<Self, Invalid> {
        let types = raw.unmount_types.unwrap_or_else(|| UNMOUNT_TYPES.map(str::to_owned).to_vec());
        if types.iter().any(|name| name.is_empty() || name.contains(char::is_whitespace)) {
            return Err(Invalid::new("shutdown.unmount_types", "holds what is no type of a file system"));
        }
        Ok(Self {
            hooks_dir: absolute("shutdown.hooks_dir", raw.hooks_dir, "/etc/rackhaven/shutdown.d")?,
            hook_timeout: seconds("shutdown.hook_timeout_seconds", raw.hook_timeout_seconds, 20, MAX_HOOK_S)?,
            unmount_types: types,
        })
    }
}

impl TryFrom<RawK3s> for K3sConfig {
    type Error = Invalid;

    fn try_from(raw: RawK3s) -> Result<Self, Invalid> {
        Ok(Self {
            stop_command: named("k3s.stop_command", raw.stop_command)?,
            start_command: named("k3s.start_command", raw.start_command)?,
            hold_max: seconds("k3s.hold_max_seconds", raw.hold_max_seconds, 900, MAX_HOLD_S)?,
            systemd_dir: absolute("k3s.systemd_dir", raw.systemd_dir, "/etc/systemd/system")?,
            engine: absolute("k3s.engine", raw.engine, "/usr/bin/rackhaven-k3s")?,
        })
    }
}

impl TryFrom<RawBackup> for BackupConfig {
    type Error = Invalid;

    fn try_from(raw: RawBackup) -> Result<Self, Invalid> {
        Ok(Self {
            engine: absolute("backup.engine", raw.engine, "/usr/bin/rackhaven-backup")?,
            jobs_dir: absolute("backup.jobs_dir", raw.jobs_dir, "/etc/rackhaven/backup.d")?,
            status_dir: absolute("backup.status_dir", raw.status_dir, "/run/rackhaven-agent")?,
        })
    }
}

fn program(key: &str, given: Option<String>, default: &str) -> Result<String, Invalid> {
    let name = given.unwrap_or_else(|| default.to_owned());
    if name.is_empty() { Err(Invalid::new(key, "names no program")) } else { Ok(name) }
}

fn command(key: &str, given: Option<Vec<String>>, default: &[&str]) -> Result<Vec<String>, Invalid> {
    let command = given.unwrap_or_else(|| default.iter().map(|word| (*word).to_owned()).collect());
    match command.first() {
        Some(program) if !program.is_empty() => Ok(command),
        _ => Err(Invalid::new(key, "names no program")),
    }
}

impl TryFrom<RawConfig> for Config {
    type Error = Invalid;

    fn try_from(raw: RawConfig) -> Result<Self, Invalid> {
        Ok(Self {
            power: PowerConfig {
                poweroff_command: command("power.poweroff_command", raw.power.poweroff_command, &POWER_OFF)?,
                reboot_command: command("power.reboot_command", raw.power.reboot_command, &REBOOT)?,
                timeout: seconds("power.timeout_seconds", raw.power.timeout_seconds, 20, 600)?,
            },
            shutdown: raw.shutdown.try_into()?,
            k3s: raw.k3s.try_into()?,
            backup: raw.backup.try_into()?,
            programs: ProgramsConfig {
                journalctl: program("programs.journalctl", raw.programs.journalctl, "journalctl")?,
                smartctl: program("programs.smartctl", raw.programs.smartctl, "smartctl")?,
            },
            log: raw.log,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rackhaven_proto::daemon::parse_toml;

    use super::{Config, RawConfig};

    fn parse(text: &str) -> Result<Config, String> {
        parse_toml::<RawConfig, Config>(text, Path::new("agent.toml")).map_err(|error| error.to_string())
    }

    #[test]
    fn the_shipped_file_is_the_defaults() {
        let defaults = parse("").unwrap();
        assert_eq!(defaults.power.reboot_command, ["systemctl", "reboot"]);
        assert_eq!(parse(include_str!("../../packaging/agent.toml")), Ok(defaults));
    }

    #[test]
    fn mistakes_are_named() {
        for (text, message) in [
            (
                "[power]\npoweroff_comand = ['x']",
                "agent.toml: line 2: unknown field `poweroff_comand`, expected one of `poweroff_command`, \
                 `reboot_command`, `timeout_seconds`; did you mean `poweroff_command`?",
            ),
            ("[power]\npoweroff_command = []", "agent.toml: power.poweroff_command: names no program"),
            ("[power]\ntimeout_seconds = 0", "agent.toml: power.timeout_seconds: 0 is not between 1 and 600"),
            ("[shutdown]\nhooks_dir = 'x'", "agent.toml: shutdown.hooks_dir: \"x\" does not begin with /"),
            (
                "[shutdown]\nhook_timeout_seconds = 3601",
                "agent.toml: shutdown.hook_timeout_seconds: 3601 is not between 1 and 3600",
            ),
            (
                "[shutdown]\nunmount_types = ['nfs nfs4']",
                "agent.toml: shutdown.unmount_types: holds what is no type of a file system",
            ),
            ("[k3s]\nstop_command = ['']", "agent.toml: k3s.stop_command: names no program"),
            ("[k3s]\nhold_max_seconds = 0", "agent.toml: k3s.hold_max_seconds: 0 is not between 1 and 86400"),
            ("[programs]\nsmartctl = ''", "agent.toml: programs.smartctl: names no program"),
            ("[k3s]\nsystemd_dir = ''", "agent.toml: k3s.systemd_dir: \"\" does not begin with /"),
        ] {
            assert_eq!(parse(text), Err(message.to_owned()));
        }
    }
}
