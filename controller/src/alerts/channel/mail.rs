use std::time::{Duration, SystemTime};

use lettre::Message;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, SinglePart};
use rackhaven_proto::model::Severity;

use super::Notification;
use super::message;

/// So many alerts are written out in a letter.
const LETTER_ITEMS: usize = 50;
/// So much of an id is used in names, characters.
const NAME_CHARS: usize = 64;

/// The letter: plain text and the same as HTML. Its Message-ID follows from the notification's id, so that a second
/// copy is known as one; letters about one alert refer to one another, and are shown as one conversation.
///
/// # Errors
/// What stands in the way of it, which is a mistake in the settings.
pub(super) fn compose(notification: &Notification, from: &Mailbox, to: &[Mailbox]) -> Result<Message, String> {
    let title = message::title(notification);
    let body = message::body(notification, LETTER_ITEMS);
    let domain = from.email.domain();
    let id = name(&notification.id);
    let mut letter = Message::builder()
        .from(from.clone())
        .date(SystemTime::UNIX_EPOCH + Duration::from_millis(notification.sent_unix_ms.max(0).unsigned_abs()))
        .message_id(Some(format!("<{id}@{domain}>")))
        .subject(format!("[{}] {title}", message::clean(&notification.cluster)))
        .raw_header(header("Auto-Submitted", "auto-generated"));
    for recipient in to {
        letter = letter.to(recipient.clone());
    }
    if let [only] = notification.items.as_slice() {
        letter = letter.references(format!("<alert-{}@{domain}>", name(&only.key)));
    }
    if message::worst(notification) == Some(Severity::Critical) {
        letter = letter.raw_header(header("Importance", "high"));
    }
    let parts = MultiPart::alternative()
        .boundary(format!("=_rackhaven_{id}"))
        .singlepart(SinglePart::plain(format!("{title}\n{body}\n")))
        .singlepart(SinglePart::html(html(&title, &body)));
    letter.multipart(parts).map_err(|error| format!("writing the letter: {error}"))
}

fn header(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}

fn name(id: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '.' };
    id.chars().take(NAME_CHARS).map(plain).collect()
}

fn html(title: &str, body: &str) -> String {
    let mut html = format!("<p><b>{}</b></p>\n", escape(title));
    for line in body.lines() {
        html.push_str(&format!("<p>{}</p>\n", escape(line)));
    }
    html
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::super::testing::{notification, one, resolved};
    use super::compose;

    #[test]
    fn letters() {
        let from = "Rack <rack@example.org>".parse().unwrap();
        let to = ["a@example.org".parse().unwrap(), "Bé <b@example.org>".parse().unwrap()];
        for (name, notification) in [("one", one()), ("resolved", resolved()), ("several", notification(3))] {
            let letter = compose(&notification, &from, &to).unwrap().formatted();
            insta::assert_snapshot!(name, String::from_utf8(letter).unwrap().replace('\r', ""));
        }
    }

    #[test]
    fn peers_write_no_headers() {
        let mut hostile = one();
        hostile.id = "x>\r\nBcc: c@example.org".to_owned();
        hostile.cluster = "a\r\nBcc: c@example.org".to_owned();
        hostile.items[0].summary = "b\r\nBcc: c@example.org\r\n\r\nhello".to_owned();
        let letter = compose(&hostile, &"r@example.org".parse().unwrap(), &["a@example.org".parse().unwrap()]).unwrap();
        let letter = String::from_utf8(letter.formatted()).unwrap();
        assert!(!letter.lines().any(|line| line.starts_with("Bcc")), "{letter}");
    }
}
