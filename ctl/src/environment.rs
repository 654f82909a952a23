use std::env;
use std::path::PathBuf;

use jiff::tz::TimeZone;

/// Where the controller listens for root on its own machine.
const DEFAULT_SOCKET: &str = "/run/rackhaven/controller.sock";

/// What ctl takes from the process's environment, read once.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// Folder of the contexts: `$XDG_CONFIG_HOME/rackhaven`, or `~/.config/rackhaven`; none without a home.
    pub folder: Option<PathBuf>,
    /// `RACKHAVEN_CONTEXT`: a context's file, in place of the current context.
    pub context_file: Option<PathBuf>,
    /// The socket of a controller on this machine, if there is one: used where no context is chosen.
    pub socket: Option<PathBuf>,
    /// `RACKHAVEN_TOKEN`: an invitation for `login`.
    pub token: Option<String>,
    /// Whether colours are unwanted (`NO_COLOR`, a dumb terminal).
    pub no_color: bool,
    /// `TERM`: what kind of terminal it is.
    pub term: Option<String>,
    /// Whether the locale (`LC_ALL`, `LC_CTYPE`, `LANG`) has a character set other than UTF-8.
    pub ascii: bool,
    /// `COLUMNS`: the width to write for where the terminal does not tell.
    pub columns: Option<usize>,
    /// `LINES`: a page that is drawn in place takes at most so many rows, as when another program has the others.
    pub lines: Option<usize>,
    /// In which zone people are told the time; none is the system's.
    pub zone: Option<TimeZone>,
}

impl Environment {
    /// Reads the process's environment.
    pub fn of_process() -> Self {
        let given = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
        let text = |name: &str| given(name).and_then(|value| value.into_string().ok());
        let count = |name: &str| text(name).and_then(|figure| figure.parse().ok()).filter(|figure| *figure > 0);
        // The XDG base directory specification: a relative path is to be ignored.
        let config_home = given("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        let home = || given("HOME").map(|home| PathBuf::from(home).join(".config"));
        Self {
            folder: config_home.or_else(home).map(|config| config.join("rackhaven")),
            context_file: given("RACKHAVEN_CONTEXT").map(PathBuf::from),
            socket: Some(PathBuf::from(DEFAULT_SOCKET)).filter(|path| path.exists()),
            token: text("RACKHAVEN_TOKEN"),
            no_color: given("NO_COLOR").is_some() || text("TERM").is_some_and(|term| term == "dumb"),
            term: text("TERM"),
            // POSIX: the first of them that is set and not empty counts; without any it is the locale C.
            ascii: !["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(text).is_some_and(|locale| is_utf8(&locale)),
            columns: count("COLUMNS"),
            lines: count("LINES"),
            // Looked up at first use: most commands tell no time.
            zone: None,
        }
    }
}

/// Whether a locale such as `en_GB.UTF-8` has UTF-8.
fn is_utf8(locale: &str) -> bool {
    let locale = locale.to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

#[cfg(test)]
mod tests {
    use super::is_utf8;

    #[test]
    fn locales_tell_their_character_set() {
        assert!(["en_GB.UTF-8", "C.utf8", "de_DE.utf-8@euro"].into_iter().all(is_utf8));
        assert!(!["C", "POSIX", "en_GB.ISO-8859-1", "en_GB"].into_iter().any(is_utf8));
    }
}
