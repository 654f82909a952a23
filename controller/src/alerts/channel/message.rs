//! What people read: the first line says what and where, the next what to do, so that a phone's lock screen is enough.

use rackhaven_proto::model::Severity;

use super::{Item, ItemState, Notification};

/// So many alerts are written out in a message to a phone; the others are counted.
pub(super) const PHONE_ITEMS: usize = 8;
/// The longest line of one alert, characters.
const LINE_CHARS: usize = 200;
/// So many nodes are named in the title.
const TITLE_NODES: usize = 3;

/// The first line: what and where.
pub(super) fn title(notification: &Notification) -> String {
    let cluster = clean(&notification.cluster);
    let [first, rest @ ..] = notification.items.as_slice() else {
        return format!("{cluster}: nothing to tell");
    };
    if rest.is_empty() {
        return headline(first, &cluster);
    }
    let items = &notification.items;
    let word = |item: &Item| if item.state == ItemState::Repeated { item.severity.as_str() } else { word(item) };
    let mut kinds: Vec<(&str, usize)> = Vec::new();
    for item in items {
        match kinds.iter_mut().find(|(kind, _)| *kind == word(item)) {
            Some((_, count)) => *count += 1,
            None => kinds.push((word(item), 1)),
        }
    }
    let kinds: Vec<_> = kinds.iter().map(|(kind, count)| counted(*count, kind)).collect();
    let mut places: Vec<String> = Vec::new();
    for place in items.iter().map(|item| place(item, &cluster)) {
        if !places.contains(&place) {
            places.push(place);
        }
    }
    let others = places.len().saturating_sub(TITLE_NODES);
    places.truncate(TITLE_NODES);
    let more = if others > 0 { format!(" and {others} more") } else { String::new() };
    format!("{} on {}{more}", kinds.join(", "), places.join(", "))
}

fn counted(count: usize, kind: &str) -> String {
    let plural = if count > 1 && kind == "warning" { "s" } else { "" };
    format!("{count} {kind}{plural}")
}

/// The rest: what to do, or the alerts one by one; the fleet's verdict last.
pub(super) fn body(notification: &Notification, items_most: usize) -> String {
    let cluster = clean(&notification.cluster);
    let mut lines = Vec::new();
    if let [only] = notification.items.as_slice() {
        lines.extend(advice(only));
    } else {
        for item in notification.items.iter().take(items_most) {
            lines.push(headline(item, &cluster));
            lines.extend(advice(item).map(|advice| format!("  {advice}")));
        }
        let others = notification.items.len().saturating_sub(items_most);
        if others > 0 {
            lines.push(format!("and {others} more: ctl alerts list"));
        }
    }
    let status = shorten(clean(&notification.status_line));
    lines.push(if status.is_empty() { cluster } else { format!("{cluster}: {status}") });
    lines.join("\n")
}

/// One alert in one line.
pub(super) fn headline(item: &Item, cluster: &str) -> String {
    let (summary, instance) = (clean(&item.summary), clean(&item.instance));
    let what =
        if instance.is_empty() || summary.contains(&instance) { summary } else { format!("{summary} ({instance})") };
    let since = match item.state {
        ItemState::Firing | ItemState::Test => String::new(),
        ItemState::Repeated => ", still".to_owned(),
        ItemState::Resolved => {
            let length = |end: i64| format!(", after {}", words(end.saturating_sub(item.since_unix_ms)));
            item.ended_unix_ms.map_or_else(String::new, length)
        }
    };
    shorten(format!("{} {}: {what}{since}", word(item).to_uppercase(), place(item, cluster)))
}

/// What to do, if there is something to be done.
fn advice(item: &Item) -> Option<String> {
    let advice = clean(&item.advice);
    (item.state != ItemState::Resolved && !advice.is_empty()).then(|| shorten(advice))
}

fn word(item: &Item) -> &'static str {
    match item.state {
        ItemState::Firing | ItemState::Repeated => item.severity.as_str(),
        ItemState::Resolved => "resolved",
        ItemState::Test => "test",
    }
}

fn place(item: &Item, cluster: &str) -> String {
    item.node.as_deref().map_or_else(|| cluster.to_owned(), clean)
}

/// The worst that is told and has not ended; none if all have.
pub(super) fn worst(notification: &Notification) -> Option<Severity> {
    let firing = |item: &&Item| matches!(item.state, ItemState::Firing | ItemState::Repeated);
    notification.items.iter().filter(firing).map(|item| item.severity).max()
}

/// Whether it is nothing but an admin's test.
pub(super) fn is_test(notification: &Notification) -> bool {
    notification.items.iter().all(|item| item.state == ItemState::Test)
}

/// A length of time for a person.
fn words(length_ms: i64) -> String {
    let seconds = length_ms.max(0) / 1000;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

fn shorten(text: String) -> String {
    match text.char_indices().nth(LINE_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// Text of peers in one line: without control characters, and without those that turn the direction of writing.
pub(super) fn clean(text: &str) -> String {
    let shown = |c: char| match c {
        '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => ' ',
        c if c.is_control() => ' ',
        c => c,
    };
    text.chars().map(shown).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{notification, one, resolved};
    use super::{body, clean, title, words};

    #[test]
    fn on_a_phone() {
        for (name, notification) in
            [("one", one()), ("resolved", resolved()), ("several", notification(3)), ("many", notification(12))]
        {
            insta::assert_snapshot!(
                name,
                format!("{}\n{}", title(&notification), body(&notification, super::PHONE_ITEMS))
            );
        }
    }

    #[test]
    fn lengths_of_time() {
        for (length_ms, text) in
            [(-5, "0 s"), (59_999, "59 s"), (60_000, "1 min"), (3_600_000, "1 h 0 min"), (90_000_000, "1 d 1 h")]
        {
            assert_eq!(words(length_ms), text);
        }
        assert_eq!(words(i64::MAX), "106751991167 d 7 h");
    }

    #[test]
    fn strangers_texts_stay_in_their_line() {
        assert_eq!(clean("a\r\nBcc: b\u{1b}[0m\u{202e}c"), "a  Bcc: b [0m c");
        let mut long = one();
        long.items[0].summary = "ä".repeat(100_000);
        assert!(title(&long).chars().count() < 210);
    }
}
