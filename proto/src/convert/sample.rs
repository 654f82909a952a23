use crate::model::{Invalid, Sample, plain_text};
use crate::v1;

/// Most entries of one list in a sample.
const MAX_ENTRIES: usize = 256;
/// Longest name or path, in bytes.
const MAX_TEXT_BYTES: usize = 256;

fn bounded<T>(field: &str, list: &[T]) -> Result<(), Invalid> {
    if list.len() > MAX_ENTRIES {
        return Err(Invalid::new(field, format!("{} entries, at most {MAX_ENTRIES} are allowed", list.len())));
    }
    Ok(())
}

fn finite(field: &str, number: f64) -> Result<(), Invalid> {
    if number.is_finite() { Ok(()) } else { Err(Invalid::new(field, format!("{number} is not a finite number"))) }
}

fn share(field: &str, percent: f32) -> Result<(), Invalid> {
    if (0.0..=100.0).contains(&percent) {
        Ok(())
    } else {
        Err(Invalid::new(field, format!("{percent} is not between 0 and 100")))
    }
}

impl TryFrom<v1::Sample> for Sample {
    type Error = Invalid;

    fn try_from(wire: v1::Sample) -> Result<Self, Invalid> {
        bounded("sample.file_systems", &wire.file_systems)?;
        bounded("sample.disks", &wire.disks)?;
        bounded("sample.networks", &wire.networks)?;
        bounded("sample.temperatures", &wire.temperatures)?;
        finite("sample.uptime_seconds", wire.uptime_seconds)?;
        if let Some(cpu) = &wire.cpu {
            bounded("sample.cpu.core_percent", &cpu.core_percent)?;
            share("sample.cpu.total_percent", cpu.total_percent)?;
            cpu.core_percent.iter().try_for_each(|core| share("sample.cpu.core_percent", *core))?;
        }
        if let Some(load) = &wire.load {
            for average in [load.one, load.five, load.fifteen] {
                finite("sample.load", average.into())?;
            }
        }
        if let Some(pressure) = &wire.pressure {
            for percent in [
                pressure.cpu_some_percent,
                pressure.memory_some_percent,
                pressure.memory_full_percent,
                pressure.io_some_percent,
                pressure.io_full_percent,
            ]
            .into_iter()
            .flatten()
            {
                share("sample.pressure", percent)?;
            }
        }
        for fs in &wire.file_systems {
            plain_text("sample.file_systems.mount_point", &fs.mount_point, MAX_TEXT_BYTES)?;
            plain_text("sample.file_systems.fs_type", &fs.fs_type, MAX_TEXT_BYTES)?;
        }
        for disk in &wire.disks {
            plain_text("sample.disks.name", &disk.name, MAX_TEXT_BYTES)?;
            share("sample.disks.busy_percent", disk.busy_percent)?;
        }
        for network in &wire.networks {
            plain_text("sample.networks.name", &network.name, MAX_TEXT_BYTES)?;
        }
        for temperature in &wire.temperatures {
            plain_text("sample.temperatures.sensor", &temperature.sensor, MAX_TEXT_BYTES)?;
            finite("sample.temperatures.celsius", temperature.celsius.into())?;
        }
        if let Some(units) = &wire.units {
            bounded("sample.units.failed", &units.failed)?;
            units.failed.iter().try_for_each(|unit| plain_text("sample.units.failed", unit, MAX_TEXT_BYTES))?;
        }
        if let Some(agent) = &wire.agent {
            finite("sample.agent.cpu_percent", agent.cpu_percent.into())?;
        }
        bounded("sample.storage", &wire.storage)?;
        for storage in &wire.storage {
            plain_text("sample.storage.device", &storage.device, MAX_TEXT_BYTES)?;
            plain_text("sample.storage.model", &storage.model, MAX_TEXT_BYTES)?;
            finite("sample.storage.used_life_percent", storage.used_life_percent.unwrap_or(0.0).into())?;
            finite("sample.storage.celsius", storage.celsius.unwrap_or(0.0).into())?;
        }
        if let Some(k3s) = &wire.k3s {
            plain_text("sample.k3s.unit", &k3s.unit, MAX_TEXT_BYTES)?;
            plain_text("sample.k3s.state", &k3s.state, MAX_TEXT_BYTES)?;
        }
        Ok(Self(wire))
    }
}
