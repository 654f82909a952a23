use crate::model::{Invalid, NodeState, Role, Verdict};
use crate::v1;

impl TryFrom<v1::Role> for Role {
    type Error = Invalid;

    fn try_from(wire: v1::Role) -> Result<Self, Invalid> {
        match wire {
            v1::Role::Viewer => Ok(Self::Viewer),
            v1::Role::Operator => Ok(Self::Operator),
            v1::Role::Admin => Ok(Self::Admin),
            v1::Role::Unspecified => Err(Invalid::new("role", "is missing")),
        }
    }
}

impl From<Role> for v1::Role {
    fn from(role: Role) -> Self {
        match role {
            Role::Viewer => Self::Viewer,
            Role::Operator => Self::Operator,
            Role::Admin => Self::Admin,
        }
    }
}

impl TryFrom<v1::NodeState> for NodeState {
    type Error = Invalid;

    fn try_from(wire: v1::NodeState) -> Result<Self, Invalid> {
        match wire {
            v1::NodeState::Unknown => Ok(Self::Unknown),
            v1::NodeState::Up => Ok(Self::Up),
            v1::NodeState::Suspect => Ok(Self::Suspect),
            v1::NodeState::Down => Ok(Self::Down),
            v1::NodeState::Off => Ok(Self::Off),
            v1::NodeState::Unspecified => Err(Invalid::new("node state", "is missing")),
        }
    }
}

impl From<NodeState> for v1::NodeState {
    fn from(state: NodeState) -> Self {
        match state {
            NodeState::Unknown => Self::Unknown,
            NodeState::Up => Self::Up,
            NodeState::Suspect => Self::Suspect,
            NodeState::Down => Self::Down,
            NodeState::Off => Self::Off,
        }
    }
}

impl TryFrom<v1::Verdict> for Verdict {
    type Error = Invalid;

    fn try_from(wire: v1::Verdict) -> Result<Self, Invalid> {
        match wire {
            v1::Verdict::Ok => Ok(Self::Ok),
            v1::Verdict::Degraded => Ok(Self::Degraded),
            v1::Verdict::Critical => Ok(Self::Critical),
            v1::Verdict::Unspecified => Err(Invalid::new("verdict", "is missing")),
        }
    }
}

impl From<Verdict> for v1::Verdict {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Ok => Self::Ok,
            Verdict::Degraded => Self::Degraded,
            Verdict::Critical => Self::Critical,
        }
    }
}
