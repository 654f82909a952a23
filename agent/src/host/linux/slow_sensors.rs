use std::fs::File;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::thread;

use rackhaven_proto::v1;

use super::file::read_value;
use super::sensors::{Sensor, celsius};

/// How often the slow sensors are read.
const PERIOD_MS: u64 = 60_000;
/// When a reading is too old to be shown.
const STALE_MS: u64 = 3 * PERIOD_MS;
/// Reading a few files needs little.
const STACK_BYTES: usize = 64 * 1024;

/// Reads sensors that may take long, on a thread that lives only as long as one reading. A thread that hangs in a dying
/// disk hangs alone: no second one is started, and what it should have read is absent before long.
pub(super) struct SlowSensors {
    sensors: Arc<[Sensor]>,
    running: Option<Receiver<Vec<v1::Temperature>>>,
    next_ms: u64,
    latest: Vec<v1::Temperature>,
    latest_ms: u64,
}

impl SlowSensors {
    pub(super) fn new() -> Self {
        Self { sensors: Arc::new([]), running: None, next_ms: 0, latest: Vec::new(), latest_ms: 0 }
    }

    /// The sensors to be read from now on.
    pub(super) fn replace(&mut self, sensors: Vec<Sensor>) {
        self.sensors = sensors.into();
        self.latest.clear();
        self.next_ms = 0;
    }

    /// The last readings, which are absent at first. Never waits.
    pub(super) fn latest(&mut self, now_ms: u64) -> &[v1::Temperature] {
        match self.running.as_ref().map(Receiver::try_recv) {
            Some(Ok(readings)) => {
                self.latest = readings;
                self.latest_ms = now_ms;
                self.running = None;
            }
            Some(Err(TryRecvError::Disconnected)) => self.running = None,
            Some(Err(TryRecvError::Empty)) | None => {}
        }
        if now_ms.saturating_sub(self.latest_ms) > STALE_MS {
            self.latest.clear();
        }
        if self.running.is_none() && now_ms >= self.next_ms && !self.sensors.is_empty() {
            self.next_ms = now_ms.saturating_add(PERIOD_MS);
            self.running = start(Arc::clone(&self.sensors));
        }
        &self.latest
    }
}

fn start(sensors: Arc<[Sensor]>) -> Option<Receiver<Vec<v1::Temperature>>> {
    let (sender, receiver) = sync_channel(1);
    let read = move || {
        let readings = sensors.iter().filter_map(|sensor| {
            let file = File::open(&sensor.path).ok()?;
            Some(v1::Temperature { sensor: sensor.name.clone(), celsius: read_value(&file, celsius)? })
        });
        // No one waits for it any more once the probe is gone.
        let _ = sender.send(readings.collect());
    };
    thread::Builder::new().name("slow-sensors".to_owned()).stack_size(STACK_BYTES).spawn(read).ok()?;
    Some(receiver)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::thread::yield_now;

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    use super::{STALE_MS, Sensor, SlowSensors};

    #[test]
    fn readings_come_later_and_grow_stale() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/host/linux/fixtures/x86/sys/class/hwmon/hwmon1");
        let mut slow = SlowSensors::new();
        slow.replace(vec![Sensor { name: "nvme0".to_owned(), path: path.join("temp1_input") }]);
        assert!(slow.latest(1_000).is_empty());
        while slow.latest(1_000).is_empty() {
            yield_now();
        }
        assert_eq!(slow.latest(1_001)[0].celsius, 38.85);
        slow.sensors = [].into();
        assert_eq!(slow.latest(1_000 + STALE_MS).len(), 1);
        assert!(slow.latest(1_001 + STALE_MS).is_empty());
    }

    #[test]
    fn a_sensor_that_hangs_holds_up_one_thread_only() {
        let path = std::env::temp_dir().join(format!("rackhaven-hanging-sensor-{}", std::process::id()));
        // Opening a pipe that no one writes to waits for ever.
        mkfifo(&path, Mode::S_IRWXU).unwrap();
        let mut slow = SlowSensors::new();
        slow.replace(vec![Sensor { name: "dying".to_owned(), path: path.clone() }]);
        for minute in 0..10 {
            assert!(slow.latest(minute * 60_000).is_empty());
            assert!(slow.running.is_some());
        }
        assert_eq!(slow.next_ms, 60_000);
        // Lets the thread end.
        drop(std::fs::OpenOptions::new().write(true).open(&path).unwrap());
        std::fs::remove_file(&path).unwrap();
    }
}
