use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rackhaven_proto::v1;

use super::file::{names_in, read_once, read_value};
use super::parse::{integer, printable};
use super::slow_sensors::SlowSensors;

/// Most sensors that are reported.
const MAX_SENSORS: usize = 32;
/// Longest name of a sensor; the kernel's own are far shorter.
const MAX_NAME_BYTES: usize = 128;

/// One temperature and where to read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sensor {
    pub(super) name: String,
    pub(super) path: PathBuf,
}

/// What the board has.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    /// On the processor's die: reading takes a look at a register.
    quick: Vec<Sensor>,
    /// Behind a bus or the firmware: reading waits for another device, a dying disk for up to a minute.
    slow: Vec<Sensor>,
    /// The Raspberry Pi's own alarm of too low a voltage.
    voltage_alarm: Option<PathBuf>,
}

/// Measures the temperatures.
pub(super) struct Sensors {
    listing: Vec<String>,
    quick: Vec<(String, File)>,
    slow: SlowSensors,
    voltage_alarm: Option<File>,
}

impl Sensors {
    pub(super) fn new() -> Self {
        Self { listing: Vec::new(), quick: Vec::new(), slow: SlowSensors::new(), voltage_alarm: None }
    }

    /// Looks which sensors there are, and opens them if that has changed.
    pub(super) fn discover(&mut self, sys: &Path) {
        let classes = ["thermal", "hwmon"].map(|class| sys.join("class").join(class));
        // A device that comes back gets a new number, so that equal names are the same devices.
        let listing: Vec<String> = classes.iter().flat_map(|class| names_in(class)).collect();
        if listing == self.listing {
            return;
        }
        let [thermal, hwmon] = &classes;
        let found = find(thermal, hwmon);
        self.quick =
            found.quick.into_iter().filter_map(|sensor| Some((sensor.name, File::open(sensor.path).ok()?))).collect();
        self.slow.replace(found.slow);
        self.voltage_alarm = found.voltage_alarm.and_then(|path| File::open(path).ok());
        self.listing = listing;
    }

    /// The temperatures: those on the die as they are now, the others as they were at most a minute or so ago.
    pub(super) fn measure(&mut self, now_ms: u64) -> Vec<v1::Temperature> {
        let quick = self.quick.iter().filter_map(|(name, file)| {
            let celsius = read_value(file, celsius)?;
            Some(v1::Temperature { sensor: name.clone(), celsius })
        });
        quick.chain(self.slow.latest(now_ms).iter().cloned()).collect()
    }

    /// Whether the Raspberry Pi's voltage has been too low in the last two seconds. None of other boards.
    pub(super) fn voltage_alarm(&self) -> Option<bool> {
        read_value(self.voltage_alarm.as_ref()?, integer).map(|alarm| alarm != 0)
    }
}

/// A temperature as sysfs gives it, in thousandths. Sensors that are broken or asleep give what cannot be.
pub(super) fn celsius(text: &[u8]) -> Option<f32> {
    integer(text).filter(|milli| (-60_000..=200_000).contains(milli)).map(|milli| milli as f32 / 1_000.0)
}

fn find(thermal: &Path, hwmon: &Path) -> Found {
    let mut found = Found::default();
    let chips = named(hwmon, "hwmon", "name");
    let mut zones = named(thermal, "thermal_zone", "type");
    // The package's temperature again, from the same register.
    if chips.iter().any(|(_, chip)| chip == "coretemp") {
        zones.retain(|(_, zone)| zone != "x86_pkg_temp");
    }
    for (path, zone) in &zones {
        found.add(zone, zone, path.join("temp"));
    }
    for (path, chip) in &chips {
        if chip == "rpi_volt" {
            found.voltage_alarm = Some(path.join("in0_lcrit_alarm"));
        }
        // The kernel shows each thermal zone as a chip too, with underscores for the hyphens.
        if !zones.iter().any(|(_, zone)| zone.replace('-', "_") == *chip) {
            chip_temperatures(&mut found, path, chip);
        }
    }
    found
}

/// The numbered devices of a class with what they call themselves.
fn named(class: &Path, prefix: &str, name_file: &str) -> Vec<(PathBuf, String)> {
    let numbered = names_in(class).into_iter().filter(|name| name.starts_with(prefix));
    let devices = numbered.filter_map(|name| {
        let path = class.join(name);
        let own_name = printable(&read_once(&path.join(name_file))?)?;
        Some((path, own_name))
    });
    devices.collect()
}

fn chip_temperatures(found: &mut Found, path: &Path, chip: &str) {
    let inputs = names_in(path).into_iter().filter_map(|name| {
        let number = name.strip_prefix("temp")?.strip_suffix("_input")?.to_owned();
        let label = read_once(&path.join(format!("temp{number}_label"))).and_then(|label| printable(&label));
        Some((path.join(name), number, label))
    });
    let mut inputs: Vec<_> = inputs.collect();
    // Asking each core wakes it up, and the package is as hot as the hottest of them.
    if chip == "coretemp" && inputs.iter().any(|(_, _, label)| is_package(label.as_deref())) {
        inputs.retain(|(_, _, label)| is_package(label.as_deref()));
    }
    let owner = owner(path, chip);
    let alone = inputs.len() == 1;
    for (input, number, label) in inputs {
        let name = match label {
            Some(label) => format!("{owner}/{label}"),
            None if alone => owner.clone(),
            None => format!("{owner}/temp{number}"),
        };
        found.add(chip, &name, input);
    }
}

fn is_package(label: Option<&str>) -> bool {
    label.is_some_and(|label| label.starts_with("Package"))
}

/// Whose temperature a chip's is: disks share their driver's name, and are better known by their own.
fn owner(path: &Path, chip: &str) -> String {
    let device = path.join("device");
    let disk = match chip {
        "drivetemp" => names_in(&device.join("block")).into_iter().next(),
        "nvme" => fs::read_link(&device).ok().and_then(|target| Some(target.file_name()?.to_str()?.to_owned())),
        _ => None,
    };
    disk.unwrap_or_else(|| chip.to_owned())
}

impl Found {
    fn add(&mut self, driver: &str, name: &str, path: PathBuf) {
        if self.quick.len() + self.slow.len() == MAX_SENSORS || name.len() > MAX_NAME_BYTES {
            return;
        }
        let taken = |name: &str| self.quick.iter().chain(&self.slow).any(|sensor| sensor.name == name);
        let mut unique = name.to_owned();
        let mut count = 1;
        while taken(&unique) {
            count += 1;
            unique = format!("{name}-{count}");
        }
        if is_on_die(driver) { &mut self.quick } else { &mut self.slow }.push(Sensor { name: unique, path });
    }
}

/// The thermal zones that a device tree describes end in this word.
fn is_on_die(driver: &str) -> bool {
    driver.ends_with("thermal") || ["coretemp", "k10temp", "zenpower", "x86_pkg_temp"].contains(&driver)
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::{Found, celsius, find};

    fn found(host: &str) -> Found {
        let class = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/host/linux/fixtures").join(host).join("sys/class");
        find(&class.join("thermal"), &class.join("hwmon"))
    }

    fn names(found: &Found) -> (Vec<&str>, Vec<&str>) {
        let [quick, slow] =
            [&found.quick, &found.slow].map(|sensors| sensors.iter().map(|sensor| sensor.name.as_str()).collect());
        (quick, slow)
    }

    #[test]
    fn each_temperature_once() {
        let pi4 = found("pi4");
        assert_eq!(names(&pi4), (vec!["cpu-thermal"], vec![]));
        let alarm = pi4.voltage_alarm.as_deref().and_then(Path::file_name).map(PathBuf::from);
        assert_eq!(alarm, Some("in0_lcrit_alarm".into()));
        assert_eq!(names(&found("bananapi-m5")), (vec!["cpu-thermal", "ddr-thermal"], vec![]));
        let quick = vec!["coretemp/Package id 0"];
        let slow = vec!["acpitz", "acpitz-2", "nvme0/Composite", "nvme0/Sensor 1", "sda", "sdb"];
        assert_eq!(names(&found("x86")), (quick, slow));
        assert_eq!(found("no-such-host"), Found::default());
    }

    #[test]
    fn what_cannot_be_is_absent() {
        assert_eq!(celsius(b"48199\n"), Some(48.199));
        assert_eq!(celsius(b"-12000\n"), Some(-12.0));
        for broken in ["-274000", "255000", "", "48.2"] {
            assert_eq!(celsius(broken.as_bytes()), None, "{broken}");
        }
    }

    #[test]
    fn bounded() {
        let mut found = Found::default();
        (0..100).for_each(|_| found.add("coretemp", "x", PathBuf::new()));
        assert_eq!((found.quick.len(), found.quick[31].name.as_str()), (32, "x-32"));
    }
}
