use std::fmt;

use super::words::{Word, split};

/// What a client asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// `STARTTLS`.
    StartTls,
    /// `USERNAME name`.
    Username(String),
    /// `PASSWORD secret`.
    Password(Password),
    /// `LOGIN ups`: hold the UPS until we are down.
    Login(String),
    /// `LOGOUT`.
    Logout,
    /// `PRIMARY ups`, formerly `MASTER`.
    Primary(String),
    /// `FSD ups`: everybody is to shut down.
    Fsd(String),
    /// `GET VAR ups name`.
    GetVar(String, String),
    /// `GET TYPE ups name`.
    GetType(String, String),
    /// `GET DESC ups name`.
    GetDesc(String, String),
    /// `GET CMDDESC ups name`.
    GetCmdDesc(String, String),
    /// `GET UPSDESC ups`.
    GetUpsDesc(String),
    /// `GET NUMLOGINS ups`.
    GetNumLogins(String),
    /// `GET TRACKING` and `SET TRACKING`: whether a command was carried out.
    Tracking,
    /// `LIST …`.
    List(ListKind),
    /// `SET VAR ups name value`.
    SetVar(String, String, String),
    /// `INSTCMD ups name [value]`.
    InstCmd(String, String, Option<String>),
    /// `VER`.
    Version,
    /// `PROTVER`, formerly `NETVER`.
    ProtocolVersion,
    /// `HELP`.
    Help,
}

/// A password, which shows itself to nobody but a server.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// Takes a text as a password.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

/// What a list is of; also told in its first and last line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListKind {
    /// The server's UPSes.
    Ups,
    /// A UPS's variables.
    Var(String),
    /// Those of them that can be set.
    Rw(String),
    /// Its commands.
    Cmd(String),
    /// Who is logged in to it.
    Client(String),
    /// The values that one of its variables can have.
    Enum(String, String),
    /// The ranges that one of its variables can be in.
    Range(String, String),
}

impl ListKind {
    /// From the words behind `LIST`.
    pub(super) fn from_words(words: &[String]) -> Option<Self> {
        let own = String::clone;
        let words: Vec<&String> = words.iter().collect();
        match (words.first()?.as_str(), &words[1..]) {
            ("UPS", []) => Some(Self::Ups),
            ("VAR", [ups]) => Some(Self::Var(own(ups))),
            ("RW", [ups]) => Some(Self::Rw(own(ups))),
            ("CMD", [ups]) => Some(Self::Cmd(own(ups))),
            ("CLIENT", [ups]) => Some(Self::Client(own(ups))),
            ("ENUM", [ups, name]) => Some(Self::Enum(own(ups), own(name))),
            ("RANGE", [ups, name]) => Some(Self::Range(own(ups), own(name))),
            _ => None,
        }
    }
}

impl fmt::Display for ListKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ups => f.write_str("UPS"),
            Self::Var(ups) => write!(f, "VAR {}", Word(ups)),
            Self::Rw(ups) => write!(f, "RW {}", Word(ups)),
            Self::Cmd(ups) => write!(f, "CMD {}", Word(ups)),
            Self::Client(ups) => write!(f, "CLIENT {}", Word(ups)),
            Self::Enum(ups, name) => write!(f, "ENUM {} {}", Word(ups), Word(name)),
            Self::Range(ups, name) => write!(f, "RANGE {} {}", Word(ups), Word(name)),
        }
    }
}

/// Why a line is no request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestError {
    /// Its first word is not known.
    UnknownCommand,
    /// Words are missing, or there are too many, or a quotation has no end.
    InvalidArgument,
}

impl RequestError {
    /// The code that a server answers with.
    pub fn code(self) -> &'static str {
        match self {
            Self::UnknownCommand => "UNKNOWN-COMMAND",
            Self::InvalidArgument => "INVALID-ARGUMENT",
        }
    }
}

impl Request {
    /// Reads one line, without its end.
    ///
    /// # Errors
    /// [`RequestError`], whose code is the answer.
    pub fn parse(line: &str) -> Result<Self, RequestError> {
        let words = split(line).map_err(|_| RequestError::InvalidArgument)?;
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let own = |text: &&str| (*text).to_owned();
        let Some((first, rest)) = words.split_first() else { return Err(RequestError::UnknownCommand) };
        Ok(match (first.to_ascii_uppercase().as_str(), rest) {
            ("STARTTLS", []) => Self::StartTls,
            ("USERNAME", [name]) => Self::Username(own(name)),
            ("PASSWORD", [secret]) => Self::Password(Password::new(*secret)),
            ("LOGIN", [ups]) => Self::Login(own(ups)),
            ("LOGOUT", []) => Self::Logout,
            ("PRIMARY" | "MASTER", [ups]) => Self::Primary(own(ups)),
            ("FSD", [ups]) => Self::Fsd(own(ups)),
            ("GET", ["VAR", ups, name]) => Self::GetVar(own(ups), own(name)),
            ("GET", ["TYPE", ups, name]) => Self::GetType(own(ups), own(name)),
            ("GET", ["DESC", ups, name]) => Self::GetDesc(own(ups), own(name)),
            ("GET", ["CMDDESC", ups, name]) => Self::GetCmdDesc(own(ups), own(name)),
            ("GET", ["UPSDESC", ups]) => Self::GetUpsDesc(own(ups)),
            ("GET", ["NUMLOGINS", ups]) => Self::GetNumLogins(own(ups)),
            ("GET" | "SET", ["TRACKING", ..]) => Self::Tracking,
            ("LIST", list) => {
                let list: Vec<String> = list.iter().map(own).collect();
                Self::List(ListKind::from_words(&list).ok_or(RequestError::InvalidArgument)?)
            }
            ("SET", ["VAR", ups, name, value]) => Self::SetVar(own(ups), own(name), own(value)),
            ("INSTCMD", [ups, name]) => Self::InstCmd(own(ups), own(name), None),
            ("INSTCMD", [ups, name, value]) => Self::InstCmd(own(ups), own(name), Some(own(value))),
            ("VER", []) => Self::Version,
            ("PROTVER" | "NETVER", []) => Self::ProtocolVersion,
            ("HELP", []) => Self::Help,
            (
                "STARTTLS" | "USERNAME" | "PASSWORD" | "LOGIN" | "LOGOUT" | "PRIMARY" | "MASTER" | "FSD" | "GET"
                | "SET" | "INSTCMD" | "VER" | "PROTVER" | "NETVER" | "HELP",
                _,
            ) => return Err(RequestError::InvalidArgument),
            _ => return Err(RequestError::UnknownCommand),
        })
    }
}

impl Request {
    /// Its first words, which hold no names and no secrets.
    pub fn name(&self) -> &'static str {
        match self {
            Self::StartTls => "STARTTLS",
            Self::Username(_) => "USERNAME",
            Self::Password(_) => "PASSWORD",
            Self::Login(_) => "LOGIN",
            Self::Logout => "LOGOUT",
            Self::Primary(_) => "PRIMARY",
            Self::Fsd(_) => "FSD",
            Self::GetVar(..) => "GET VAR",
            Self::GetType(..) => "GET TYPE",
            Self::GetDesc(..) => "GET DESC",
            Self::GetCmdDesc(..) => "GET CMDDESC",
            Self::GetUpsDesc(_) => "GET UPSDESC",
            Self::GetNumLogins(_) => "GET NUMLOGINS",
            Self::Tracking => "GET TRACKING",
            Self::List(ListKind::Ups) => "LIST UPS",
            Self::List(ListKind::Var(_)) => "LIST VAR",
            Self::List(ListKind::Rw(_)) => "LIST RW",
            Self::List(ListKind::Cmd(_)) => "LIST CMD",
            Self::List(ListKind::Client(_)) => "LIST CLIENT",
            Self::List(ListKind::Enum(..)) => "LIST ENUM",
            Self::List(ListKind::Range(..)) => "LIST RANGE",
            Self::SetVar(..) => "SET VAR",
            Self::InstCmd(..) => "INSTCMD",
            Self::Version => "VER",
            Self::ProtocolVersion => "PROTVER",
            Self::Help => "HELP",
        }
    }
}

/// As it goes over the line: with the password, and so not for a log.
impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StartTls => f.write_str("STARTTLS"),
            Self::Username(name) => write!(f, "USERNAME {}", Word(name)),
            Self::Password(secret) => write!(f, "PASSWORD {}", Word(secret.reveal())),
            Self::Login(ups) => write!(f, "LOGIN {}", Word(ups)),
            Self::Logout => f.write_str("LOGOUT"),
            Self::Primary(ups) => write!(f, "PRIMARY {}", Word(ups)),
            Self::Fsd(ups) => write!(f, "FSD {}", Word(ups)),
            Self::GetVar(ups, name) => write!(f, "GET VAR {} {}", Word(ups), Word(name)),
            Self::GetType(ups, name) => write!(f, "GET TYPE {} {}", Word(ups), Word(name)),
            Self::GetDesc(ups, name) => write!(f, "GET DESC {} {}", Word(ups), Word(name)),
            Self::GetCmdDesc(ups, name) => write!(f, "GET CMDDESC {} {}", Word(ups), Word(name)),
            Self::GetUpsDesc(ups) => write!(f, "GET UPSDESC {}", Word(ups)),
            Self::GetNumLogins(ups) => write!(f, "GET NUMLOGINS {}", Word(ups)),
            Self::Tracking => f.write_str("GET TRACKING"),
            Self::List(kind) => write!(f, "LIST {kind}"),
            Self::SetVar(ups, name, value) => write!(f, "SET VAR {} {} {}", Word(ups), Word(name), Word(value)),
            Self::InstCmd(ups, name, value) => {
                write!(f, "INSTCMD {} {}", Word(ups), Word(name))?;
                value.iter().try_for_each(|value| write!(f, " {}", Word(value)))
            }
            Self::Version => f.write_str("VER"),
            Self::ProtocolVersion => f.write_str("PROTVER"),
            Self::Help => f.write_str("HELP"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{ListKind, Password, Request, RequestError};

    proptest! {
        #[test]
        fn whatever_comes_means_the_same_when_said_again(
            first in prop::sample::select(vec![
                "USERNAME", "PASSWORD", "LOGIN", "PRIMARY", "FSD", "GET VAR", "GET UPSDESC", "LIST VAR", "LIST ENUM",
                "SET VAR", "INSTCMD", "GET TRACKING",
            ]),
            rest in prop::collection::vec(r#"[a-z.#= \t\u{a0}\u{1b}\\"]{0,8}"#, 0..4),
        ) {
            if let Ok(request) = Request::parse(&format!("{first} {}", rest.join(" "))) {
                let again = request.to_string();
                prop_assert!(!again.chars().any(char::is_control));
                prop_assert_eq!(Request::parse(&again), Ok(request));
            }
        }
    }

    #[test]
    fn requests_as_clients_send_them() {
        let s = str::to_owned;
        let u = || s("ups");
        for (line, request) in [
            ("STARTTLS", Request::StartTls),
            ("USERNAME monuser", Request::Username(s("monuser"))),
            (r#"PASSWORD "a b\"c""#, Request::Password(Password::new("a b\"c"))),
            ("LOGIN ups", Request::Login(u())),
            ("LOGOUT", Request::Logout),
            ("PRIMARY ups", Request::Primary(u())),
            ("FSD ups", Request::Fsd(u())),
            ("GET VAR ups ups.status", Request::GetVar(u(), s("ups.status"))),
            ("GET TYPE ups a.b", Request::GetType(u(), s("a.b"))),
            ("GET DESC ups a.b", Request::GetDesc(u(), s("a.b"))),
            ("GET CMDDESC ups a.b", Request::GetCmdDesc(u(), s("a.b"))),
            ("GET UPSDESC ups", Request::GetUpsDesc(u())),
            ("GET NUMLOGINS ups", Request::GetNumLogins(u())),
            ("LIST UPS", Request::List(ListKind::Ups)),
            ("LIST VAR ups", Request::List(ListKind::Var(u()))),
            ("LIST CLIENT ups", Request::List(ListKind::Client(u()))),
            ("LIST RANGE ups a.b", Request::List(ListKind::Range(u(), s("a.b")))),
            ("SET VAR ups ups.delay.shutdown 60", Request::SetVar(u(), s("ups.delay.shutdown"), s("60"))),
            ("INSTCMD ups shutdown.return", Request::InstCmd(u(), s("shutdown.return"), None)),
            ("INSTCMD ups load.off.delay 60", Request::InstCmd(u(), s("load.off.delay"), Some(s("60")))),
            ("VER", Request::Version),
            ("PROTVER", Request::ProtocolVersion),
            ("HELP", Request::Help),
        ] {
            assert_eq!(Request::parse(line), Ok(request.clone()), "{line}");
            assert_eq!(request.to_string(), line);
        }
        for (line, request) in [
            ("master ups", Request::Primary(u())),
            ("NETVER", Request::ProtocolVersion),
            ("SET TRACKING ON", Request::Tracking),
            ("  get VAR \"ups\"  ups.status ", Request::GetVar(u(), s("ups.status"))),
        ] {
            assert_eq!(Request::parse(line), Ok(request), "{line}");
        }
    }

    #[test]
    fn what_is_no_request_gets_its_code() {
        for (line, error) in [
            ("", RequestError::UnknownCommand),
            ("FOO", RequestError::UnknownCommand),
            ("GET / HTTP/1.1", RequestError::InvalidArgument),
            ("GET", RequestError::InvalidArgument),
            ("LIST", RequestError::InvalidArgument),
            ("LIST VAR", RequestError::InvalidArgument),
            ("LOGIN a b", RequestError::InvalidArgument),
            ("USERNAME \"half", RequestError::InvalidArgument),
        ] {
            assert_eq!(Request::parse(line), Err(error), "{line}");
        }
    }

    #[test]
    fn a_password_does_not_show_itself() {
        let request = Request::Password(Password::new("hunter2"));
        assert!(!format!("{request:?}").contains("hunter2"));
    }
}
