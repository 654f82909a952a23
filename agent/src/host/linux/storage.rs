use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use rackhaven_proto::v1;
use serde::Deserialize;

use super::Roots;
use super::child::{Job, Place, Speaking};
use super::disks::whole_disks;
use super::file::{names_in, read_once};
use super::parse::{hexadecimal, integer, printable};

/// How long smartctl may take for one disk.
const SMARTCTL_LIMIT: Duration = Duration::from_secs(60);
/// The longest answer of smartctl that is read, bytes.
const MAX_ANSWER_BYTES: usize = 256 * 1024;
/// The attributes of an ATA disk that count sectors which are lost or were: reallocated, pending, uncorrectable
/// (numbered as in smartctl(8)).
const BAD_SECTORS: [u32; 3] = [5, 197, 198];
/// The bit of NVMe's critical warning that says that it is hot, which is no word on its health (NVM Express Base
/// Specification 2.0, figure 207).
const NVME_HOT: u64 = 1 << 1;

/// Asks disks and cards how they are: the kernel for eMMC and for what file systems have met, smartctl for the rest,
/// if it is installed. A disk that sleeps is let sleep.
pub struct StorageWatch {
    roots: Roots,
    smartctl: Vec<String>,
    place: Place,
    /// What smartctl last told of each disk.
    told: HashMap<String, Told>,
}

/// What smartctl tells of a disk.
#[derive(Debug, Clone, Default, PartialEq)]
struct Told {
    model: Option<String>,
    failing: bool,
    used_life_percent: Option<f32>,
    bad_sectors: Option<u64>,
    celsius: Option<f32>,
}

impl StorageWatch {
    /// Of the disks that `roots` shows. `smartctl` is the program.
    pub fn new(roots: Roots, smartctl: &str, place: Place) -> Self {
        let smartctl = [smartctl, "--json", "--nocheck=standby", "-i", "-H", "-A"].map(str::to_owned).into();
        Self { roots, smartctl, place, told: HashMap::new() }
    }

    /// How they are. What tells nothing is left out.
    pub async fn look(&mut self) -> Vec<v1::StorageHealth> {
        let mut disks: Vec<v1::StorageHealth> =
            whole_disks(&self.roots.sys).iter().map(|disk| of_kernel(&self.roots.sys, disk)).collect();
        for disk in disks.iter_mut().filter(|disk| disk.device.starts_with("sd") || disk.device.starts_with("nvme")) {
            if let Some(told) = self.ask(&disk.device).await {
                self.told.insert(disk.device.clone(), told);
            }
            if let Some(told) = self.told.get(&disk.device).cloned() {
                disk.model = told.model.unwrap_or_else(|| std::mem::take(&mut disk.model));
                (disk.failing, disk.used_life_percent) = (told.failing, told.used_life_percent);
                (disk.bad_sectors, disk.celsius) = (told.bad_sectors, told.celsius);
            }
        }
        self.told.retain(|name, _| disks.iter().any(|disk| disk.device == *name));
        disks.retain(|disk| self.told.contains_key(&disk.device) || tells(disk));
        disks
    }

    /// None if it does not say, because there is no smartctl, the disk sleeps, or hides behind an adapter.
    async fn ask(&self, disk: &str) -> Option<Told> {
        let mut argv = self.smartctl.clone();
        argv.push(self.roots.dev.join(disk).to_string_lossy().into_owned());
        let job = Job { argv: &argv, environment: &[], stands: false, place: self.place };
        let answer = async {
            let mut speaking = Speaking::start(job, SMARTCTL_LIMIT).ok()?;
            let mut answer = Vec::new();
            while let Some(lines) = speaking.lines().await {
                lines.iter().for_each(|line| answer.extend_from_slice(line));
                if answer.len() > MAX_ANSWER_BYTES {
                    return None;
                }
            }
            // Its exit status has bits for a disk that fails, too: what counts is what it says.
            let _ = speaking.end(String::new()).await;
            Some(answer)
        };
        parse(&tokio::time::timeout(SMARTCTL_LIMIT, answer).await.ok()??)
    }
}

fn tells(disk: &v1::StorageHealth) -> bool {
    disk.failing || disk.used_life_percent.is_some() || disk.file_system_errors.is_some()
}

/// What the kernel knows of a disk or card.
fn of_kernel(sys: &Path, disk: &str) -> v1::StorageHealth {
    let device = sys.join("block").join(disk).join("device");
    let text = |name: &str| read_once(&device.join(name));
    // `pre_eol_info`: 1 normal, 2 most, 3 nearly all of the reserve is used up. `life_time`: tenths of the life of both
    // kinds of its memory, 11 for more than all (JESD84-B51, 7.4.19 and 7.4.20).
    let reserve = text("pre_eol_info").as_deref().and_then(hexadecimal).unwrap_or(0);
    let life = text("life_time").and_then(|words| {
        words.split(u8::is_ascii_whitespace).filter_map(hexadecimal).filter(|tenths| (1..=11).contains(tenths)).max()
    });
    v1::StorageHealth {
        device: disk.to_owned(),
        model: text("model").or_else(|| text("name")).as_deref().and_then(printable).unwrap_or_default(),
        failing: reserve == 3,
        used_life_percent: life.map(|tenths| tenths as f32 * 10.0).or((reserve == 2).then_some(90.0)),
        bad_sectors: None,
        file_system_errors: file_system_errors(sys, disk),
        celsius: None,
    }
}

/// The errors that ext4 has counted on the parts of a disk; none if there is no ext4 on it.
fn file_system_errors(sys: &Path, disk: &str) -> Option<u64> {
    let ext4 = sys.join("fs/ext4");
    let whole = sys.join("block").join(disk);
    let parts = names_in(&ext4).into_iter().filter(|part| part == disk || whole.join(part).is_dir());
    let counted = parts.filter_map(|part| {
        let errors = read_once(&ext4.join(part).join("errors_count"))?;
        integer(&errors).and_then(|errors| u64::try_from(errors).ok())
    });
    counted.reduce(u64::saturating_add)
}

/// What smartctl says in JSON: what of it is used here. What is absent, the disk does not know.
#[derive(Debug, Deserialize)]
struct Answer {
    model_name: Option<String>,
    smart_status: Option<SmartStatus>,
    temperature: Option<Temperature>,
    endurance_used: Option<Endurance>,
    ata_smart_attributes: Option<Attributes>,
    nvme_smart_health_information_log: Option<Nvme>,
}

#[derive(Debug, Deserialize)]
struct SmartStatus {
    passed: bool,
}

#[derive(Debug, Deserialize)]
struct Temperature {
    current: Option<f32>,
}

#[derive(Debug, Deserialize)]
struct Endurance {
    current_percent: Option<f32>,
}

#[derive(Debug, Deserialize)]
struct Attributes {
    #[serde(default)]
    table: Vec<Attribute>,
}

#[derive(Debug, Deserialize)]
struct Attribute {
    id: u32,
    raw: Raw,
}

#[derive(Debug, Deserialize)]
struct Raw {
    value: u64,
}

#[derive(Debug, Deserialize)]
struct Nvme {
    critical_warning: Option<u64>,
    percentage_used: Option<f32>,
    media_errors: Option<u64>,
}

fn parse(json: &[u8]) -> Option<Told> {
    let answer: Answer = serde_json::from_slice(json).ok()?;
    let status = answer.smart_status?;
    let nvme = answer.nvme_smart_health_information_log;
    let warned = nvme.as_ref().and_then(|nvme| nvme.critical_warning).is_some_and(|bits| bits & !NVME_HOT != 0);
    let counts = answer.ata_smart_attributes.map(|attributes| {
        let counted = attributes.table.into_iter().filter(|attribute| BAD_SECTORS.contains(&attribute.id));
        // The same sector is counted by more than one of them.
        counted.map(|attribute| attribute.raw.value).max()
    });
    let finite = |value: Option<f32>| value.filter(|value| value.is_finite());
    Some(Told {
        model: answer.model_name.and_then(|name| printable(name.as_bytes())),
        failing: !status.passed || warned,
        used_life_percent: finite(nvme.as_ref().and_then(|nvme| nvme.percentage_used))
            .or(finite(answer.endurance_used.and_then(|used| used.current_percent))),
        bad_sectors: nvme.and_then(|nvme| nvme.media_errors).or(counts.flatten()),
        celsius: finite(answer.temperature.and_then(|temperature| temperature.current)),
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use rackhaven_proto::v1;

    use super::{Place, Roots, StorageWatch, Told, parse};

    fn write(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn what_smartctl_says_golden() {
        let ata = r#"{"model_name":"Disk","smart_status":{"passed":true},"temperature":{"current":31},
            "ata_smart_attributes":{"table":[{"id":5,"raw":{"value":8}},{"id":9,"raw":{"value":70000}},
            {"id":197,"raw":{"value":2}}]}}"#;
        let nvme = r#"{"model_name":"Stick","smart_status":{"passed":true},"temperature":{},
            "nvme_smart_health_information_log":{"critical_warning":CRITICAL,"percentage_used":104,"media_errors":1}}"#;
        let stick = Told {
            model: Some("Stick".to_owned()),
            used_life_percent: Some(104.0),
            bad_sectors: Some(1),
            ..Told::default()
        };
        let disk =
            Told { model: Some("Disk".to_owned()), bad_sectors: Some(8), celsius: Some(31.0), ..Told::default() };
        for (json, expected) in [
            (ata, Some(disk.clone())),
            (&ata.replace("true", "false"), Some(Told { failing: true, ..disk })),
            (&nvme.replace("CRITICAL", "0"), Some(stick.clone())),
            // Only hot.
            (&nvme.replace("CRITICAL", "2"), Some(stick.clone())),
            (&nvme.replace("CRITICAL", "6"), Some(Told { failing: true, ..stick })),
            // Asleep, and behind an adapter that passes nothing on.
            (r#"{"smartctl":{"exit_status":2}}"#, None),
            ("", None),
            ("[1", None),
        ] {
            assert_eq!(parse(json.as_bytes()), expected, "{json}");
        }
    }

    #[tokio::test]
    async fn cards_disks_and_what_their_file_systems_have_met() {
        let root = tempfile::tempdir().unwrap();
        let [sys, dev] = ["sys", "dev"].map(|name| root.path().join(name));
        let block = sys.join("block");
        write(&block.join("mmcblk0/device/name"), "SD32G\n");
        fs::create_dir_all(block.join("mmcblk0/mmcblk0p2")).unwrap();
        write(&sys.join("fs/ext4/mmcblk0p2/errors_count"), "3\n");
        fs::create_dir_all(sys.join("fs/ext4/features")).unwrap();
        write(&block.join("mmcblk1/device/life_time"), "0x02 0x0b\n");
        write(&block.join("mmcblk1/device/pre_eol_info"), "0x03\n");
        write(&block.join("sda/device/model"), "STICK\n");
        write(&block.join("sdb/device/model"), "MUTE\n");
        let smartctl = root.path().join("smartctl");
        let answers = |sda: &str| {
            let script = format!("#!/bin/sh\ncase $6 in */sda) echo '{sda}';; esac\nexit 4\n");
            write(&smartctl, &script);
            fs::set_permissions(&smartctl, fs::Permissions::from_mode(0o755)).unwrap();
        };
        let roots = Roots { sys, dev, ..Roots::default() };
        let mut watch = StorageWatch::new(roots, smartctl.to_str().unwrap(), Place::Here);
        let health = |device: &str| v1::StorageHealth { device: device.to_owned(), ..v1::StorageHealth::default() };
        let cards = [
            v1::StorageHealth { model: "SD32G".to_owned(), file_system_errors: Some(3), ..health("mmcblk0") },
            v1::StorageHealth { failing: true, used_life_percent: Some(110.0), ..health("mmcblk1") },
        ];
        let sorted = |mut disks: Vec<v1::StorageHealth>| {
            disks.sort_by(|a, b| a.device.cmp(&b.device));
            disks
        };
        // No smartctl: the cards alone.
        assert_eq!(sorted(watch.look().await), cards);
        let stick = v1::StorageHealth { model: "STICK".to_owned(), celsius: Some(30.0), ..health("sda") };
        answers(r#"{"smart_status":{"passed":true},"temperature":{"current":30}}"#);
        assert_eq!(sorted(watch.look().await), [cards.as_slice(), std::slice::from_ref(&stick)].concat());
        // It sleeps: what it said before stands.
        answers("{}");
        assert_eq!(sorted(watch.look().await)[2], stick);
        // It is pulled.
        fs::remove_dir_all(block.join("sda")).unwrap();
        assert_eq!(sorted(watch.look().await), cards);
    }
}
