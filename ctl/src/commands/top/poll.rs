//! What is asked of the controller. Nothing here changes anything, but [`acknowledge`].

use std::time::Duration;

use rackhaven_proto::v1::{AckAlertRequest, GetNodeRequest, ListEventsRequest};

use super::view::{Answer, MAX_EVENTS, Question};
use crate::commands::events::EventReport;
use crate::commands::node::{LiveNode, Selector};
use crate::commands::status;
use crate::connection::Connection;
use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::connect;
use crate::target::Target;
use crate::text::Text;

/// Asks over a connection that is there.
pub(super) async fn ask(connection: &Connection, question: &Question, selector: &Selector) -> Result<Answer, CtlError> {
    let mut report = status::fetch(connection).await?;
    report.nodes.retain(|node| selector.matches(&node.labels));
    let node = match &question.node {
        Some(name) => Some((name.clone(), node(connection, name).await?)),
        None => None,
    };
    Ok(Answer { report, events: events(connection, question.events_after).await?, node })
}

/// Asks once more, over the old connection if there is one.
pub(super) async fn look(
    target: &Target,
    timeout: Duration,
    connection: Option<Connection>,
    question: Question,
    selector: &Selector,
) -> (Option<Connection>, Result<Answer, CtlError>) {
    let connection = match again(target, timeout, connection).await {
        Ok(connection) => connection,
        Err(error) => return (None, Err(error)),
    };
    match ask(&connection, &question, selector).await {
        Ok(answer) => (Some(connection), Ok(answer)),
        Err(error) => (None, Err(error)),
    }
}

/// Says that an alert is known, over a connection of its own: what is asked meanwhile must not hold it up.
pub(super) async fn acknowledge(target: &Target, timeout: Duration, key: String) -> (String, Result<(), CtlError>) {
    let asked = async {
        let connection = again(target, timeout, None).await?;
        connection.answer(connection.alerts().ack(AckAlertRequest { key: key.clone() })).await.map(drop)
    };
    let outcome = asked.await;
    (key, outcome)
}

async fn again(target: &Target, timeout: Duration, connection: Option<Connection>) -> Result<Connection, CtlError> {
    match connection {
        Some(connection) => Ok(connection),
        None => connect(&mut target.again()?, timeout).await.map(|(connection, _)| connection),
    }
}

/// One node. That it is no more is an answer.
async fn node(connection: &Connection, name: &Text) -> Result<Result<LiveNode, String>, CtlError> {
    match connection.answer(connection.fleet().get_node(GetNodeRequest { name: name.to_string() })).await {
        Ok(detail) => LiveNode::new(detail).map(Ok).map_err(|invalid| CtlError::strange_answer(&invalid)),
        Err(error) if error.status() == ExitStatus::Failed => Ok(Err(error.message().to_owned())),
        Err(error) => Err(error),
    }
}

async fn events(connection: &Connection, after_position: u64) -> Result<Vec<EventReport>, CtlError> {
    let limit = MAX_EVENTS as u32;
    let request = ListEventsRequest { limit, node: String::new(), after_position, follow: false };
    let mut stream = connection.answer(connection.events().list(request)).await?;
    let mut events = Vec::new();
    while let Some(event) = connection.answer_of_stream(&mut stream).await? {
        events.push(EventReport::new(event).map_err(|invalid| CtlError::strange_answer(&invalid))?);
    }
    Ok(events)
}
