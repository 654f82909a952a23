use crate::v1;

/// A measurement whose numbers are finite and whose lists and texts are bounded.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample(pub(crate) v1::Sample);

impl Sample {
    /// The wire form.
    pub fn as_wire(&self) -> &v1::Sample {
        &self.0
    }

    /// Used memory in percent of all: what cannot be had without swapping.
    pub fn memory_used_percent(&self) -> Option<f32> {
        let memory = self.0.memory.as_ref()?;
        let used = memory.total_bytes.checked_sub(memory.available_bytes)?;
        percent(used, memory.total_bytes)
    }

    /// The fullest writable file system: its share in use in percent as `df` shows it, and its mount point.
    pub fn fullest_file_system(&self) -> Option<(f32, &str)> {
        self.0
            .file_systems
            .iter()
            .filter(|fs| !fs.read_only)
            .filter_map(|fs| {
                let share = percent(fs.used_bytes, fs.used_bytes.saturating_add(fs.available_bytes))?;
                Some((share, fs.mount_point.as_str()))
            })
            .max_by(|a, b| a.0.total_cmp(&b.0))
    }

    /// The hottest sensor's temperature, degrees Celsius.
    pub fn hottest_celsius(&self) -> Option<f32> {
        self.0.temperatures.iter().map(|sensor| sensor.celsius).max_by(f32::total_cmp)
    }
}

/// `part` in percent of `whole`; none of nothing.
fn percent(part: u64, whole: u64) -> Option<f32> {
    (whole > 0).then(|| (part as f64 / whole as f64 * 100.0) as f32)
}

#[cfg(test)]
mod tests {
    use crate::model::Sample;
    use crate::v1;

    #[test]
    fn figures_are_absent_without_their_source() {
        let empty = Sample(v1::Sample::default());
        assert_eq!(empty.memory_used_percent(), None);
        assert_eq!(empty.fullest_file_system(), None);
        assert_eq!(empty.hottest_celsius(), None);
    }

    #[test]
    fn the_fullest_writable_file_system_counts() {
        let fs = |mount: &str, used, available, read_only| v1::FileSystem {
            mount_point: mount.to_owned(),
            used_bytes: used,
            available_bytes: available,
            read_only,
            ..v1::FileSystem::default()
        };
        let file_systems = vec![fs("/", 30, 70, false), fs("/snap", 1, 0, true), fs("/data", 75, 25, false)];
        let sample = Sample(v1::Sample { file_systems, ..v1::Sample::default() });
        assert_eq!(sample.fullest_file_system(), Some((75.0, "/data")));
    }
}
