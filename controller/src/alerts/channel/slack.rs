use serde_json::json;

use super::Notification;
use super::http::Call;
use super::message::{self, PHONE_ITEMS};
use super::url::Url;

/// A request to an incoming webhook as Slack, Mattermost and Rocket.Chat have them.
pub(super) fn call(notification: &Notification, url: Url) -> Call {
    Call { url, headers: Vec::new(), json: Some(body(notification)), secrets: Vec::new() }
}

fn body(notification: &Notification) -> String {
    let (title, text) = (escape(&message::title(notification)), escape(&message::body(notification, PHONE_ITEMS)));
    json!({ "text": format!("{title}\n{text}"), "mrkdwn": false, "unfurl_links": false }).to_string()
}

/// So that no text of a peer becomes a link or calls a whole channel.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::super::testing::{notification, one, resolved};
    use super::body;

    #[test]
    fn bodies() {
        for (name, notification) in [("one", one()), ("resolved", resolved()), ("several", notification(3))] {
            insta::assert_snapshot!(name, body(&notification));
        }
    }
}
