//! Brings K3s to a node: each part is looked at first, and only what is not as it is to be is changed.

mod account;
pub mod config;
mod download;
mod place;
pub mod plan;
mod release;
mod run;
pub mod unit;

use std::collections::BTreeMap;

use anyhow::{anyhow, bail};
use rackhaven_proto::model::k3s::{Artifact, K3sOrder, K3sRole, K3sSettings, K3sTask};

use crate::news::Done;
use crate::order::Work;
use crate::paths::{IMAGES, RECORD};
use crate::preflight::{self, Purpose};
use crate::record::{self, Record};
use crate::remove;
use plan::{Seen, Wanted, fingerprint, plan, same_node, wanted};
pub(crate) use run::ready;

/// Carries it out.
///
/// # Errors
/// When a step fails; what it was stands in the news.
pub fn install(work: &mut Work, order: &K3sOrder, settings: &K3sSettings, fix: bool) -> anyhow::Result<()> {
    let purpose = Purpose::of(settings, order);
    work.step("preflight", |work| preflight::for_install(work, &purpose, fix))?;
    let all = wanted(settings, &order.artifacts);
    let mut seen = BTreeMap::new();
    work.step("files", |work| {
        seen = place::look(work, &all)?;
        download::all(work, &place::missing(&all, &seen))?;
        place::check_artifacts(work, &all, &seen)
    })?;
    let was_ours = Record::load(work.root)?.is_some();
    work.step("claim", |work| claim(work, settings))?;
    if let Err(error) = place_all(work, &all, &seen) {
        if !was_ours {
            undo(work)?;
        }
        return Err(error);
    }
    let sum = fingerprint(&all);
    work.step("start", |work| run::start(work, settings.role(), &sum))?;
    work.step("ready", |work| ready(work, settings.role()))?;
    if settings.role() == K3sRole::Server {
        work.step("access", account::fetch)?;
    }
    Ok(())
}

/// The files of an order that are not in their places yet. Nothing is changed.
///
/// # Errors
/// When it cannot be looked.
pub fn missing(work: &mut Work, order: &K3sOrder) -> anyhow::Result<Vec<Artifact>> {
    let K3sTask::Install { settings, .. } = &order.task else { return Ok(Vec::new()) };
    let all = wanted(settings, &order.artifacts);
    let seen = place::look(work, &all)?;
    Ok(place::missing(&all, &seen).into_iter().cloned().collect())
}

/// Says that K3s is ours from now on, before the first file is placed.
fn claim(work: &mut Work, settings: &K3sSettings) -> anyhow::Result<Done> {
    let (role, name) = (settings.role().as_str(), settings.node_name.as_str());
    let known = Record::load(work.root)?;
    if let Some(record) = &known {
        same_node(&record.role, &record.node_name, settings).map_err(|reason| anyhow!(reason))?;
        if !record.role.is_empty() {
            return Ok(Done::Unchanged("K3s here is Rackhaven's".to_owned()));
        }
    }
    let fresh = Record::begin(work.root, role, name);
    // Of a damaged record nothing is known but that K3s was ours: nothing counts as absent before.
    let absent_before = if known.is_some() { Vec::new() } else { fresh.absent_before };
    Record { absent_before, ..fresh }.save(work.root)?;
    Ok(Done::Changed(format!("noted in {RECORD}")))
}

fn place_all(work: &mut Work, all: &[Wanted], seen: &BTreeMap<String, Seen>) -> anyhow::Result<()> {
    let images = work.root.names(IMAGES);
    for (part, changes) in plan(all, seen, &images) {
        work.step(part.name(), |work| place::make(work, all, &changes))?;
    }
    Ok(())
}

/// Takes back what was placed, for K3s has never run here.
fn undo(work: &mut Work) -> anyhow::Result<()> {
    work.step("undo", |work| {
        let Some(record) = Record::load(work.root)? else { bail!("the record of what was placed is gone") };
        remove::files(work, &record)?;
        record::forget(work.root)?;
        Ok(Done::Changed("what had been placed is removed again".to_owned()))
    })
}
