use crate::config::HistoryConfig;

/// How finely the past is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// A row a minute.
    Minute,
    /// A row for ten minutes.
    TenMinutes,
    /// A row for two hours.
    TwoHours,
}

impl Level {
    /// All of them, the finest first.
    pub const ALL: [Self; 3] = [Self::Minute, Self::TenMinutes, Self::TwoHours];

    /// How long a row of it is, seconds.
    pub const fn seconds(self) -> i64 {
        match self {
            Self::Minute => 60,
            Self::TenMinutes => 600,
            Self::TwoHours => 7200,
        }
    }

    /// The one that it is rolled up from.
    pub const fn finer(self) -> Option<Self> {
        match self {
            Self::Minute => None,
            Self::TenMinutes => Some(Self::Minute),
            Self::TwoHours => Some(Self::TenMinutes),
        }
    }

    /// How many rows of the finer one make one of it.
    pub const fn ratio(self) -> i64 {
        match self.finer() {
            None => 1,
            Some(finer) => self.seconds() / finer.seconds(),
        }
    }

    /// The row that a moment falls into, seconds since 1970-01-01 UTC.
    pub const fn slot(self, unix_s: i64) -> i64 {
        unix_s.div_euclid(self.seconds())
    }
}

/// How many rows of each level are kept of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    minutes: u32,
    ten_minutes: u32,
    two_hours: u32,
}

impl Keep {
    /// As configured.
    pub const fn new(config: &HistoryConfig) -> Self {
        Self {
            minutes: config.minutes_keep_hours.saturating_mul(60),
            ten_minutes: config.ten_minutes_keep_days.saturating_mul(24 * 6),
            two_hours: config.two_hours_keep_days.saturating_mul(12),
        }
    }

    /// Rows of one level.
    pub const fn rows(&self, level: Level) -> u32 {
        match level {
            Level::Minute => self.minutes,
            Level::TenMinutes => self.ten_minutes,
            Level::TwoHours => self.two_hours,
        }
    }

    /// How far back a level reaches, seconds.
    pub const fn reach_s(&self, level: Level) -> i64 {
        self.rows(level) as i64 * level.seconds()
    }
}
