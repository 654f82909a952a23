//! Ends K3s on a node, and removes what was installed and what pods left: processes, mounts, networks, rules, files.

pub mod mounts;
mod network;
mod processes;
pub mod rules;

use anyhow::bail;
use rackhaven_proto::model::k3s::K3sRole;

use crate::files;
use crate::install::unit::{environment_path, unit_path};
use crate::news::Done;
use crate::order::Work;
use crate::paths::{
    ACCOUNT, AGENT_TOKEN, CONFIG, CONFIG_FOLDER, DATA, KUBECONFIG, LINKS, MODULES_LOAD, OF_K3S, OF_PODS, PROGRAM,
    SHARED, SYSCTL, TOKEN, UNITS,
};
use crate::record::{self, Record};
use crate::units;

const ROLES: [K3sRole; 2] = [K3sRole::Server, K3sRole::Agent];

/// Carries it out.
///
/// # Errors
/// When a step fails, or the K3s here is not ours.
pub fn remove(work: &mut Work) -> anyhow::Result<()> {
    let mut record = None;
    work.step("claim", |work| {
        record = Record::load(work.root)?;
        if record.is_some() {
            return Ok(Done::Unchanged("K3s here is Rackhaven's".to_owned()));
        }
        if let Some(path) = [PROGRAM, CONFIG, DATA].into_iter().find(|path| work.root.is_there(path)) {
            bail!(
                "K3s is here that Rackhaven did not install ({path}): it is left alone; /usr/local/bin/k3s-uninstall.sh \
                 removes it, or k3s-agent-uninstall.sh on an agent"
            );
        }
        // An installation that was killed when it was about to begin.
        record::forget(work.root)?;
        Ok(Done::Unchanged("there is nothing of Rackhaven's here".to_owned()))
    })?;
    let Some(record) = record else { return Ok(()) };
    work.step("stop", stop)?;
    work.step("processes", processes::end)?;
    work.step("mounts", mounts::undo)?;
    work.step("network", network::remove)?;
    work.step("rules", rules::remove)?;
    work.step("files", |work| files(work, &record))?;
    work.step("forget", |work| {
        record::forget(work.root)?;
        Ok(Done::Changed("there is nothing of Rackhaven's K3s here any more".to_owned()))
    })
}

fn stop(work: &mut Work) -> anyhow::Result<Done> {
    let mut stopped = Vec::new();
    for role in ROLES.into_iter().filter(|role| work.root.is_there(&unit_path(*role))) {
        let state = units::show(role.unit(), work.stop)?;
        if !state.is_down() {
            units::end(role.unit(), work.stop)?;
            stopped.push(format!("{} stopped", role.unit()));
        }
        if state.file == "enabled" {
            units::enable(role.unit(), false, work.stop)?;
        }
    }
    Ok(told(stopped, "it does not run"))
}

fn told(done: Vec<String>, otherwise: &str) -> Done {
    if done.is_empty() { Done::Unchanged(otherwise.to_owned()) } else { Done::Changed(done.join(", ")) }
}

/// Removes all files that are ours or K3s's. What an admin has added to the configuration stays.
///
/// # Errors
/// When one cannot be removed.
pub fn files(work: &mut Work, record: &Record) -> anyhow::Result<Done> {
    let mut removed = Vec::new();
    let mut had_unit = false;
    for role in ROLES {
        had_unit |= work.root.is_there(&unit_path(role));
        // That of an installation that was undone before it was started, too.
        let link = format!("{UNITS}/multi-user.target.wants/{}", role.unit());
        for path in [link, unit_path(role), environment_path(role)] {
            if files::remove_made(&work.root.at(&path))? {
                removed.push(path);
            }
        }
    }
    if had_unit {
        units::reload(work.stop)?;
    }
    for path in LINKS {
        let target = std::fs::read_link(work.root.at(path));
        if target.is_ok_and(|target| target.as_os_str() == "k3s" || target.as_os_str() == PROGRAM) {
            files::remove_if_there(&work.root.at(path))?;
            removed.push(path.to_owned());
        }
    }
    for path in [CONFIG, TOKEN, AGENT_TOKEN, KUBECONFIG, ACCOUNT, MODULES_LOAD, SYSCTL, PROGRAM] {
        if files::remove_made(&work.root.at(path))? {
            removed.push(path.to_owned());
        }
    }
    let of_pods = OF_PODS.into_iter().filter(|folder| record.is_ours(folder));
    for folder in OF_K3S.into_iter().chain(of_pods) {
        work.go_on()?;
        if files::remove_tree(&work.root.at(folder))? {
            removed.push(folder.to_owned());
        }
    }
    for folder in SHARED.into_iter().filter(|folder| record.is_ours(folder)) {
        if files::remove_if_empty(&work.root.at(folder)) {
            removed.push(folder.to_owned());
        }
    }
    let kept = work.root.names(CONFIG_FOLDER);
    if !kept.is_empty() {
        removed.push(format!("kept in {CONFIG_FOLDER}, for they are the admin's: {}", kept.join(", ")));
    }
    Ok(told(removed, "there are none"))
}
