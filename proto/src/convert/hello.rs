use crate::PROTOCOL_VERSION;
use crate::model::{Ending, Hello, Invalid, LastRun, MacAddress, NodeFacts, RunId, plain_text};
use crate::v1;

/// Longest text among a node's facts, in bytes.
const MAX_FACT_BYTES: usize = 256;
/// Most interfaces by which a node can be woken.
const MAX_WAKE_MACS: usize = 8;

impl TryFrom<v1::NodeFacts> for NodeFacts {
    type Error = Invalid;

    fn try_from(wire: v1::NodeFacts) -> Result<Self, Invalid> {
        for (field, text) in [
            ("facts.hostname", &wire.hostname),
            ("facts.arch", &wire.arch),
            ("facts.os", &wire.os),
            ("facts.kernel", &wire.kernel),
            ("facts.model", &wire.model),
            ("facts.boot_id", &wire.boot_id),
        ] {
            plain_text(field, text, MAX_FACT_BYTES)?;
        }
        Ok(Self {
            hostname: wire.hostname,
            arch: wire.arch,
            os: wire.os,
            kernel: wire.kernel,
            model: wire.model,
            cpu_count: wire.cpu_count,
            memory_total_bytes: wire.memory_total_bytes,
            boot_id: wire.boot_id,
            wake_macs: wake_macs(&wire.wake_macs)?,
        })
    }
}

fn wake_macs(wire: &[String]) -> Result<Vec<MacAddress>, Invalid> {
    if wire.len() > MAX_WAKE_MACS {
        let reason = format!("are {}, at most {MAX_WAKE_MACS} are allowed", wire.len());
        return Err(Invalid::new("facts.wake_macs", reason));
    }
    let parsed = wire.iter().map(|text| text.parse());
    parsed.collect::<Result<_, Invalid>>().map_err(|invalid| Invalid::new("facts.wake_macs", invalid.reason))
}

impl From<NodeFacts> for v1::NodeFacts {
    fn from(facts: NodeFacts) -> Self {
        Self {
            hostname: facts.hostname,
            arch: facts.arch,
            os: facts.os,
            kernel: facts.kernel,
            model: facts.model,
            cpu_count: facts.cpu_count,
            memory_total_bytes: facts.memory_total_bytes,
            boot_id: facts.boot_id,
            wake_macs: facts.wake_macs.iter().map(ToString::to_string).collect(),
        }
    }
}

impl TryFrom<v1::LastRun> for LastRun {
    type Error = Invalid;

    fn try_from(wire: v1::LastRun) -> Result<Self, Invalid> {
        use v1::last_run::Ending as Wire;
        plain_text("last_run.boot_id", &wire.boot_id, MAX_FACT_BYTES)?;
        plain_text("last_run.reason", &wire.reason, MAX_FACT_BYTES)?;
        let ending = match Wire::try_from(wire.ending) {
            Ok(Wire::Clean) => Ending::Clean,
            Ok(Wire::AgentKilled) => Ending::AgentKilled,
            Ok(Wire::NodeLost) => Ending::NodeLost,
            Ok(Wire::Unspecified) | Err(_) => {
                return Err(Invalid::new("last_run.ending", format!("{} is not known", wire.ending)));
            }
        };
        Ok(Self { ending, boot_id: wire.boot_id, reason: wire.reason })
    }
}

impl From<LastRun> for v1::LastRun {
    fn from(last: LastRun) -> Self {
        use v1::last_run::Ending as Wire;
        let ending = match last.ending {
            Ending::Clean => Wire::Clean,
            Ending::AgentKilled => Wire::AgentKilled,
            Ending::NodeLost => Wire::NodeLost,
        };
        Self { ending: ending.into(), boot_id: last.boot_id, reason: last.reason }
    }
}

impl TryFrom<v1::Hello> for Hello {
    type Error = Invalid;

    fn try_from(wire: v1::Hello) -> Result<Self, Invalid> {
        if wire.protocol != PROTOCOL_VERSION {
            return Err(Invalid::new(
                "hello.protocol",
                format!("is {}, this controller speaks {PROTOCOL_VERSION}", wire.protocol),
            ));
        }
        plain_text("hello.agent_version", &wire.agent_version, 64)?;
        let run_id = wire
            .run_id
            .as_slice()
            .try_into()
            .map_err(|_| Invalid::new("hello.run_id", format!("{} bytes long, not 16", wire.run_id.len())))?;
        Ok(Self {
            node: wire.node.parse()?,
            agent_version: wire.agent_version,
            run_id: RunId(run_id),
            facts: wire.facts.ok_or_else(|| Invalid::new("hello.facts", "is missing"))?.try_into()?,
            last_run: wire.last_run.map(LastRun::try_from).transpose()?,
            wall_unix_ms: wire.wall_unix_ms,
        })
    }
}

impl From<Hello> for v1::Hello {
    fn from(hello: Hello) -> Self {
        Self {
            protocol: PROTOCOL_VERSION,
            node: hello.node.to_string(),
            agent_version: hello.agent_version,
            run_id: hello.run_id.0.to_vec(),
            facts: Some(hello.facts.into()),
            last_run: hello.last_run.map(Into::into),
            wall_unix_ms: hello.wall_unix_ms,
        }
    }
}
