use std::fmt;

use super::words::{Quoted, Word, shown, split};
use super::{LineError, ListKind};

/// A line that a server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It is done; with what it may add, such as `Goodbye`.
    Ok(String),
    /// It is refused: a code such as `DATA-STALE`, and what the server may add.
    Err(String, String),
    /// The lines of a list follow.
    BeginList(ListKind),
    /// They have ended.
    EndList(ListKind),
    /// `UPS name "description"`.
    Ups(String, String),
    /// `VAR ups name "value"`.
    Var(String, String, String),
    /// `RW ups name "value"`: a variable that can be set.
    Rw(String, String, String),
    /// `CMD ups name`.
    Cmd(String, String),
    /// `CLIENT ups address`.
    Client(String, String),
    /// `ENUM ups name "value"`.
    Enum(String, String, String),
    /// `RANGE ups name "least" "most"`.
    Range(String, String, String, String),
    /// `UPSDESC ups "description"`.
    UpsDesc(String, String),
    /// `DESC ups name "description"`.
    Desc(String, String, String),
    /// `CMDDESC ups name "description"`.
    CmdDesc(String, String, String),
    /// `TYPE ups name words…`.
    Type(String, String, String),
    /// `NUMLOGINS ups count`.
    NumLogins(String, u32),
}

impl Answer {
    /// An `ERR` without more words.
    pub fn refusal(code: &str) -> Self {
        Self::Err(code.to_owned(), String::new())
    }

    /// Reads one line, without its end.
    ///
    /// # Errors
    /// [`LineError`] when it is none of these.
    pub fn parse(line: &str) -> Result<Self, LineError> {
        let words = split(line)?;
        let mut rest = words.iter().cloned();
        let unknown = || LineError::Unknown(shown(line));
        let first = rest.next().ok_or_else(unknown)?;
        let mut next = || rest.next().ok_or_else(unknown);
        let answer = match first.as_str() {
            "OK" => return Ok(Self::Ok(sentence(&words[1..]))),
            "ERR" => return Ok(Self::Err(next()?, sentence(&words[2..]))),
            "TYPE" => return Ok(Self::Type(next()?, next()?, sentence(&words[3..]))),
            "BEGIN" | "END" => {
                if next()? != "LIST" {
                    return Err(unknown());
                }
                let kind = ListKind::from_words(&words[2..]).ok_or_else(unknown)?;
                return Ok(if first == "BEGIN" { Self::BeginList(kind) } else { Self::EndList(kind) });
            }
            "UPS" => Self::Ups(next()?, next()?),
            "VAR" => Self::Var(next()?, next()?, next()?),
            "RW" => Self::Rw(next()?, next()?, next()?),
            "CMD" => Self::Cmd(next()?, next()?),
            "CLIENT" => Self::Client(next()?, next()?),
            "ENUM" => Self::Enum(next()?, next()?, next()?),
            "RANGE" => Self::Range(next()?, next()?, next()?, next()?),
            "UPSDESC" => Self::UpsDesc(next()?, next()?),
            "DESC" => Self::Desc(next()?, next()?, next()?),
            "CMDDESC" => Self::CmdDesc(next()?, next()?, next()?),
            "NUMLOGINS" => Self::NumLogins(next()?, next()?.parse().map_err(|_| unknown())?),
            _ => return Err(unknown()),
        };
        match rest.next() {
            None => Ok(answer),
            Some(_) => Err(unknown()),
        }
    }
}

/// The words that end an answer, as one text.
fn sentence(words: &[String]) -> String {
    words.iter().flat_map(|word| word.split_whitespace()).collect::<Vec<_>>().join(" ")
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let more = |f: &mut fmt::Formatter<'_>, text: &str| {
            text.split_whitespace().try_for_each(|word| write!(f, " {}", Word(word)))
        };
        match self {
            Self::Ok(text) => {
                f.write_str("OK")?;
                more(f, text)
            }
            Self::Err(code, text) => {
                write!(f, "ERR {}", Word(code))?;
                more(f, text)
            }
            Self::BeginList(kind) => write!(f, "BEGIN LIST {kind}"),
            Self::EndList(kind) => write!(f, "END LIST {kind}"),
            Self::Ups(ups, description) => write!(f, "UPS {} {}", Word(ups), Quoted(description)),
            Self::Var(ups, name, value) => write!(f, "VAR {} {} {}", Word(ups), Word(name), Quoted(value)),
            Self::Rw(ups, name, value) => write!(f, "RW {} {} {}", Word(ups), Word(name), Quoted(value)),
            Self::Cmd(ups, name) => write!(f, "CMD {} {}", Word(ups), Word(name)),
            Self::Client(ups, address) => write!(f, "CLIENT {} {}", Word(ups), Word(address)),
            Self::Enum(ups, name, value) => write!(f, "ENUM {} {} {}", Word(ups), Word(name), Quoted(value)),
            Self::Range(ups, name, least, most) => {
                write!(f, "RANGE {} {} {} {}", Word(ups), Word(name), Quoted(least), Quoted(most))
            }
            Self::UpsDesc(ups, text) => write!(f, "UPSDESC {} {}", Word(ups), Quoted(text)),
            Self::Desc(ups, name, text) => write!(f, "DESC {} {} {}", Word(ups), Word(name), Quoted(text)),
            Self::CmdDesc(ups, name, text) => write!(f, "CMDDESC {} {} {}", Word(ups), Word(name), Quoted(text)),
            Self::Type(ups, name, text) => {
                write!(f, "TYPE {} {}", Word(ups), Word(name))?;
                more(f, text)
            }
            Self::NumLogins(ups, count) => write!(f, "NUMLOGINS {} {count}", Word(ups)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Answer, LineError, ListKind};

    proptest! {
        #[test]
        fn whatever_comes_means_the_same_when_said_again(
            first in prop::sample::select(vec![
                "OK", "ERR", "BEGIN LIST", "END LIST", "UPS", "VAR", "RW", "CMD", "CLIENT", "ENUM", "RANGE", "UPSDESC",
                "DESC", "CMDDESC", "TYPE", "NUMLOGINS",
            ]),
            rest in prop::collection::vec(r#"[a-z.#= \t\u{a0}\u{1b}\\"]{0,8}|VAR|ENUM|[0-9]{1,3}"#, 0..5),
        ) {
            if let Ok(answer) = Answer::parse(&format!("{first} {}", rest.join(" "))) {
                let again = answer.to_string();
                prop_assert!(!again.chars().any(char::is_control));
                prop_assert_eq!(Answer::parse(&again), Ok(answer));
            }
        }
    }

    #[test]
    fn answers_as_servers_say_them() {
        let s = str::to_owned;
        let u = || s("ups");
        for (line, answer) in [
            ("OK", Answer::Ok(String::new())),
            ("OK Goodbye", Answer::Ok(s("Goodbye"))),
            ("ERR DATA-STALE", Answer::refusal("DATA-STALE")),
            ("ERR ACCESS-DENIED not you", Answer::Err(s("ACCESS-DENIED"), s("not you"))),
            ("BEGIN LIST UPS", Answer::BeginList(ListKind::Ups)),
            ("BEGIN LIST VAR ups", Answer::BeginList(ListKind::Var(u()))),
            ("END LIST RW ups", Answer::EndList(ListKind::Rw(u()))),
            ("END LIST ENUM ups a.b", Answer::EndList(ListKind::Enum(u(), s("a.b")))),
            (r#"UPS ups "The \"big\" one""#, Answer::Ups(u(), s("The \"big\" one"))),
            (r#"VAR ups ups.status "OL CHRG""#, Answer::Var(u(), s("ups.status"), s("OL CHRG"))),
            (r#"VAR ups ups.mfr """#, Answer::Var(u(), s("ups.mfr"), String::new())),
            (r#"RW ups ups.delay.shutdown "20""#, Answer::Rw(u(), s("ups.delay.shutdown"), s("20"))),
            ("CMD ups shutdown.return", Answer::Cmd(u(), s("shutdown.return"))),
            ("CLIENT ups 192.168.1.9", Answer::Client(u(), s("192.168.1.9"))),
            (r#"ENUM ups a.b "c d""#, Answer::Enum(u(), s("a.b"), s("c d"))),
            (r#"RANGE ups a.b "1" "9""#, Answer::Range(u(), s("a.b"), s("1"), s("9"))),
            (r#"UPSDESC ups "x""#, Answer::UpsDesc(u(), s("x"))),
            (r#"DESC ups a.b "x""#, Answer::Desc(u(), s("a.b"), s("x"))),
            (r#"CMDDESC ups a.b "x""#, Answer::CmdDesc(u(), s("a.b"), s("x"))),
            ("TYPE ups a.b RW STRING:3", Answer::Type(u(), s("a.b"), s("RW STRING:3"))),
            ("NUMLOGINS ups 2", Answer::NumLogins(u(), 2)),
        ] {
            assert_eq!(Answer::parse(line), Ok(answer.clone()), "{line}");
            assert_eq!(answer.to_string(), line);
        }
    }

    #[test]
    fn what_is_no_answer_is_told_without_control_characters() {
        for line in
            ["", "\u{1b}[2J", "VAR ups ups.status", "VAR a b c d", "BEGIN LIST", "END VAR ups", "NUMLOGINS u -1"]
        {
            let shown: String = line.chars().filter(|c| !c.is_control()).collect();
            assert_eq!(Answer::parse(line), Err(LineError::Unknown(shown)), "{line:?}");
        }
    }
}
