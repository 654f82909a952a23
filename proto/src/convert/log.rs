use crate::model::{Invalid, LogOrder, LogQuery, plain_text};
use crate::v1;

impl TryFrom<v1::LogQuery> for LogQuery {
    type Error = Invalid;

    fn try_from(wire: v1::LogQuery) -> Result<Self, Invalid> {
        if wire.units.len() > Self::MOST_UNITS {
            let reason = format!("{} units, at most {} are allowed", wire.units.len(), Self::MOST_UNITS);
            return Err(Invalid::new("log_query.units", reason));
        }
        if wire.limit > Self::MOST_LINES {
            return Err(Invalid::new("log_query.limit", format!("{} is more than {}", wire.limit, Self::MOST_LINES)));
        }
        let priority = |number: u32| {
            let syslog = u8::try_from(number).ok().filter(|number| *number <= 7);
            syslog.ok_or_else(|| Invalid::new("log_query.priority", format!("{number} is not between 0 and 7")))
        };
        Ok(Self {
            units: wire.units.iter().map(|unit| unit.parse()).collect::<Result<_, _>>()?,
            since_ms: wire.since_ms,
            limit: (wire.limit > 0).then_some(wire.limit),
            follow: wire.follow,
            priority: wire.priority.map(priority).transpose()?,
        })
    }
}

impl From<LogQuery> for v1::LogQuery {
    fn from(query: LogQuery) -> Self {
        Self {
            units: query.units.iter().map(ToString::to_string).collect(),
            since_ms: query.since_ms,
            limit: query.limit.unwrap_or(0),
            follow: query.follow,
            priority: query.priority.map(u32::from),
        }
    }
}

impl TryFrom<v1::LogOrder> for LogOrder {
    type Error = Invalid;

    fn try_from(wire: v1::LogOrder) -> Result<Self, Invalid> {
        plain_text("log_order.requested_by", &wire.requested_by, 128)?;
        let query = wire.query.ok_or_else(|| Invalid::new("log_order.query", "is missing"))?;
        Ok(Self { id: wire.id.parse()?, query: query.try_into()?, requested_by: wire.requested_by })
    }
}

impl From<LogOrder> for v1::LogOrder {
    fn from(order: LogOrder) -> Self {
        Self { id: order.id.as_str().to_owned(), query: Some(order.query.into()), requested_by: order.requested_by }
    }
}

#[cfg(test)]
mod tests {
    use super::{LogQuery, v1};

    #[test]
    fn golden() {
        let units = |units: &[&str]| v1::LogQuery {
            units: units.iter().map(|unit| (*unit).to_owned()).collect(),
            ..v1::LogQuery::default()
        };
        let many = vec!["a"; 17];
        for (wire, refused) in [
            (units(&[]), ""),
            (units(&["k3s", "ssh.service", "getty@tty1.service", r"dev-disk\x2d1.device", "k3s*"]), ""),
            (units(&["--flush"]), "unit: \"--flush\""),
            (units(&["a b"]), "unit: \"a b\""),
            (units(&[""]), "unit: \"\""),
            (units(&many), "log_query.units: 17 units"),
            (v1::LogQuery { limit: 100_001, ..units(&[]) }, "log_query.limit: 100001"),
            (v1::LogQuery { priority: Some(8), ..units(&[]) }, "log_query.priority: 8"),
            (v1::LogQuery { priority: Some(7), since_ms: Some(u64::MAX), follow: true, ..units(&["a"]) }, ""),
        ] {
            match LogQuery::try_from(wire.clone()) {
                Ok(query) => assert_eq!((v1::LogQuery::from(query), refused), (wire, "")),
                Err(invalid) => assert!(!refused.is_empty() && invalid.to_string().starts_with(refused), "{invalid}"),
            }
        }
    }
}
