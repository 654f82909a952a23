use rackhaven_proto::model::Severity;
use serde_json::json;

use super::Notification;
use super::http::Call;
use super::message::{self, PHONE_ITEMS};
use super::secret::Secret;
use super::url::Url;

/// A request to an ntfy server. Its JSON goes to the server's root and names the topic: text in headers would have to be
/// ASCII.
///
/// # Errors
/// The address names no topic.
pub(super) fn call(notification: &Notification, topic_url: &Url, token: Option<Secret>) -> Result<Call, String> {
    let topic = topic(topic_url)?;
    let url = topic_url.with_path("/")?;
    let headers = token.iter().map(|token| ("authorization", format!("Bearer {}", token.expose()))).collect();
    Ok(Call { url, headers, json: Some(body(notification, topic)), secrets: token.into_iter().collect() })
}

/// The topic of `https://HOST/TOPIC`.
///
/// # Errors
/// There is none.
pub(super) fn topic(url: &Url) -> Result<&str, String> {
    let topic = url.target().trim_start_matches('/');
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    if topic.is_empty() || topic.len() > 64 || !topic.bytes().all(plain) {
        return Err("is not https://HOST/TOPIC; a topic is of letters, digits, - and _".to_owned());
    }
    Ok(topic)
}

fn body(notification: &Notification, topic: &str) -> String {
    let (priority, tag) = match message::worst(notification) {
        Some(Severity::Critical) => (5, "rotating_light"),
        Some(Severity::Warning) => (4, "warning"),
        Some(Severity::Info) => (3, "information_source"),
        None if message::is_test(notification) => (3, "test_tube"),
        None => (2, "white_check_mark"),
    };
    json!({
        "topic": topic,
        "title": message::title(notification),
        "message": message::body(notification, PHONE_ITEMS),
        "priority": priority,
        "tags": [tag],
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{notification, one, resolved};
    use super::{Secret, Url, body, call, topic};

    #[test]
    fn bodies() {
        for (name, notification) in [("one", one()), ("resolved", resolved()), ("several", notification(3))] {
            insta::assert_snapshot!(name, body(&notification, "rack"));
        }
    }

    #[test]
    fn the_topic_is_the_path() {
        let url = Url::parse("https://ntfy.sh/my-rack").unwrap();
        assert_eq!(topic(&url), Ok("my-rack"));
        let call = call(&one(), &url, Some(Secret::from("tk_1"))).unwrap();
        assert_eq!(call.url.target(), "/");
        assert_eq!(call.headers, [("authorization", "Bearer tk_1".to_owned())]);
        for wrong in ["https://ntfy.sh/", "https://ntfy.sh/a/b", "https://ntfy.sh/a?b"] {
            topic(&Url::parse(wrong).unwrap()).unwrap_err();
        }
    }
}
