//! NUT's own tools and others' take the UPS from the facade.

use std::path::{Path, PathBuf};

use rackhaven_controller::nut::facade::ClientState;
use rackhaven_tests::process::{command, run_to_end as run};
use rackhaven_tests::ups::{nut_command, python_module};
use rackhaven_tests::wait::wait_until;
use rackhaven_tests::{Daemon, NutFacade, SmallDisk};

/// The client of Home Assistant.
const AIONUT: &str = "aionut==4.3.4";

/// An unmodified `upsmon` as secondary, whose shutdown writes the file that is returned.
fn upsmon(facade: &NutFacade, user: &str, password: &str) -> (Daemon, PathBuf) {
    let folder = facade.folder().join(format!("upsmon-{user}"));
    std::fs::create_dir(&folder).unwrap();
    let down = folder.join("down");
    let configuration = format!(
        "MONITOR {} 1 {user} {password} secondary\nMINSUPPLIES 1\nSHUTDOWNCMD \"touch {}\"\nPOLLFREQ 1\n\
         POLLFREQALERT 1\nDEADTIME 15\nHOSTSYNC 5\nFINALDELAY 0\n",
        facade.name(),
        down.display()
    );
    std::fs::write(folder.join("upsmon.conf"), configuration).unwrap();
    let mut command = nut_command("upsmon").unwrap();
    command.args(["-F", "-p"]).env("NUT_CONFPATH", &folder);
    (Daemon::start("upsmon", command, &folder).unwrap(), down)
}

#[tokio::test]
async fn upsc_reads() {
    let facade = NutFacade::start(8).await.unwrap();
    let upsc = async |arguments: &[&str]| {
        let mut command = nut_command("upsc").unwrap();
        command.args(arguments);
        run(command).await.unwrap()
    };
    assert_eq!(upsc(&[&facade.name(), "ups.status"]).await.out, "OL\n");
    let all = upsc(&[&facade.name()]).await;
    let expected = "battery.charge: 100\nbattery.runtime: 600\nups.model: Gr??e 3\nups.status: OL\n";
    assert_eq!(all.out, expected, "{}", all.err);
    assert_eq!(upsc(&["-L", &facade.address().to_string()]).await.out, "ups: The rack\n");
    assert_eq!(upsc(&["-c", &facade.name()]).await.out, "");
    facade.change(|state| state.stale = true);
    assert_eq!(upsc(&[&facade.name(), "ups.status"]).await.err.lines().last(), Some("Error: Data stale"));
}

#[tokio::test]
async fn upsmon_shuts_down_with_its_stage_and_not_with_another() {
    let facade = NutFacade::start(8).await.unwrap();
    // It keeps its process id where another one would find it.
    let pids = SmallDisk::mount(Path::new("/run/nut"), 1 << 20).unwrap();
    let (mut nas, nas_down) = upsmon(&facade, "monuser", "secret");
    wait_until("the NAS's login", async || facade.count("monuser", ClientState::LoggedIn) == 1).await.unwrap();
    let _more_pids = SmallDisk::mount(pids.path(), 1 << 20).unwrap();
    let (mut other, other_down) = upsmon(&facade, "other", "otherpw");
    wait_until("the other's login", async || facade.count("other", ClientState::LoggedIn) == 1).await.unwrap();

    facade.change(|state| state.vars = std::sync::Arc::new([("ups.status".to_owned(), "OB".to_owned())].into()));
    facade.shut_down(&["boards"]);
    wait_until("the other's shutdown", async || other_down.exists()).await.unwrap();
    other.ended().await.unwrap();
    assert!(nas.poll_end().unwrap().is_none() && !nas_down.exists(), "the NAS went with another's stage");
    facade.shut_down(&["boards", "nas"]);
    wait_until("the NAS's shutdown", async || nas_down.exists()).await.unwrap();
    nas.ended().await.unwrap();
    wait_until("both to be known as obedient", async || {
        ["monuser", "other"].iter().all(|user| facade.has_obeyed(user))
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn home_assistants_client_reads() {
    let facade = NutFacade::start(8).await.unwrap();
    let Some(modules) = python_module(AIONUT, &facade.folder()).await else {
        eprintln!("skipped: {AIONUT} cannot be installed from PyPI with python3 -m pip");
        return;
    };
    let script = format!(
        "import asyncio, aionut\n\
         async def main():\n    \
             client = aionut.AIONUTClient(host='{}', port={}, username='monuser', password='secret')\n    \
             print(await client.list_ups(), await client.description('ups'))\n    \
             print((await client.list_vars('ups'))['ups.status'], await client.list_commands('ups'))\n\
         asyncio.run(main())\n",
        facade.address().ip(),
        facade.address().port()
    );
    let mut command = command("python3");
    command.args(["-c", &script]).env("PYTHONPATH", modules);
    let read = run(command).await.unwrap();
    assert_eq!(read.out, "{'ups': 'The rack'} The rack\nOL set()\n", "{}", read.err);
}
