use serde_json::json;

use super::Notification;
use super::http::Call;
use super::message::{self, PHONE_ITEMS};
use super::url::Url;

/// Discord refuses longer messages.
const CONTENT_CHARS: usize = 2000;
/// No previews of links.
const SUPPRESS_EMBEDS: u32 = 1 << 2;

/// A request to a webhook of Discord's.
pub(super) fn call(notification: &Notification, url: Url) -> Call {
    Call { url, headers: Vec::new(), json: Some(body(notification)), secrets: Vec::new() }
}

fn body(notification: &Notification) -> String {
    let title = escape(&message::title(notification));
    let content = format!("**{title}**\n{}", escape(&message::body(notification, PHONE_ITEMS)));
    let content: String = content.chars().take(CONTENT_CHARS).collect();
    // Nobody is called by name, whatever a peer's text says.
    json!({ "content": content, "allowed_mentions": { "parse": [] }, "flags": SUPPRESS_EMBEDS }).to_string()
}

/// So that no text of a peer is taken for markup.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if "\\*_~`|>#[]<@".contains(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
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

    #[test]
    fn never_longer_than_discord_takes() {
        let mut long = notification(8);
        for item in &mut long.items {
            item.summary = "_".repeat(500);
        }
        let json: serde_json::Value = serde_json::from_str(&body(&long)).unwrap();
        assert_eq!(json["content"].as_str().unwrap().chars().count(), 2000);
    }
}
