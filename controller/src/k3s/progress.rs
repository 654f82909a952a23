use rackhaven_proto::v1;
use rackhaven_proto::v1::k3s_step::State;

/// What is told of a node's step, without figures.
pub fn step(node: impl Into<String>, name: &str, state: State, text: impl Into<String>) -> v1::K3sProgress {
    let step = v1::K3sStep { name: name.to_owned(), state: state.into(), text: text.into(), ..Default::default() };
    v1::K3sProgress { node: node.into(), step: Some(step), ..Default::default() }
}
