use std::sync::Arc;

use rackhaven_proto::convert::k3s_node::check_k3s_access;
use rackhaven_proto::model::NodeName;
use rackhaven_proto::model::k3s::{K3sSettings, K3sVersion};
use rackhaven_proto::v1;
use rackhaven_proto::v1::k3s_ended::Result as Ending;
use rackhaven_proto::v1::k3s_order::Task;

use super::order::{Carried, Refused};
use super::record::{Access, Record, Secret};
use super::teller::{Teller, fit};
use super::wanted::{member, said, wanted};
use crate::core::Core;

/// What was asked for, with who asked and who listens.
#[derive(Clone)]
pub struct Sequence {
    pub(super) core: Arc<Core>,
    pub(super) teller: Teller,
    pub(super) requested_by: String,
}

/// How a node ended: whether anything was left to do, and what a person should know.
pub(super) type Outcome = Result<(bool, String), String>;

/// The same of an installation.
pub(super) type Installed = Result<(bool, String), Refused>;

/// The same, as it is told.
pub(super) fn ended(node: &NodeName, outcome: Outcome) -> v1::K3sEnded {
    let (result, text) = match outcome {
        Ok((true, text)) => (Ending::Done, text),
        Ok((false, text)) => (Ending::Unchanged, text),
        Err(text) => (Ending::Failed, text),
    };
    v1::K3sEnded { node: node.to_string(), result: result.into(), text }
}

/// One that was not begun, because another failed.
pub(super) fn skipped(node: &NodeName, why: &str) -> v1::K3sEnded {
    v1::K3sEnded { node: node.to_string(), result: Ending::Skipped.into(), text: why.to_owned() }
}

impl Sequence {
    /// A sequence for `requested_by`.
    pub fn new(core: Arc<Core>, teller: Teller, requested_by: String) -> Self {
        Self { core, teller, requested_by }
    }

    /// Why nothing may be changed about K3s now: a rack that goes down needs its nodes as they are.
    pub(super) fn hindered(&self) -> Result<(), String> {
        match self.core.power.goes_on() {
            true => Err("an outage, shutdown or drill goes on".to_owned()),
            false => Ok(()),
        }
    }

    pub(super) fn record(&self) -> Result<Record, String> {
        let record = self.core.k3s_cluster.record()?;
        record.ok_or_else(|| "there is no cluster yet: ctl k3s init makes one".to_owned())
    }

    pub(super) fn save(&self, record: Record) -> Result<(), String> {
        self.core.k3s_cluster.save(Some(record))
    }

    /// Looks whether K3s can run on nodes.
    pub async fn check(&self, nodes: Vec<NodeName>, request: &v1::K3sCheckRequest) -> Vec<v1::K3sEnded> {
        let mut all = Vec::new();
        for node in nodes {
            let outcome = self.check_one(&node, request).await;
            all.push(ended(&node, outcome));
        }
        all
    }

    async fn check_one(&self, node: &NodeName, request: &v1::K3sCheckRequest) -> Outcome {
        let options = request.options.clone().unwrap_or_default();
        let kept = self.core.k3s_cluster.record()?;
        let mut record = match &kept {
            Some(record) => record.clone(),
            None => Record::new("v0.0.0+k3s0", request.embedded_etcd)?,
        };
        if !record.members.contains_key(node) {
            // Without a cluster it can only be looked at as its first server.
            let as_server = request.server || kept.is_none();
            let host = as_server.then(|| self.host(node, "", &options).unwrap_or_else(|_| node.to_string()));
            record.members.insert(node.clone(), member(&options, host, record.next_number(), String::new()));
        }
        let settings = record.settings(node).ok_or("the cluster has no server yet")?;
        let task = Task::Check(v1::K3sCheck { settings: Some(settings), fix: request.fix });
        let carried = self.order(node, task, Vec::new()).await?;
        match carried.report.needs_reboot {
            true => Ok((true, "counts after the next boot: ctl node reboot".to_owned())),
            false => {
                let (all, warnings) = (carried.looked_at, carried.warnings);
                Ok((carried.changed, format!("K3s can run here: {all} things looked at, {warnings} warnings")))
            }
        }
    }

    /// Makes a node the first server of a new cluster, or goes on with that.
    pub async fn init(&self, node: NodeName, request: &v1::K3sInitRequest) -> Vec<v1::K3sEnded> {
        let outcome = self.init_one(&node, request).await;
        vec![ended(&node, outcome)]
    }

    async fn init_one(&self, node: &NodeName, request: &v1::K3sInitRequest) -> Outcome {
        self.hindered()?;
        let options = request.options.clone().unwrap_or_default();
        let mut record = match self.core.k3s_cluster.record()? {
            Some(record) if record.members.keys().any(|other| other != node) => {
                let first = record.servers().first().map(|(name, ..)| name.to_string()).unwrap_or_default();
                return Err(format!("there is a cluster, whose first server is {first}: ctl k3s join takes nodes in"));
            }
            Some(record) => record,
            None => Record::new("", request.embedded_etcd)?,
        };
        let version: K3sVersion = match request.version.as_str() {
            "" if record.members.get(node).is_some_and(|member| member.joined) => record.version.parse(),
            "" => Ok(self.newest(node).await?),
            version => version.parse(),
        }
        .map_err(|invalid| invalid.to_string())?;
        let before = record.members.get(node);
        if let Some(before) = before.filter(|before| before.joined && before.version != version.as_str()) {
            return Err(format!(
                "it has {} already: ctl k3s upgrade brings the cluster to another release",
                before.version
            ));
        }
        let host = match before.and_then(|before| before.server_host.clone()) {
            Some(host) if request.address.is_empty() => host,
            _ => self.host(node, &request.address, &options)?,
        };
        if !before.is_some_and(|before| before.joined) {
            record.embedded_etcd = request.embedded_etcd;
        }
        let wanted = wanted(before, request.options.as_ref(), Some(host), 0, &version);
        record.version = version.to_string();
        record.disable = said(&options.disable, &record.disable);
        record.members.insert(node.clone(), wanted);
        Ok(self.install(record, node, &version, request.fix).await?)
    }

    /// Takes nodes in, one after another; how many fail does not keep the others out.
    pub async fn join(&self, nodes: Vec<NodeName>, request: &v1::K3sJoinRequest) -> Vec<v1::K3sEnded> {
        let mut all = Vec::new();
        for node in nodes {
            let outcome = self.join_one(&node, request).await;
            all.push(ended(&node, outcome));
        }
        all
    }

    async fn join_one(&self, node: &NodeName, request: &v1::K3sJoinRequest) -> Outcome {
        self.hindered()?;
        let options = request.options.clone().unwrap_or_default();
        let mut record = self.record()?;
        if !record.servers().iter().any(|(_, member, _)| member.joined) {
            return Err("the cluster has no server that is up: ctl k3s init goes on with making it".to_owned());
        }
        let before = record.members.get(node);
        if let Some(before) = before.filter(|before| before.is_server() != request.server && before.joined) {
            let is = if before.is_server() { "a server" } else { "an agent" };
            return Err(format!("it is in the cluster as {is}: let it leave first"));
        }
        if request.server && !record.embedded_etcd {
            return Err("the cluster keeps its state in SQLite, which is for one server alone: \
                        further servers need a cluster made with --embedded-etcd"
                .to_owned());
        }
        let version: K3sVersion =
            record.version.parse().map_err(|invalid: rackhaven_proto::Invalid| invalid.to_string())?;
        // One that an upgrade has brought further does not go back.
        let has = before.and_then(|before| before.version.parse().ok());
        let version = has.map_or(version.clone(), |has: K3sVersion| has.max(version));
        let host = match (request.server, before.and_then(|before| before.server_host.clone())) {
            (false, _) => None,
            (true, Some(host)) if request.address.is_empty() => Some(host),
            (true, _) => Some(self.host(node, &request.address, &options)?),
        };
        let number = before.map_or_else(|| record.next_number(), |before| before.number);
        let wanted = wanted(before, request.options.as_ref(), host, number, &version);
        record.members.insert(node.clone(), wanted);
        Ok(self.install(record, node, &version, request.fix).await?)
    }

    /// Writes down what a member is to be, makes it that, and waits until it is Ready.
    pub(super) async fn install(&self, record: Record, node: &NodeName, version: &K3sVersion, fix: bool) -> Installed {
        let files = self.files(node, version).await?;
        let settings =
            record.settings(node).ok_or_else(|| "the cluster has no server that it could join".to_owned())?;
        K3sSettings::try_from(settings.clone()).map_err(|invalid| invalid.to_string())?;
        let before = self.core.k3s_cluster.record()?;
        self.save(record)?;
        let task = Task::Install(v1::K3sInstall { settings: Some(settings), version: version.to_string(), fix });
        let refused = match self.order(node, task, files).await {
            Ok(carried) if !carried.report.needs_reboot => return Ok(self.take_in(node, version, carried).await?),
            Ok(_) => {
                let why = "what was put right counts after the next boot: ctl node reboot, and then the same again";
                Refused::from(why.to_owned())
            }
            Err(refused) => refused,
        };
        if refused.untouched {
            // What was said for it does not count: nothing has come of it.
            self.core.k3s_cluster.save(before)?;
        }
        Err(refused)
    }

    /// Writes down that a node has what was ordered, once it is Ready.
    async fn take_in(&self, node: &NodeName, version: &K3sVersion, carried: Carried) -> Outcome {
        let mut record = self.record()?;
        if let Some(access) = carried.report.access {
            check_k3s_access(&access).map_err(|invalid| format!("what it reports: {invalid}"))?;
            record.access = Some(Access { authority_pem: access.authority_pem, token: Secret(access.token) });
        }
        let member = record.members.get_mut(node).ok_or("it has left the cluster meanwhile")?;
        // Its API is spoken with from here on, if it is the first server.
        let was = std::mem::replace(&mut member.joined, true);
        self.save(record)?;
        if let Err(why) = self.until_ready(node, version).await {
            let mut record = self.record()?;
            if let Some(member) = record.members.get_mut(node) {
                member.joined = was;
            }
            self.save(record)?;
            return Err(fit(&why));
        }
        Ok((carried.changed, version.to_string()))
    }
}
