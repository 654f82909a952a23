use rackhaven_proto::model::NodeName;
use rackhaven_proto::v1;
use rackhaven_proto::v1::k3s_order::Task;
use rackhaven_proto::v1::k3s_step::State;

use super::Sequence;
use super::record::Record;
use super::sequence::{Outcome, ended};

impl Sequence {
    /// Takes nodes out, one after another; one that cannot leave does not keep the others in.
    pub async fn leave(&self, mut nodes: Vec<NodeName>, request: &v1::K3sLeaveRequest) -> Vec<v1::K3sEnded> {
        if let Ok(Some(record)) = self.core.k3s_cluster.record() {
            // Servers leave behind agents, the first one last.
            let member = |node: &NodeName| record.members.get(node).filter(|member| member.is_server());
            nodes.sort_by_key(|node| member(node).map(|server| std::cmp::Reverse(server.number)));
        }
        let mut all = Vec::new();
        for node in nodes {
            let outcome = self.leave_one(&node, request).await;
            all.push(ended(&node, outcome));
        }
        all
    }

    async fn leave_one(&self, node: &NodeName, request: &v1::K3sLeaveRequest) -> Outcome {
        self.hindered()?;
        let record = self.core.k3s_cluster.record()?;
        let Some((record, member)) = record.as_ref().and_then(|record| Some((record, record.members.get(node)?)))
        else {
            return self.leave_unknown(node, request.forget).await;
        };
        let is_server = member.is_server();
        may_leave(record, node)?;
        let is_last = record.members.len() == 1;
        if !is_last && member.joined {
            if !request.forget && request.drain_seconds > 0 {
                self.drain(node, "leave", request.drain_seconds).await?;
            }
            // etcd counts a server until its node is deleted: one that has stopped before could take the majority with it.
            if is_server && record.embedded_etcd && !request.forget {
                self.delete(node).await?;
            }
        }
        let mut text = String::new();
        if request.forget {
            text.push_str("it is only forgotten: K3s stays on it until it is reached again, or reimaged");
        } else {
            self.order(node, Task::Remove(v1::K3sRemove {}), Vec::new()).await?;
        }
        if !is_last {
            match self.delete(node).await {
                Err(why) if request.forget => text.push_str(&format!("; the cluster may know it still: {why}")),
                Err(why) => return Err(format!("{why}; once the cluster is past help, --forget goes on without it")),
                Ok(()) => {}
            }
        }
        let mut record = self.record()?;
        record.members.remove(node);
        let left = (!record.members.is_empty()).then_some(record);
        if left.is_none() && text.is_empty() {
            text = "the cluster has ended".to_owned();
        }
        self.core.k3s_cluster.save(left)?;
        Ok((true, text))
    }

    /// Takes K3s off a node that no cluster knows: one that was forgotten while it could not be reached.
    async fn leave_unknown(&self, node: &NodeName, forget: bool) -> Outcome {
        let changed = !forget && self.order(node, Task::Remove(v1::K3sRemove {}), Vec::new()).await?.changed;
        let text = if changed { "of a cluster that has forgotten it" } else { "it is not in the cluster" };
        Ok((changed, text.to_owned()))
    }

    /// Deletes a node, and with it the password by which another of this name would be refused.
    async fn delete(&self, node: &NodeName) -> Result<(), String> {
        const STEP: &str = "delete from the cluster";
        self.teller.step(node, STEP, State::Running, "");
        match self.delete_node(node).await {
            Ok(true) => self.teller.step(node, STEP, State::Done, ""),
            Ok(false) => self.teller.step(node, STEP, State::Unchanged, "it was not there"),
            Err(why) => {
                self.teller.step(node, STEP, State::Failed, why.clone());
                return Err(why);
            }
        }
        Ok(())
    }
}

/// Whether the cluster goes on without it.
fn may_leave(record: &Record, node: &NodeName) -> Result<(), String> {
    if !record.members.get(node).is_some_and(|member| member.is_server() && member.joined) {
        return Ok(());
    }
    let others = record.members.iter().filter(|(name, _)| *name != node);
    let (servers, agents): (Vec<_>, Vec<_>) = others.partition(|(_, other)| other.is_server());
    if servers.iter().any(|(_, other)| other.joined) || (servers.is_empty() && agents.is_empty()) {
        return Ok(());
    }
    let names: Vec<_> = servers.iter().chain(&agents).map(|(name, _)| name.as_str()).collect();
    Err(format!("it is the cluster's last server: let {} leave first", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::super::wanted::member;
    use super::{Record, may_leave};

    #[test]
    fn the_last_server_leaves_last() {
        let mut record = Record::new("v1.31.4+k3s1", true).unwrap();
        let options = Default::default();
        let mut add = |name: &str, host: Option<&str>, joined: bool| {
            let host = host.map(str::to_owned);
            let mut new = member(&options, host, record.next_number(), String::new());
            new.joined = joined;
            record.members.insert(name.parse().unwrap(), new);
            record.clone()
        };
        let name = |text: &str| text.parse().unwrap();
        let alone = add("master", Some("10.0.0.1"), true);
        assert_eq!(may_leave(&alone, &name("master")), Ok(()));
        let with_agent = add("pi-1", None, true);
        assert_eq!(may_leave(&with_agent, &name("pi-1")), Ok(()));
        let refused = may_leave(&with_agent, &name("master")).unwrap_err();
        assert_eq!(refused, "it is the cluster's last server: let pi-1 leave first");
        // One on its way in does not carry the cluster.
        let half = add("pi-2", Some("10.0.0.2"), false);
        assert!(may_leave(&half, &name("master")).is_err());
        assert_eq!(may_leave(&half, &name("pi-2")), Ok(()));
        let two = add("pi-2", Some("10.0.0.2"), true);
        assert_eq!(may_leave(&two, &name("master")), Ok(()));
    }
}
