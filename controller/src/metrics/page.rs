use std::fmt::Write;

use super::catalogue::{Family, Kind};

/// The longest value of a label, bytes; what is longer is cut. A sample's own texts may be as long.
const LABEL_BYTES: usize = 256;

/// How metrics are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// OpenMetrics 1.0.0.
    OpenMetrics,
    /// Prometheus's text format 0.0.4.
    Plain,
}

impl Form {
    /// The type of the content, for HTTP.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Plain => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// A number as a sample has it.
pub(super) trait Value {
    /// Writes it.
    fn write(self, text: &mut String);
}

/// All metrics as one text, written from the top to the bottom.
pub(super) struct Page {
    text: String,
    form: Form,
}

/// The samples of one metric. Its head is written with the first of them.
pub(super) struct Samples<'a> {
    page: &'a mut Page,
    family: &'static Family,
    begun: bool,
}

impl Page {
    /// An empty one, with room for so many bytes.
    pub(super) fn new(form: Form, room_bytes: usize) -> Self {
        Self { text: String::with_capacity(room_bytes), form }
    }

    /// Begins a metric. All of its samples come together.
    pub(super) fn family(&mut self, family: &'static Family) -> Samples<'_> {
        Samples { page: self, family, begun: false }
    }

    /// A metric without labels.
    pub(super) fn single(&mut self, family: &'static Family, value: impl Value) {
        self.family(family).put(&[], value);
    }

    /// The whole text.
    pub(super) fn finish(mut self) -> String {
        if self.form == Form::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }

    fn head(&mut self, family: &Family) {
        let Family { name, kind, help, .. } = family;
        // Writing to a string cannot fail.
        let _ = match self.form {
            Form::OpenMetrics => {
                let unit = family.unit().map(|unit| format!("# UNIT {name} {unit}\n")).unwrap_or_default();
                writeln!(self.text, "# TYPE {name} {}\n{unit}# HELP {name} {help}", kind.as_str())
            }
            // The old format knows no infos, and takes the suffix for a part of the name.
            Form::Plain => {
                let word = if *kind == Kind::Info { Kind::Gauge } else { *kind }.as_str();
                let suffix = kind.suffix();
                writeln!(self.text, "# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {word}")
            }
        };
    }
}

impl Samples<'_> {
    /// One sample, with the values of the metric's labels in their order.
    pub(super) fn put(&mut self, labels: &[&str], value: impl Value) {
        self.put_with(labels, [], value);
    }

    /// The same with more labels: names that are allowed, each once.
    pub(super) fn put_with<'b>(
        &mut self,
        labels: &[&'b str],
        more: impl IntoIterator<Item = (&'b str, &'b str)>,
        value: impl Value,
    ) {
        let names = self.family.labels;
        self.line(names.iter().copied().zip(labels.iter().copied()).chain(more), value);
    }

    /// 1 for the word that holds and 0 for the others; the word is the last label.
    pub(super) fn put_one_of(&mut self, labels: &[&str], words: &[&str], holds: &str) {
        let names = self.family.labels;
        for word in words {
            let values = labels.iter().chain([word]);
            self.line(names.iter().copied().zip(values.copied()), *word == holds);
        }
    }

    fn line<'b>(&mut self, labels: impl Iterator<Item = (&'b str, &'b str)>, value: impl Value) {
        if !self.begun {
            self.page.head(self.family);
            self.begun = true;
        }
        let text = &mut self.page.text;
        text.push_str(self.family.name);
        text.push_str(self.family.kind.suffix());
        let mut between = '{';
        for (name, value) in labels {
            text.push(between);
            text.push_str(name);
            text.push_str("=\"");
            escape(text, value);
            text.push('"');
            between = ',';
        }
        text.push_str(if between == ',' { "} " } else { " " });
        value.write(text);
        text.push('\n');
    }
}

/// Writes a label's value: escaped, without control characters, of a bounded length.
fn escape(text: &mut String, value: &str) {
    let mut end = value.len().min(LABEL_BYTES);
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    let value = &value[..end];
    let plain = |byte: u8| byte.is_ascii() && !byte.is_ascii_control() && byte != b'"' && byte != b'\\';
    if value.bytes().all(plain) {
        return text.push_str(value);
    }
    for c in value.chars().filter(|c| !c.is_control()) {
        if matches!(c, '"' | '\\') {
            text.push('\\');
        }
        text.push(c);
    }
}

/// A percentage as a ratio, without the digits that binary fractions add.
pub(super) fn ratio(percent: f32) -> f64 {
    (f64::from(percent) * 1e4).round() / 1e6
}

/// Milliseconds as seconds.
pub(super) fn seconds(ms: impl Into<i128>) -> Seconds {
    Seconds(ms.into())
}

/// Seconds, counted in thousandths.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seconds(i128);

impl Value for Seconds {
    fn write(self, text: &mut String) {
        let (whole, rest) = (self.0.unsigned_abs() / 1000, self.0.unsigned_abs() % 1000);
        let sign = if self.0 < 0 { "-" } else { "" };
        let _ = match rest {
            0 => write!(text, "{sign}{whole}"),
            _ => write!(text, "{sign}{whole}.{rest:03}"),
        };
    }
}

impl Value for u64 {
    fn write(self, text: &mut String) {
        let _ = write!(text, "{self}");
    }
}

impl Value for u32 {
    fn write(self, text: &mut String) {
        u64::from(self).write(text);
    }
}

impl Value for f64 {
    fn write(self, text: &mut String) {
        let _ = match self {
            f64::INFINITY => text.write_str("+Inf"),
            f64::NEG_INFINITY => text.write_str("-Inf"),
            finite => write!(text, "{finite}"),
        };
    }
}

impl Value for f32 {
    fn write(self, text: &mut String) {
        if self.is_finite() {
            let _ = write!(text, "{self}");
        } else {
            f64::from(self).write(text);
        }
    }
}

impl Value for bool {
    fn write(self, text: &mut String) {
        text.push(if self { '1' } else { '0' });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::catalogue::{Family, Kind};
    use super::{Form, LABEL_BYTES, Page, Value, ratio, seconds};

    static INFO: Family = Family { name: "a", kind: Kind::Info, labels: &["x", "y"], help: "What it is." };
    static COUNTER: Family = Family { name: "b_bytes", kind: Kind::Counter, labels: &[], help: "How many." };

    fn page(form: Form) -> String {
        let mut page = Page::new(form, 0);
        let mut samples = page.family(&INFO);
        samples.put(&["1", "\"\\"], true);
        samples.put_with(&["2", "ä"], [("z", "3")], true);
        page.single(&COUNTER, 7_u64);
        page.family(&INFO);
        page.finish()
    }

    #[test]
    fn both_forms() {
        let open = "# TYPE a info\n# HELP a What it is.\na_info{x=\"1\",y=\"\\\"\\\\\"} 1\na_info{x=\"2\",y=\"ä\",z=\"3\"} 1\n\
                    # TYPE b_bytes counter\n# UNIT b_bytes bytes\n# HELP b_bytes How many.\nb_bytes_total 7\n# EOF\n";
        assert_eq!(page(Form::OpenMetrics), open);
        let plain = "# HELP a_info What it is.\n# TYPE a_info gauge\na_info{x=\"1\",y=\"\\\"\\\\\"} 1\n\
                     a_info{x=\"2\",y=\"ä\",z=\"3\"} 1\n# HELP b_bytes_total How many.\n# TYPE b_bytes_total counter\n\
                     b_bytes_total 7\n";
        assert_eq!(page(Form::Plain), plain);
    }

    fn text(value: impl Value) -> String {
        let mut text = String::new();
        value.write(&mut text);
        text
    }

    #[test]
    fn numbers() {
        assert_eq!([text(0_u64), text(u64::MAX), text(true)], ["0", "18446744073709551615", "1"]);
        assert_eq!([text(ratio(12.3)), text(ratio(100.0)), text(ratio(0.02))], ["0.123", "1", "0.0002"]);
        assert_eq!([text(47.2_f32), text(1e-7_f64), text(-3.5_f64)], ["47.2", "0.0000001", "-3.5"]);
        assert_eq!([text(f64::INFINITY), text(f32::NEG_INFINITY), text(f64::NAN)], ["+Inf", "-Inf", "NaN"]);
        assert_eq!([text(seconds(1_500)), text(seconds(2_000)), text(seconds(-7))], ["1.500", "2", "-0.007"]);
        assert_eq!(text(seconds(i64::MIN)), "-9223372036854775.808");
    }

    /// Reads the labels of a sample as the format says them: the reader's side, which knows nothing of the writer's.
    fn read(line: &str) -> Option<(Vec<(String, String)>, &str)> {
        let mut rest = line.split_once('{')?.1;
        let mut labels = Vec::new();
        loop {
            let (name, value) = rest.split_once("=\"")?;
            let (mut read, mut chars) = (String::new(), value.char_indices());
            let end = loop {
                match chars.next()? {
                    (end, '"') => break end,
                    (_, '\\') => read.push(match chars.next()?.1 {
                        'n' => '\n',
                        c @ ('"' | '\\') => c,
                        _ => return None,
                    }),
                    (_, c) => read.push(c),
                }
            };
            labels.push((name.to_owned(), read));
            match value[end + 1..].split_at(1) {
                (",", more) => rest = more,
                ("}", more) => return Some((labels, more.strip_prefix(' ')?)),
                _ => return None,
            }
        }
    }

    proptest! {
        #[test]
        fn whatever_a_label_holds_is_read_back_without_control_characters(x in ".*", y in any::<String>()) {
            let mut page = Page::new(Form::Plain, 0);
            page.family(&INFO).put(&[&x, &y], 1_u64);
            let text = page.finish();
            let lines: Vec<_> = text.lines().collect();
            prop_assert_eq!(lines.len(), 3);
            let (labels, value) = read(lines[2]).unwrap();
            prop_assert_eq!(value, "1");
            let wanted = |text: &str| -> String {
                let ends = text.char_indices().map(|(at, c)| (at + c.len_utf8(), c));
                ends.take_while(|(end, _)| *end <= LABEL_BYTES).map(|(_, c)| c).filter(|c| !c.is_control()).collect()
            };
            prop_assert_eq!(labels, vec![("x".to_owned(), wanted(&x)), ("y".to_owned(), wanted(&y))]);
        }
    }
}
