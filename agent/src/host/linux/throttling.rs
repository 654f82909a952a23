use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;

use rackhaven_proto::v1;

use super::Roots;
use super::file::read_value;
use super::parse::hexadecimal;
use crate::host::sys;

/// The voltage is below the limit now. The flag of its having happened stands 16 bits higher, for all of these.
const UNDER_VOLTAGE: u32 = 1 << 0;
const FREQUENCY_CAPPED: u32 = 1 << 1;
const THROTTLED: u32 = 1 << 2;
const SOFT_TEMPERATURE_LIMIT: u32 = 1 << 3;
/// How far up the flags of what happened since boot are.
const SINCE_BOOT_SHIFT: u32 = 16;

/// Asks a Raspberry Pi's firmware whether it slows the board down, and why.
pub(super) struct Throttling {
    // sysfs was seen to say 0 while the firmware said otherwise (raspberrypi/linux#2367), so the firmware goes first.
    mailbox: Option<File>,
    sysfs: Option<File>,
    // The kernel's voltage driver makes the firmware forget every two seconds, so what has been is remembered here.
    since_boot: u32,
}

impl Throttling {
    pub(super) fn new() -> Self {
        Self { mailbox: None, sysfs: None, since_boot: 0 }
    }

    /// Looks for the firmware, if it is not known yet. Boards of other makers have none, which costs two failed calls.
    pub(super) fn discover(&mut self, roots: &Roots) {
        let open = |root: &Path, path: &str| File::open(root.join(path)).ok();
        self.mailbox = self.mailbox.take().or_else(|| open(&roots.dev, "vcio"));
        self.sysfs = self.sysfs.take().or_else(|| open(&roots.sys, "devices/platform/soc/soc:firmware/get_throttled"));
    }

    /// The flags. `voltage_alarm` is what the kernel's voltage driver says; where a kernel has neither mailbox nor
    /// sysfs, it is all that is known, and the voltage all that is told.
    pub(super) fn measure(&mut self, voltage_alarm: Option<bool>) -> Option<v1::Throttling> {
        let mailbox = self.mailbox.as_ref().and_then(|mailbox| sys::firmware_throttling(mailbox.as_fd()).ok());
        let flags = mailbox.or_else(|| read_value(self.sysfs.as_ref()?, hexadecimal));
        if flags.is_none() && voltage_alarm.is_none() {
            return None;
        }
        let alarm = if voltage_alarm == Some(true) { UNDER_VOLTAGE } else { 0 };
        // Without the firmware the alarm, which lasts two seconds, is the only word on the present.
        let now = flags.unwrap_or(alarm);
        self.since_boot |= now | (now >> SINCE_BOOT_SHIFT) | alarm;
        Some(describe(now, self.since_boot))
    }
}

fn describe(now: u32, since_boot: u32) -> v1::Throttling {
    v1::Throttling {
        under_voltage_now: now & UNDER_VOLTAGE != 0,
        frequency_capped_now: now & FREQUENCY_CAPPED != 0,
        throttled_now: now & THROTTLED != 0,
        soft_temperature_limit_now: now & SOFT_TEMPERATURE_LIMIT != 0,
        under_voltage_since_boot: since_boot & UNDER_VOLTAGE != 0,
        throttled_since_boot: since_boot & THROTTLED != 0,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::Throttling;
    use crate::host::linux::Roots;

    fn on(host: &str) -> Throttling {
        let sys = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/host/linux/fixtures").join(host).join("sys");
        let mut throttling = Throttling::new();
        throttling.discover(&Roots { sys, dev: "/nowhere".into(), ..Roots::default() });
        throttling
    }

    #[test]
    fn other_boards_have_none() {
        assert_eq!(on("x86").measure(None), None);
    }

    #[test]
    fn what_has_been_is_remembered() {
        let mut pi4 = on("pi4");
        let first = pi4.measure(Some(false)).unwrap();
        assert!(first.under_voltage_now && first.under_voltage_since_boot && first.throttled_now);
        assert!(!first.frequency_capped_now && !first.soft_temperature_limit_now);
        // The kernel's driver has made the firmware forget.
        pi4.sysfs = None;
        let later = pi4.measure(Some(false)).unwrap();
        assert!(!later.under_voltage_now && later.under_voltage_since_boot && later.throttled_since_boot);
    }

    #[test]
    fn the_alarm_catches_a_dip_between_two_samples() {
        let mut board = on("x86");
        assert!(board.measure(Some(true)).is_some_and(|flags| flags.under_voltage_now));
        assert!(
            board.measure(Some(false)).is_some_and(|flags| !flags.under_voltage_now && flags.under_voltage_since_boot)
        );
    }
}
