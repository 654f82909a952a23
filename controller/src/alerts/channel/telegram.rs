use serde_json::json;

use super::Notification;
use super::http::Call;
use super::message::{self, PHONE_ITEMS};
use super::secret::Secret;
use super::url::Url;

/// A request to Telegram's Bot API, at `base` or a server of one's own. The text is plain: nothing in it is markup.
///
/// # Errors
/// The token cannot be one.
pub(super) fn call(notification: &Notification, base: &Url, chat: &str, token: Secret) -> Result<Call, String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b":_-".contains(&byte);
    if !token.expose().bytes().all(plain) {
        return Err("the bot's token holds what no token holds".to_owned());
    }
    let path = format!("{}/bot{}/sendMessage", base.target().trim_end_matches('/'), token.expose());
    let url = base.with_path(&path)?;
    Ok(Call { url, headers: Vec::new(), json: Some(body(notification, chat)), secrets: vec![token] })
}

fn body(notification: &Notification, chat: &str) -> String {
    let text = format!("{}\n{}", message::title(notification), message::body(notification, PHONE_ITEMS));
    json!({
        "chat_id": chat,
        "text": text,
        "link_preview_options": { "is_disabled": true },
        // What has ended need not wake anybody.
        "disable_notification": message::worst(notification).is_none() && !message::is_test(notification),
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{notification, one, resolved};
    use super::{Secret, Url, body, call};

    #[test]
    fn bodies() {
        for (name, notification) in [("one", one()), ("resolved", resolved()), ("several", notification(3))] {
            insta::assert_snapshot!(name, body(&notification, "-10042"));
        }
    }

    #[test]
    fn the_token_is_in_the_path_alone() {
        let base = Url::parse("https://api.telegram.org").unwrap();
        let call = call(&one(), &base, "1", Secret::from("42:se-same")).unwrap();
        assert_eq!(call.url.target(), "/bot42:se-same/sendMessage");
        assert!(!format!("{call:?}").contains("se-same"));
        super::call(&one(), &base, "1", Secret::from("42/../x")).unwrap_err();
    }
}
