use rackhaven_proto::Invalid;
use rackhaven_proto::model::NodeName;
use rackhaven_proto::model::k3s::K3sVersion;
use rackhaven_proto::v1;
use rackhaven_proto::v1::k3s_order::Task;

use super::Sequence;
use super::record::{Member, Record, Secret};
use super::sequence::{Outcome, ended, skipped};

/// So many minor versions may be passed over at a time: none (Kubernetes's version skew policy).
const MOST_MINORS: u32 = 1;
/// What a node is cordoned for.
const UPGRADE: &str = "upgrade";

impl Sequence {
    /// Saves the cluster's state on a server.
    pub async fn snapshot(&self, node: Option<NodeName>, name: String, keep: u32) -> Vec<v1::K3sEnded> {
        let record = self.record();
        let chosen = record.and_then(|record| {
            let servers = record.servers().into_iter().filter(|(_, member, _)| member.joined);
            let mut names = servers.map(|(name, ..)| name.clone());
            match node.clone() {
                Some(node) if names.any(|name| name == node) => Ok(node),
                Some(node) => Err(format!("{node} is not a server of the cluster")),
                None => names.next().ok_or_else(|| "the cluster has no server that is up".to_owned()),
            }
        });
        let server = match chosen {
            Ok(server) => server,
            Err(why) => {
                let node = node.map(|node| node.to_string()).unwrap_or_default();
                let result = v1::k3s_ended::Result::Failed.into();
                return vec![v1::K3sEnded { node, result, text: why }];
            }
        };
        let task = Task::Snapshot(v1::K3sSnapshot { name, keep });
        let carried = self.order(&server, task, Vec::new()).await.map_err(String::from);
        let outcome = carried.map(|carried| {
            let text = carried.report.snapshot.map(|file| format!("{} ({} bytes)", file.path, file.bytes));
            (true, super::teller::fit(&text.unwrap_or_default()))
        });
        vec![ended(&server, outcome)]
    }

    /// Brings one node after another to a release, servers first, and stops where one fails.
    pub async fn upgrade(&self, version: &K3sVersion, drain_seconds: u32) -> Result<Vec<v1::K3sEnded>, String> {
        let mut record = self.record()?;
        may_upgrade(&record, version)?;
        self.files_of_all(&record, |_| Ok(version.clone())).await?;
        let order = in_order(&record);
        let mut all: Vec<v1::K3sEnded> = Vec::new();
        let mut failed: Option<NodeName> = None;
        for node in order {
            if let Some(failed) = &failed {
                all.push(skipped(&node, &format!("{failed} has failed")));
                continue;
            }
            let outcome = self.upgrade_one(&node, version, drain_seconds).await;
            if outcome.is_err() {
                failed = Some(node.clone());
            }
            all.push(ended(&node, outcome));
            record = self.record()?;
            if record.version != version.as_str() && servers_have(&record, version) {
                // From here on nodes join with it, and not before: none may be ahead of its server.
                record.version = version.to_string();
                self.save(record)?;
            }
        }
        Ok(all)
    }

    async fn upgrade_one(&self, node: &NodeName, version: &K3sVersion, drain_seconds: u32) -> Outcome {
        self.hindered()?;
        let mut record = self.record()?;
        let member = record.members.get_mut(node).ok_or("it has left the cluster meanwhile")?;
        let is_done = member.version == version.as_str() && member.joined;
        if is_done && self.hindrance(node, version).await.is_none() {
            self.uncordon(node, UPGRADE).await?;
            return Ok((false, version.to_string()));
        }
        member.version = version.to_string();
        if drain_seconds > 0
            && let Err(why) = self.drain(node, UPGRADE, drain_seconds).await
        {
            return self.goes_on(node, why).await;
        }
        match self.install(record, node, version, false).await {
            Ok(outcome) => {
                self.uncordon(node, UPGRADE).await?;
                Ok(outcome)
            }
            Err(refused) if refused.untouched => self.goes_on(node, refused.why).await,
            Err(refused) => Err(refused.why),
        }
    }

    /// Lets a node, on which nothing was changed, go on as before.
    async fn goes_on(&self, node: &NodeName, why: String) -> Outcome {
        Err(match self.uncordon(node, UPGRADE).await {
            Ok(()) => why,
            Err(more) => format!("{why}; it stays cordoned: {more}"),
        })
    }

    /// Gives the cluster new tokens: first the servers one after another, then those who join with them.
    pub async fn rotate_token(&self) -> Result<Vec<v1::K3sEnded>, String> {
        self.hindered()?;
        let mut record = self.record()?;
        let first = record.servers().first().map(|(name, ..)| (*name).clone()).ok_or("the cluster has no server")?;
        self.files_of_all(&record, release).await?;
        // One that an earlier attempt began is gone on with: the cluster may have it already.
        let next = match &record.next_server_token {
            Some(next) => next.clone(),
            None => Secret::new()?,
        };
        record.next_server_token = Some(next.clone());
        let old = record.server_token.0.clone();
        self.save(record)?;
        let task = Task::NewToken(v1::K3sNewToken { old, new: next.0.clone() });
        self.order(&first, task, Vec::new()).await.map_err(|refused| format!("{first}: {}", refused.why))?;
        let mut record = self.record()?;
        record.server_token = next;
        record.next_server_token = None;
        record.agent_token = Secret::new()?;
        let order = in_order(&record);
        self.save(record)?;
        let mut all = Vec::new();
        for node in order {
            let outcome = self.take_over(&node).await;
            all.push(ended(&node, outcome));
        }
        Ok(all)
    }

    /// Lets a member have the settings that it is to have now, with the release that it has.
    async fn take_over(&self, node: &NodeName) -> Outcome {
        let record = self.record()?;
        let member = record.members.get(node).ok_or("it has left the cluster meanwhile")?;
        let version = release(member)?;
        Ok(self.install(record, node, &version, false).await?)
    }

    /// Looks before anything is changed whether all that it takes is here, by the release that each member is to have.
    async fn files_of_all(
        &self,
        record: &Record,
        release: impl Fn(&Member) -> Result<K3sVersion, String>,
    ) -> Result<(), String> {
        for (node, member) in &record.members {
            self.files(node, &release(member)?).await.map_err(|why| format!("{node}: {why}"))?;
        }
        Ok(())
    }
}

/// The release that a member has.
fn release(member: &Member) -> Result<K3sVersion, String> {
    member.version.parse().map_err(|invalid: Invalid| invalid.to_string())
}

/// Whether all servers that are in the cluster have a release.
fn servers_have(record: &Record, version: &K3sVersion) -> bool {
    record.servers().into_iter().all(|(_, server, _)| server.joined && server.version == version.as_str())
}

/// Servers in the order in which they came, then agents by name.
fn in_order(record: &Record) -> Vec<NodeName> {
    let servers = record.servers().into_iter().map(|(name, ..)| name.clone());
    let agents = record.members.iter().filter(|(_, member)| !member.is_server()).map(|(name, _)| name.clone());
    servers.chain(agents).collect()
}

/// Whether the cluster may be brought to a release.
fn may_upgrade(record: &Record, version: &K3sVersion) -> Result<(), String> {
    let now = record.members.values().filter_map(|member| member.version.parse::<K3sVersion>().ok());
    let (Some(oldest), Some(newest)) = (now.clone().min(), now.max()) else { return Ok(()) };
    if *version < newest {
        return Err(format!("{version} is older than {newest}, which is installed: K3s cannot go back"));
    }
    let ((major, minor), (next_major, next_minor)) = (oldest.minor(), version.minor());
    if next_major != major || next_minor > minor.saturating_add(MOST_MINORS) {
        return Err(format!("from {oldest} to {version} minor versions would be passed over: go through each of them"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::wanted::member;
    use super::{Record, in_order, may_upgrade};

    fn cluster(members: &[(&str, bool, &str)]) -> Record {
        let mut record = Record::new("v1.31.4+k3s1", true).unwrap();
        for (name, server, version) in members {
            let host = server.then(|| "10.0.0.1".to_owned());
            let new = member(&Default::default(), host, record.next_number(), (*version).to_owned());
            record.members.insert(name.parse().unwrap(), new);
        }
        record
    }

    #[test]
    fn servers_go_first_in_the_order_in_which_they_came() {
        let record = cluster(&[("z", true, "v1.31.4+k3s1"), ("b", false, ""), ("a", false, ""), ("m", true, "")]);
        let names: Vec<_> = in_order(&record).iter().map(ToString::to_string).collect();
        assert_eq!(names, ["z", "m", "a", "b"]);
    }

    #[test]
    fn no_minor_version_is_passed_over_and_none_gone_back() {
        for (installed, wanted, refused) in [
            ("v1.31.4+k3s1", "v1.31.4+k3s1", ""),
            ("v1.31.4+k3s1", "v1.31.4+k3s2", ""),
            ("v1.31.4+k3s1", "v1.32.0+k3s1", ""),
            ("v1.31.4+k3s1", "v1.33.0+k3s1", "minor versions would be passed over"),
            ("v1.31.4+k3s1", "v2.31.4+k3s1", "minor versions would be passed over"),
            ("v1.31.4+k3s1", "v1.31.3+k3s1", "is older than v1.31.4+k3s1"),
        ] {
            let outcome = may_upgrade(&cluster(&[("a", true, installed)]), &wanted.parse().unwrap());
            match refused {
                "" => assert_eq!(outcome, Ok(()), "{installed} {wanted}"),
                words => assert!(outcome.unwrap_err().contains(words), "{installed} {wanted}"),
            }
        }
        // An upgrade that stopped half-way is gone on with.
        let half = cluster(&[("a", true, "v1.32.0+k3s1"), ("b", false, "v1.31.4+k3s1")]);
        assert_eq!(may_upgrade(&half, &"v1.32.0+k3s1".parse().unwrap()), Ok(()));
        assert!(may_upgrade(&half, &"v1.33.0+k3s1".parse().unwrap()).is_err());
    }
}
