//! All metrics: their names, labels, and what they mean. `docs/metrics.md` shows the same table.

/// How a metric behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Goes up and down.
    Gauge,
    /// Only grows, but for a restart of what counts.
    Counter,
    /// Always 1; its labels are what it says.
    Info,
}

/// A metric with all its series.
#[derive(Debug, PartialEq, Eq)]
pub struct Family {
    /// Its name without the suffix of its kind.
    pub name: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// The names of its labels, in the order in which values are given.
    pub labels: &'static [&'static str],
    /// For a person; without quotes, backslashes and line feeds.
    pub help: &'static str,
}

impl Kind {
    /// The kind's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
            Self::Info => "info",
        }
    }

    /// What a sample's name ends with.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Gauge => "",
            Self::Counter => "_total",
            Self::Info => "_info",
        }
    }
}

impl Family {
    /// The name of its samples.
    pub fn sample_name(&self) -> String {
        format!("{}{}", self.name, self.kind.suffix())
    }

    /// Its unit, which its name ends with; none for what has none.
    pub fn unit(&self) -> Option<&'static str> {
        const UNITS: [&str; 5] = ["bytes", "celsius", "ratio", "seconds", "volts"];
        UNITS.into_iter().find(|unit| self.name.strip_suffix(unit).is_some_and(|rest| rest.ends_with('_')))
    }
}

macro_rules! families {
    ($($constant:ident = $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(pub(super) const $constant: Family =
            Family { name: $name, kind: Kind::$kind, labels: &[$($label),*], help: $help };)*

        /// Every metric, in the order in which they are written.
        pub const ALL: &[Family] = &[$($constant),*];
    };
}

families! {
    BUILD = Info "rackhaven_build" ["version"]
        "The controller's version.";
    CLUSTER = Info "rackhaven_cluster" ["cluster", "id"]
        "The cluster's name and id.";
    VERDICT = Gauge "rackhaven_verdict" ["verdict"]
        "1 for the verdict of ctl status that holds: ok, degraded or critical.";

    NODE_UP = Gauge "rackhaven_node_up" ["node"]
        "1 if heartbeats come (up or suspect). What is measured on a node is exported only then.";
    NODE_STATE = Gauge "rackhaven_node_state" ["node", "state"]
        "1 for the state that the node is in: up, suspect, down, off (as it was told) or unknown.";
    NODE = Info "rackhaven_node" ["node", "arch", "version", "os", "kernel", "model"]
        "What the node is, and its agent's version.";
    NODE_LABELS = Gauge "rackhaven_node_labels" ["node"]
        "Always 1; each label of the node is a label label_KEY, with _ for what Prometheus does not allow in a name.";
    NODE_LAST_SEEN = Gauge "rackhaven_node_last_seen_timestamp_seconds" ["node"]
        "When the node was last heard.";
    NODE_SAMPLE_TIME = Gauge "rackhaven_node_sample_timestamp_seconds" ["node"]
        "When the node's newest measurements arrived.";
    NODE_CERTIFICATE = Gauge "rackhaven_node_certificate_expiry_timestamp_seconds" ["node"]
        "When the node's certificate ends.";
    NODE_SKEW = Gauge "rackhaven_node_clock_skew_seconds" ["node"]
        "The node's clock minus the controller's.";
    NODE_UPTIME = Gauge "rackhaven_node_uptime_seconds" ["node"]
        "Since the node booted.";
    NODE_CPUS = Gauge "rackhaven_node_cpus" ["node"]
        "Logical cores of the node.";
    NODE_CPU = Gauge "rackhaven_node_cpu_usage_ratio" ["node"]
        "Share of all cores that was busy between the last two samples.";
    NODE_CORE = Gauge "rackhaven_node_cpu_core_usage_ratio" ["node", "core"]
        "The same for one core.";
    NODE_LOAD1 = Gauge "rackhaven_node_load1" ["node"]
        "Load average over 1 minute.";
    NODE_LOAD5 = Gauge "rackhaven_node_load5" ["node"]
        "Load average over 5 minutes.";
    NODE_LOAD15 = Gauge "rackhaven_node_load15" ["node"]
        "Load average over 15 minutes.";
    NODE_MEMORY = Gauge "rackhaven_node_memory_size_bytes" ["node"]
        "All memory.";
    NODE_MEMORY_AVAILABLE = Gauge "rackhaven_node_memory_available_bytes" ["node"]
        "What can be had without swapping.";
    NODE_SWAP = Gauge "rackhaven_node_swap_size_bytes" ["node"]
        "All swap space.";
    NODE_SWAP_USED = Gauge "rackhaven_node_swap_used_bytes" ["node"]
        "Swap space in use.";
    NODE_PRESSURE = Gauge "rackhaven_node_pressure_ratio" ["node", "resource", "waiting"]
        "Share of the last 10 s in which some or all (full) tasks waited for cpu, memory or io.";
    NODE_FS_SIZE = Gauge "rackhaven_node_filesystem_size_bytes" ["node", "mountpoint", "fstype"]
        "Size of a file system.";
    NODE_FS_USED = Gauge "rackhaven_node_filesystem_used_bytes" ["node", "mountpoint", "fstype"]
        "What is used of it.";
    NODE_FS_AVAIL = Gauge "rackhaven_node_filesystem_avail_bytes" ["node", "mountpoint", "fstype"]
        "What others than root can still write.";
    NODE_FS_INODES = Gauge "rackhaven_node_filesystem_inodes" ["node", "mountpoint", "fstype"]
        "Its inodes; absent where their number is not fixed.";
    NODE_FS_INODES_USED = Gauge "rackhaven_node_filesystem_inodes_used" ["node", "mountpoint", "fstype"]
        "Inodes in use.";
    NODE_FS_READ_ONLY = Gauge "rackhaven_node_filesystem_readonly" ["node", "mountpoint", "fstype"]
        "1 if it is mounted read-only.";
    NODE_DISK_READ = Counter "rackhaven_node_disk_read_bytes" ["node", "device"]
        "Read from a disk since the node booted.";
    NODE_DISK_WRITTEN = Counter "rackhaven_node_disk_written_bytes" ["node", "device"]
        "Written to a disk since the node booted.";
    NODE_DISK_BUSY = Gauge "rackhaven_node_disk_busy_ratio" ["node", "device"]
        "Share of the time between the last two samples in which the disk had work.";
    NODE_NETWORK_RECEIVED = Counter "rackhaven_node_network_receive_bytes" ["node", "device"]
        "Received by a network interface since the node booted.";
    NODE_NETWORK_SENT = Counter "rackhaven_node_network_transmit_bytes" ["node", "device"]
        "Sent by a network interface since the node booted.";
    NODE_NETWORK_ERRORS = Counter "rackhaven_node_network_errors" ["node", "device"]
        "Errors and drops of a network interface since the node booted, both directions.";
    NODE_TEMPERATURE = Gauge "rackhaven_node_temperature_celsius" ["node", "sensor"]
        "Temperature at a sensor.";
    NODE_STORAGE_FAILING = Gauge "rackhaven_node_storage_failing" ["node", "device"]
        "1 if a disk or card says itself that it fails.";
    NODE_STORAGE_LIFE = Gauge "rackhaven_node_storage_used_life_ratio" ["node", "device"]
        "Share of the life its maker foresaw that is used up; may be above 1.";
    NODE_STORAGE_SECTORS = Gauge "rackhaven_node_storage_bad_sectors" ["node", "device"]
        "Sectors that could not be read or were replaced.";
    NODE_STORAGE_ERRORS = Gauge "rackhaven_node_storage_filesystem_errors" ["node", "device"]
        "Errors that file systems on it have met since they were checked last.";
    NODE_STORAGE_TEMPERATURE = Gauge "rackhaven_node_storage_temperature_celsius" ["node", "device"]
        "Its temperature.";
    NODE_UNDER_VOLTAGE = Gauge "rackhaven_node_under_voltage" ["node"]
        "1 if the firmware sees too low a voltage now.";
    NODE_UNDER_VOLTAGE_BOOT = Gauge "rackhaven_node_under_voltage_since_boot" ["node"]
        "1 if it has seen it since the node booted.";
    NODE_THROTTLED = Gauge "rackhaven_node_throttled" ["node"]
        "1 if the firmware slows the board down now.";
    NODE_THROTTLED_BOOT = Gauge "rackhaven_node_throttled_since_boot" ["node"]
        "1 if it has done so since the node booted.";
    NODE_CAPPED = Gauge "rackhaven_node_frequency_capped" ["node"]
        "1 if the firmware caps the clock frequency now.";
    NODE_SOFT_LIMIT = Gauge "rackhaven_node_soft_temperature_limit" ["node"]
        "1 if the firmware's soft limit of temperature is in effect.";
    NODE_FAILED_UNITS = Gauge "rackhaven_node_failed_units" ["node"]
        "Units of systemd that have failed.";
    NODE_K3S = Gauge "rackhaven_node_k3s_unit_state" ["node", "unit", "state"]
        "1 for the state of the unit of K3s: active, activating, failed or inactive; absent where K3s is not installed.";
    NODE_AGENT_MEMORY = Gauge "rackhaven_node_agent_resident_memory_bytes" ["node"]
        "Resident memory of the agent.";
    NODE_AGENT_CPU = Gauge "rackhaven_node_agent_cpu_usage_ratio" ["node"]
        "Share of one core that the agent took between the last two samples.";

    K3S_API = Gauge "rackhaven_k3s_api_up" []
        "1 if K3s's API answers; absent where the controller knows no K3s.";
    K3S_NODE = Info "rackhaven_k3s_node" ["node", "name", "role", "version"]
        "A node of K3s: the fleet's name for it, or the cluster's where it is none of the fleet; the cluster's; server or agent; its kubelet's version.";
    K3S_READY = Gauge "rackhaven_k3s_node_ready" ["node"]
        "1 if K3s's API has it as ready; absent, as all below, while the API does not answer.";
    K3S_SCHEDULABLE = Gauge "rackhaven_k3s_node_schedulable" ["node"]
        "1 if new pods may come to it, 0 if it is cordoned.";
    K3S_PODS = Gauge "rackhaven_k3s_node_pods" ["node"]
        "Pods on it that have not ended; counted each minute.";

    POWER_SUPPLY = Gauge "rackhaven_power_supply" ["supply"]
        "1 for what the rack runs on: mains, battery or unknown.";
    POWER_PHASE = Gauge "rackhaven_power_phase" ["phase"]
        "1 for the phase that holds: normal, on-battery, shutting-down or restoring.";
    POWER_LEFT = Gauge "rackhaven_power_runtime_left_seconds" []
        "What is left in the battery as far as it can be known; absent on mains.";
    POWER_BEGINS = Gauge "rackhaven_power_shutdown_begins_seconds" []
        "Until the shutdown begins if nothing changes; absent on mains and once it has begun.";
    POWER_PATH = Gauge "rackhaven_power_shutdown_expected_seconds" []
        "What the shutdown of all takes by what was learnt.";
    POWER_MARGIN = Gauge "rackhaven_power_margin_seconds" []
        "What is kept in reserve on top of it.";
    POWER_OUTAGE = Gauge "rackhaven_power_outage_start_timestamp_seconds" ["kind"]
        "When the outage, manual shutdown or drill that goes on began.";
    POWER_OUTAGE_NODES = Gauge "rackhaven_power_outage_nodes" ["state"]
        "Nodes of the outage that goes on, by how far they are.";
    WITNESS_UP = Gauge "rackhaven_power_witness_up" ["witness"]
        "1 if a witness of mains answers.";
    UPS_UP = Gauge "rackhaven_ups_up" ["ups"]
        "1 if the UPS can be read. The rest of it is exported only then.";
    UPS = Info "rackhaven_ups" ["ups", "model"]
        "What the UPS is.";
    UPS_STATUS = Gauge "rackhaven_ups_status" ["ups", "flag"]
        "1 if the flag is among those of ups.status, such as OL, OB, LB, RB.";
    UPS_CHARGE = Gauge "rackhaven_ups_battery_charge_ratio" ["ups"]
        "Charge of the battery.";
    UPS_RUNTIME = Gauge "rackhaven_ups_battery_runtime_seconds" ["ups"]
        "How long the battery lasts, as the UPS tells it; absent where it tells none or 0.";
    UPS_LOAD = Gauge "rackhaven_ups_load_ratio" ["ups"]
        "Load, of what the UPS can carry.";
    UPS_INPUT = Gauge "rackhaven_ups_input_voltage_volts" ["ups"]
        "Voltage of the mains.";
    UPS_BATTERY_VOLTS = Gauge "rackhaven_ups_battery_voltage_volts" ["ups"]
        "Voltage of the battery.";
    UPS_TEMPERATURE = Gauge "rackhaven_ups_temperature_celsius" ["ups"]
        "Temperature of the UPS.";

    BACKUP_JOB = Info "rackhaven_backup_job" ["node", "backup", "engine", "repository"]
        "A backup job, as its node tells it.";
    BACKUP_SUCCESS = Gauge "rackhaven_backup_last_success_timestamp_seconds" ["node", "backup"]
        "End of the newest save that went well; absent if there was none.";
    BACKUP_DURATION = Gauge "rackhaven_backup_last_success_duration_seconds" ["node", "backup"]
        "How long it took.";
    BACKUP_READ = Gauge "rackhaven_backup_last_success_read_bytes" ["node", "backup"]
        "How much it read.";
    BACKUP_STORED = Gauge "rackhaven_backup_last_success_stored_bytes" ["node", "backup"]
        "How much it stored.";
    BACKUP_RUN = Gauge "rackhaven_backup_last_run_timestamp_seconds" ["node", "backup"]
        "End of the newest save, however it went.";
    BACKUP_NEXT = Gauge "rackhaven_backup_next_run_timestamp_seconds" ["node", "backup"]
        "When it is to run next; absent for what is run by hand.";
    BACKUP_RUNNING = Gauge "rackhaven_backup_running" ["node", "backup"]
        "1 if a run of it is under way.";
    BACKUP_TROUBLE = Gauge "rackhaven_backup_trouble" ["node", "backup", "trouble"]
        "1 for each trouble that stands: failed, partial, late, shrunken, unverified, unusable.";

    ALERTS = Gauge "rackhaven_alerts_firing" ["rule", "severity"]
        "Alerts that fire, silenced ones too.";
    OUTBOX = Gauge "rackhaven_alerts_outbox_messages" ["channel"]
        "What waits to be told through a channel.";

    SESSIONS = Gauge "rackhaven_controller_sessions" []
        "Agents with an open session.";
    CONNECTIONS = Gauge "rackhaven_controller_connections" []
        "Open connections of agents and users.";
    SERVER_CERTIFICATE = Gauge "rackhaven_controller_certificate_expiry_timestamp_seconds" []
        "When the controller's own certificate ends.";
    DISK_SIZE = Gauge "rackhaven_controller_filesystem_size_bytes" []
        "Size of the file system of the controller's state.";
    DISK_AVAIL = Gauge "rackhaven_controller_filesystem_avail_bytes" []
        "What can still be written there.";
    DATABASE = Gauge "rackhaven_controller_database_size_bytes" ["database"]
        "Size of a database with its log.";
    PROCESS_CPU = Counter "process_cpu_seconds" []
        "CPU time that the controller has used.";
    PROCESS_MEMORY = Gauge "process_resident_memory_bytes" []
        "Resident memory of the controller.";
    PROCESS_FDS = Gauge "process_open_fds" []
        "Open file descriptors of the controller.";
    PROCESS_MAX_FDS = Gauge "process_max_fds" []
        "As many as it may have.";
    PROCESS_START = Gauge "process_start_time_seconds" []
        "When the controller started, since 1970-01-01 UTC.";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{ALL, Kind};

    #[test]
    fn names_are_conventional() {
        let mut names = BTreeSet::new();
        for family in ALL {
            assert!(names.insert(family.sample_name()), "{} is there twice", family.name);
            let ours = family.name.starts_with("rackhaven_") || family.name.starts_with("process_");
            let plain =
                family.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
            assert!(ours && plain, "{}", family.name);
            for ending in ["_total", "_info", "_count", "_sum", "_bucket", "_created", "_percent", "_ms"] {
                assert!(!family.name.ends_with(ending), "{} ends with {ending}", family.name);
            }
            assert!(family.kind != Kind::Info || family.unit().is_none(), "{}", family.name);
            assert!(family.help.ends_with('.') && !family.help.contains(['\\', '"', '\n']), "{}", family.help);
        }
    }
}
