use rackhaven_proto::model::Severity;

/// A rule that is there without being asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// A node is not heard of any more.
    NodeDown,
    /// A node has come back from a stop that was not orderly.
    RebootedUncleanly,
    /// All cores are busy.
    CpuHigh,
    /// Hardly any memory can be had without swapping.
    MemoryHigh,
    /// A file system fills up.
    DiskFull,
    /// A file system runs out of inodes.
    InodesFull,
    /// A file system will be full before long, by how it fills.
    DiskFullSoon,
    /// A disk or card is worn or damaged.
    StorageHealth,
    /// A sensor is hot.
    Temperature,
    /// The firmware sees too low a voltage.
    UnderVoltage,
    /// The firmware slows the board down.
    Throttled,
    /// Units of systemd have failed.
    FailedUnits,
    /// K3s is installed on a node and does not run.
    K3sNotReady,
    /// K3s brings no new pods to a node, and nobody has changed that for long.
    K3sCordoned,
    /// K3s's API does not answer.
    K3sApiUnreachable,
    /// The root file system cannot be written.
    ReadOnlyRoot,
    /// A node's clock differs from the controller's.
    ClockSkew,
    /// A certificate ends and was not renewed.
    CertificateEnding,
    /// Mains has failed.
    OnBattery,
    /// A battery is nearly empty.
    BatteryLow,
    /// Nodes are taken down, or it was decided otherwise.
    ShutdownBegun,
    /// An outage, shutdown or drill has ended.
    ShutdownEnded,
    /// A UPS cannot be read.
    UpsUnknown,
    /// A UPS asks for a new battery.
    ReplaceBattery,
    /// The newest run of a backup failed.
    BackupFailed,
    /// The newest archive lacks what could not be read.
    BackupPartial,
    /// A backup is overdue.
    BackupLate,
    /// The newest archive is far smaller than those before.
    BackupShrunken,
    /// No archive was proved to be readable for long.
    BackupUnverified,
    /// A node cannot use a job as it is.
    BackupUnusable,
    /// The file system of the controller's state fills up.
    ControllerDisk,
    /// Many messages wait to be told.
    ControllerQueue,
    /// A channel does not take its messages.
    ChannelFailing,
}

/// What is known of a rule from the start.
#[derive(Debug)]
pub struct Shipped {
    /// Which.
    pub rule: Rule,
    /// Its name; stable.
    pub name: &'static str,
    /// Value from which on it is a warning; in percent, degrees Celsius, seconds, hours or messages.
    pub warning: Option<f64>,
    /// Value from which on it is critical.
    pub critical: Option<f64>,
    /// By so much a value must fall below its threshold again.
    pub margin: f64,
    /// Less is worse: all the above the other way round.
    pub less_is_worse: bool,
    /// How much it matters where there is no value.
    pub severity: Severity,
    /// How long it must stand before it fires, seconds.
    pub for_s: u64,
    /// How long it must be gone before it is over, seconds.
    pub resolve_s: u64,
    /// Told at once, without waiting for what else may come.
    pub urgent: bool,
    /// A moment and not a state: nobody is told that it is over.
    pub once: bool,
    /// What to do, for a person.
    pub advice: &'static str,
}

/// All rules, in the order of [`Rule`].
#[rustfmt::skip]
pub const RULES: &[Shipped] = &[
    Shipped { rule: Rule::NodeDown, name: "node-down", warning: None, critical: None, margin: 0.0, less_is_worse: false, severity: Severity::Critical, for_s: 0, resolve_s: 0, urgent: true, once: false,
        advice: "Look whether it has power and network; `ctl node show NODE` tells what it last said." },
    Shipped { rule: Rule::RebootedUncleanly, name: "node-rebooted-uncleanly", warning: None, critical: None, margin: 0.0, less_is_worse: false, severity: Severity::Warning, for_s: 0, resolve_s: 3600, urgent: false, once: true,
        advice: "Look at its power supply, and at `ctl events --node NODE`." },
    Shipped { rule: Rule::CpuHigh, name: "cpu-high", warning: Some(95.0), critical: None, margin: 10.0, less_is_worse: false, severity: Severity::Warning, for_s: 900, resolve_s: 60, urgent: false, once: false,
        advice: "Look what runs on it." },
    Shipped { rule: Rule::MemoryHigh, name: "memory-high", warning: Some(95.0), critical: None, margin: 3.0, less_is_worse: false, severity: Severity::Warning, for_s: 300, resolve_s: 60, urgent: false, once: false,
        advice: "Look what runs on it; give pods limits." },
    Shipped { rule: Rule::DiskFull, name: "disk-full", warning: Some(90.0), critical: Some(97.0), margin: 2.0, less_is_worse: false, severity: Severity::Warning, for_s: 60, resolve_s: 60, urgent: false, once: false,
        advice: "Remove what is not needed, such as old images and logs, or give it more room." },
    Shipped { rule: Rule::InodesFull, name: "inodes-full", warning: Some(90.0), critical: Some(97.0), margin: 2.0, less_is_worse: false, severity: Severity::Warning, for_s: 60, resolve_s: 60, urgent: false, once: false,
        advice: "Look for folders with very many small files." },
    Shipped { rule: Rule::DiskFullSoon, name: "disk-full-soon", warning: Some(24.0), critical: Some(4.0), margin: 2.0, less_is_worse: true, severity: Severity::Warning, for_s: 600, resolve_s: 1800, urgent: false, once: false,
        advice: "Look what grows, such as a log (`ctl node logs NODE`), before nothing can be written." },
    Shipped { rule: Rule::StorageHealth, name: "storage-health", warning: Some(80.0), critical: Some(100.0), margin: 0.0, less_is_worse: false, severity: Severity::Warning, for_s: 0, resolve_s: 0, urgent: false, once: false,
        advice: "Make sure that the last backup is good (`ctl backup archives`), and replace it." },
    Shipped { rule: Rule::Temperature, name: "temperature", warning: Some(80.0), critical: Some(90.0), margin: 5.0, less_is_worse: false, severity: Severity::Warning, for_s: 60, resolve_s: 60, urgent: false, once: false,
        advice: "Look at fan, dust and heat sink; at 85 °C a Raspberry Pi slows down." },
    Shipped { rule: Rule::UnderVoltage, name: "under-voltage", warning: None, critical: None, margin: 0.0, less_is_worse: false, severity: Severity::Critical, for_s: 0, resolve_s: 300, urgent: false, once: false,
        advice: "Use a stronger power supply and a shorter cable: cards are damaged by this." },
    Shipped { rule: Rule::Throttled, name: "throttled", warning: None, critical: None, margin: 0.0, less_is_worse: false, severity: Severity::Warning, for_s: 60, resolve_s: 300, urgent: false, once: false,
        advice: "Look at temperature and power supply." },
    Shipped { rule: Rule::FailedUnits, name: "failed-units", warning: None, critical: None, margin: 0.0, less_is_worse: false, severity: Severity::Warning, for_s: 60, resolve_s: 0, urgent: false, once: false,
        advice: "On the node: `systemctl --failed`, then `journalctl -u UNIT`." },
    Shipped { rule: Rule::K3sNotReady, name: "k3s-not-ready", warning: None, critical: None, margin: 0.0, less_is_worse: false, severity: Severity::Warning, for_s: 300, resolve_s: 60, urgent: false, once: false,
        advice: "`ctl node logs NODE -u k3s` or `-u k3s-agent` tells why." },
    Shipped { rule: Rule::K3sCordoned, name: "k3s-cordoned", warning: None, critical: None, margin: 0.0, less_is_worse: false, severity: Severity::Warning, for_s: 7200, resolve_s: 0, urgent: false, once: false,
        advice: "`ctl k3s uncordon NODE` lets pods come to it again." },
    Shipped { rule: Rule::K3sApiUnreachable, name: "k3s-api-unreachable", warning: None, critical: None, margin: 0.0, less_is_worse: false, severity: Severity::Warning, for_s: 120, resolve_s: 0, urgent: false, once: false,
        advice: "`ctl k3s status` tells why; without it nodes are not drained before they go down." },
    Shipped { rule: Rule::ReadOnlyRoot, name: "read-only-root", warning: None, critical: None, margin: 0.0, less_is_worse: false, severity: Severity::Critical, for_s: 0, resolve_s: 0, urgent: false, once: false,
        advice: "A card does this before it dies: save what is on it, and take a new one." },
    Shipped { rule: Rule::ClockSkew, name: "clock-skew", warning: Some(5.0), critical: None, margin: 1.0, less_is_worse: false, severity: Severity::Warning, for_s: 60, resolve_s: 30, urgent: false, once: false,
        advice: "Look whether the node's time is synchronised (`timedatectl`)." },
    Shipped { rule: Rule::CertificateEnding, name: "certificate-ending", warning: None, critical: None, margin: 0.0, less_is_worse: false, severity: Severity::Warning, for_s: 0, resolve_s: 0, urgent: false, once: false,
        advice: "A node renews by itself when it is connected; else `ctl node rejoin NODE`." },
    Shipped { rule: Rule::OnBattery, name: "on-battery", warning: None, critical: None, margin: 0.0, less_is_worse: false, severity: Severity::Warning, for_s: 0, resolve_s: 0, urgent: true, once: false,
        advice: "`ctl power status` tells how long the battery lasts and when nodes are taken down." },
    Shipped { rule: Rule::BatteryLow, name: "battery-low", warning: None, critical: None, margin: 0.0, less_is_worse: false, severity: Severity::Critical, for_s: 0, resolve_s: 0, urgent: true, once: false,
        advice: "The fleet is taken down now, unless mains comes back." },
    Shipped { rule: Rule::ShutdownBegun, name: "shutdown-begun", warning: None, critical: None, margin: 0.0, less_is_worse: false, severity: Severity::Critical, for_s: 0, resolve_s: 3600, urgent: true, once: true,
        advice: "`ctl power status` shows how far it is, `ctl power abort` ends it." },
    Shipped { rule: Rule::ShutdownEnded, name: "shutdown-ended", warning: None, critical: None, margin: 0.0, less_is_worse: false, severity: Severity::Warning, for_s: 0, resolve_s: 3600, urgent: true, once: true,
        advice: "`ctl status` shows whether all nodes are back, `ctl power history` what happened." },
    Shipped { rule: Rule::UpsUnknown, name: "ups-unknown", warning: None, critical: None, margin: 0.0, less_is_worse: false, severity: Severity::Warning, for_s: 30, resolve_s: 0, urgent: false, once: false,
        advice: "Look at the cable and at upsd: a loss of mains may not be seen." },
    Shipped { rule: Rule::ReplaceBattery, name: "replace-battery", warning: None, critical: None, margin: 0.0, less_is_worse: false, severity: Severity::Warning, for_s: 0, resolve_s: 0, urgent: false, once: false,
        advice: "Replace the battery: it may not last through a shutdown." },
    Shipped { rule: Rule::BackupFailed, name: "backup-failed", warning: None, critical: None, margin: 0.0, less_is_worse: false, severity: Severity::Critical, for_s: 0, resolve_s: 0, urgent: false, once: false,
        advice: "`ctl backup history` tells why." },
    Shipped { rule: Rule::BackupPartial, name: "backup-partial", warning: None, critical: None, margin: 0.0, less_is_worse: false, severity: Severity::Warning, for_s: 0, resolve_s: 0, urgent: false, once: false,
        advice: "`ctl backup history` tells which files." },
    Shipped { rule: Rule::BackupLate, name: "backup-late", warning: None, critical: None, margin: 0.0, less_is_worse: false, severity: Severity::Warning, for_s: 0, resolve_s: 0, urgent: false, once: false,
        advice: "Look whether the node is up: `ctl backup jobs`." },
    Shipped { rule: Rule::BackupShrunken, name: "backup-shrunken", warning: None, critical: None, margin: 0.0, less_is_worse: false, severity: Severity::Warning, for_s: 0, resolve_s: 0, urgent: false, once: false,
        advice: "Look whether something is missing: `ctl backup archives`." },
    Shipped { rule: Rule::BackupUnverified, name: "backup-unverified", warning: None, critical: None, margin: 0.0, less_is_worse: false, severity: Severity::Warning, for_s: 0, resolve_s: 0, urgent: false, once: false,
        advice: "`ctl backup verify` reads one back." },
    Shipped { rule: Rule::BackupUnusable, name: "backup-unusable", warning: None, critical: None, margin: 0.0, less_is_worse: false, severity: Severity::Warning, for_s: 0, resolve_s: 0, urgent: false, once: false,
        advice: "`ctl backup jobs` tells what is wrong with it." },
    Shipped { rule: Rule::ControllerDisk, name: "controller-disk", warning: Some(90.0), critical: Some(95.0), margin: 1.0, less_is_worse: false, severity: Severity::Warning, for_s: 60, resolve_s: 60, urgent: false, once: false,
        advice: "Make room: without it the controller cannot remember anything." },
    Shipped { rule: Rule::ControllerQueue, name: "controller-queue", warning: Some(100.0), critical: Some(5000.0), margin: 20.0, less_is_worse: false, severity: Severity::Warning, for_s: 300, resolve_s: 60, urgent: false, once: false,
        advice: "`ctl alerts test` tells which channel does not take its messages." },
    Shipped { rule: Rule::ChannelFailing, name: "channel-failing", warning: None, critical: None, margin: 0.0, less_is_worse: false, severity: Severity::Warning, for_s: 0, resolve_s: 0, urgent: false, once: false,
        advice: "`ctl alerts test CHANNEL` tells why." },
];
