use super::page::Form;

/// The form that suits who asks, from the values of its `Accept` headers: OpenMetrics for who prefers it.
pub(super) fn form<'a>(accept: impl Iterator<Item = &'a str>) -> Form {
    let (mut open, mut plain) = (0.0_f32, 0.0_f32);
    for range in accept.flat_map(|value| value.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
        let (mut weight, mut version) = (1.0_f32, "");
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            match name.trim().to_ascii_lowercase().as_str() {
                "q" => weight = value.trim().parse().ok().filter(|q| (0.0..=1.0).contains(q)).unwrap_or(0.0),
                "version" => version = value.trim().trim_matches('"'),
                _ => {}
            }
        }
        match kind.as_str() {
            "application/openmetrics-text" if matches!(version, "" | "1.0.0") => open = open.max(weight),
            "text/plain" | "text/*" | "*/*" => plain = plain.max(weight),
            _ => {}
        }
    }
    if open > 0.0 && open >= plain { Form::OpenMetrics } else { Form::Plain }
}

#[cfg(test)]
mod tests {
    use super::{Form, form};

    #[test]
    fn golden() {
        use Form::{OpenMetrics, Plain};
        for (accept, wanted) in [
            (&[][..], Plain),
            (&["*/*"], Plain),
            (&["text/html,*/*;q=0.8"], Plain),
            (&["text/plain; version=0.0.4"], Plain),
            (&["application/openmetrics-text"], OpenMetrics),
            (&["Application/OpenMetrics-Text; Version=\"1.0.0\"; charset=utf-8"], OpenMetrics),
            (&["application/openmetrics-text;version=0.0.1"], Plain),
            (&["application/openmetrics-text;version=1.0.0;q=0"], Plain),
            (&["application/openmetrics-text;version=1.0.0;q=nan,text/plain;q=0.1"], Plain),
            (&["application/openmetrics-text;version=1.0.0;q=0.3,text/plain;q=0.4"], Plain),
            (&["text/plain;q=0.5", "application/openmetrics-text;version=1.0.0"], OpenMetrics),
            // Prometheus 2.42 and 3.
            (
                &[
                    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                ],
                OpenMetrics,
            ),
            (
                &[
                    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                ],
                OpenMetrics,
            ),
        ] {
            assert_eq!(form(accept.iter().copied()), wanted, "{accept:?}");
        }
    }
}
