use super::state::{FacadeState, STATUS, Vars};
use super::{Book, User};
use crate::nut::line::{Answer, ListKind, Password, Request};

/// What a session may see of everything else.
pub(super) struct World<'a> {
    pub(super) book: &'a Book,
    pub(super) state: &'a FacadeState,
    /// The addresses of those that are logged in.
    pub(super) logged_in: Vec<String>,
    /// Whether a password may be tried now.
    pub(super) may_try: &'a dyn Fn() -> bool,
}

/// What becomes of the connection after an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    GoOn,
    /// The client has just logged in as this user, of this stage.
    LoggedIn {
        user: String,
        stage: Option<String>,
    },
    /// It has said good-bye.
    LoggedOut,
    /// It has tried too many passwords.
    HangUp,
}

/// One client's conversation.
#[derive(Default)]
pub(super) struct Session {
    user: Option<String>,
    password: Option<Password>,
    logged_in: bool,
    stage: Option<String>,
    told: Option<bool>,
}

impl Session {
    /// Answers one line.
    pub(super) fn answer(&mut self, line: &str, world: &World<'_>) -> (Vec<String>, Next) {
        let request = match Request::parse(line) {
            Ok(request) => request,
            Err(error) => return (vec![Answer::refusal(error.code()).to_string()], Next::GoOn),
        };
        self.told = match &request {
            Request::GetVar(_, name) if name != STATUS => None,
            Request::GetVar(..) | Request::List(ListKind::Var(_)) => Some(world.state.fsd(self.stage.as_deref())),
            _ => None,
        };
        match request {
            Request::Login(ups) => {
                let (answer, next) = self.login(&ups, world);
                (vec![answer.to_string()], next)
            }
            Request::Logout => (vec![Answer::Ok("Goodbye".to_owned()).to_string()], Next::LoggedOut),
            request => {
                (self.lines(request, world).unwrap_or_else(|code| vec![Answer::refusal(code).to_string()]), Next::GoOn)
            }
        }
    }

    /// The lines of an answer, or the code of a refusal.
    fn lines(&mut self, request: Request, world: &World<'_>) -> Result<Vec<String>, &'static str> {
        let ok = || Answer::Ok(String::new());
        let one = |answer: Answer| Ok(vec![answer.to_string()]);
        match request {
            Request::StartTls => Err("FEATURE-NOT-CONFIGURED"),
            Request::Username(_) if self.user.is_some() => Err("ALREADY-SET-USERNAME"),
            Request::Username(name) => {
                self.user = Some(name);
                one(ok())
            }
            Request::Password(_) if self.password.is_some() => Err("ALREADY-SET-PASSWORD"),
            Request::Password(password) => {
                self.password = Some(password);
                one(ok())
            }
            Request::GetVar(ups, name) => {
                let value = self.vars(&ups, world)?.get(&name).ok_or("VAR-NOT-SUPPORTED")?.into_owned();
                one(Answer::Var(ups, name, value))
            }
            Request::GetType(ups, name) => {
                let value = self.vars(&ups, world)?.get(&name).ok_or("VAR-NOT-SUPPORTED")?;
                let kind = match value.parse::<f64>() {
                    Ok(_) => "NUMBER".to_owned(),
                    Err(_) => format!("STRING:{}", value.len()),
                };
                one(Answer::Type(ups, name, kind))
            }
            Request::GetDesc(ups, name) => {
                world.knows(&ups)?;
                one(Answer::Desc(ups, name, "Description unavailable".to_owned()))
            }
            Request::GetCmdDesc(ups, name) => {
                world.knows(&ups)?;
                one(Answer::CmdDesc(ups, name, "Description unavailable".to_owned()))
            }
            Request::GetUpsDesc(ups) => {
                world.knows(&ups)?;
                one(Answer::UpsDesc(ups, world.book.description.clone()))
            }
            Request::GetNumLogins(ups) => {
                world.knows(&ups)?;
                one(Answer::NumLogins(ups, u32::try_from(world.logged_in.len()).unwrap_or(u32::MAX)))
            }
            Request::List(kind) => {
                let items = self.items(&kind, world)?;
                let all = [Answer::BeginList(kind.clone())].into_iter().chain(items).chain([Answer::EndList(kind)]);
                Ok(all.map(|answer| answer.to_string()).collect())
            }
            Request::Tracking => Err("FEATURE-NOT-CONFIGURED"),
            Request::Version => Ok(vec![format!("Rackhaven {} - NUT protocol", env!("CARGO_PKG_VERSION"))]),
            Request::ProtocolVersion => Ok(vec!["1.3".to_owned()]),
            Request::Help => Ok(vec!["Commands: HELP VER GET LIST LOGIN LOGOUT USERNAME PASSWORD".to_owned()]),
            Request::Primary(_) | Request::Fsd(_) | Request::SetVar(..) | Request::InstCmd(..) => {
                Err(self.unnamed().unwrap_or("ACCESS-DENIED"))
            }
            Request::Login(_) | Request::Logout => Err("UNKNOWN-COMMAND"),
        }
    }

    fn items(&self, kind: &ListKind, world: &World<'_>) -> Result<Vec<Answer>, &'static str> {
        match kind {
            ListKind::Ups => Ok(vec![Answer::Ups(world.book.ups.clone(), world.book.description.clone())]),
            ListKind::Var(ups) => {
                let vars = self.vars(ups, world)?.all();
                Ok(vars.into_iter().map(|(name, value)| Answer::Var(ups.clone(), name.into(), value.into())).collect())
            }
            ListKind::Client(ups) => {
                world.knows(ups)?;
                Ok(world.logged_in.iter().map(|address| Answer::Client(ups.clone(), address.clone())).collect())
            }
            // Nothing can be set or commanded here.
            ListKind::Rw(ups) | ListKind::Cmd(ups) | ListKind::Enum(ups, _) | ListKind::Range(ups, _) => {
                world.knows(ups)?;
                Ok(Vec::new())
            }
        }
    }

    fn vars<'a>(&self, ups: &str, world: &World<'a>) -> Result<Vars<'a>, &'static str> {
        world.knows(ups)?;
        world.state.vars(self.stage.as_deref()).ok_or("DATA-STALE")
    }

    fn login(&mut self, ups: &str, world: &World<'_>) -> (Answer, Next) {
        let refused = |code: &str| (Answer::refusal(code), Next::GoOn);
        if self.logged_in {
            return refused("ALREADY-LOGGED-IN");
        }
        if let Some(code) = self.unnamed() {
            return refused(code);
        }
        if let Err(code) = world.knows(ups) {
            return refused(code);
        }
        if !(world.may_try)() {
            return (Answer::refusal("ACCESS-DENIED"), Next::HangUp);
        }
        match self.account(world.book) {
            Some(user) => {
                let (name, stage) = (user.name.clone(), user.stage.clone());
                self.logged_in = true;
                self.stage.clone_from(&stage);
                (Answer::Ok(String::new()), Next::LoggedIn { user: name, stage })
            }
            None => refused("ACCESS-DENIED"),
        }
    }

    fn account<'a>(&self, book: &'a Book) -> Option<&'a User> {
        book.user(self.user.as_deref()?, self.password.as_ref()?.reveal())
    }

    /// What is missing before one can be told from another.
    fn unnamed(&self) -> Option<&'static str> {
        match (&self.user, &self.password) {
            (None, _) => Some("USERNAME-REQUIRED"),
            (_, None) => Some("PASSWORD-REQUIRED"),
            _ => None,
        }
    }

    /// Whether the last answer says that the client is to shut down; none if it says nothing about that.
    pub(super) fn told(&self) -> Option<bool> {
        self.told
    }

    /// The name that was given, true or not; for the log.
    pub(super) fn claimed_user(&self) -> &str {
        self.user.as_deref().unwrap_or_default()
    }
}

impl World<'_> {
    fn knows(&self, ups: &str) -> Result<(), &'static str> {
        if ups == self.book.ups { Ok(()) } else { Err("UNKNOWN-UPS") }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rackhaven_pki::SecretHash;

    use super::*;

    fn book() -> Book {
        let user = |name: &str, password: &str, stage: Option<&str>| User {
            name: name.to_owned(),
            password: SecretHash::of(password),
            stage: stage.map(str::to_owned),
        };
        Book {
            ups: "ups".to_owned(),
            description: "The rack".to_owned(),
            max_clients: 4,
            users: vec![user("monuser", "secret", Some("nas")), user("ha", "pw", None)],
        }
    }

    fn state(stages: &[&str], stale: bool) -> FacadeState {
        let vars = [("battery.charge", "80"), ("ups.status", "OB")];
        FacadeState {
            vars: Arc::new(vars.map(|(name, value)| (name.to_owned(), value.to_owned())).into()),
            stale,
            fsd_stages: stages.iter().map(|stage| (*stage).to_owned()).collect(),
            fsd_all: false,
        }
    }

    /// What is answered to each of the lines.
    fn talk(state: &FacadeState, lines: &[&str]) -> Vec<String> {
        let book = book();
        let world = World { book: &book, state, logged_in: vec!["10.0.0.7".to_owned()], may_try: &|| true };
        let mut session = Session::default();
        lines.iter().map(|line| session.answer(line, &world).0.join("|")).collect()
    }

    #[test]
    fn everybody_may_read() {
        for (line, answer) in [
            ("STARTTLS", "ERR FEATURE-NOT-CONFIGURED"),
            ("LIST UPS", "BEGIN LIST UPS|UPS ups \"The rack\"|END LIST UPS"),
            (
                "LIST VAR ups",
                "BEGIN LIST VAR ups|VAR ups battery.charge \"80\"|VAR ups ups.status \"OB\"|END LIST VAR ups",
            ),
            ("LIST RW ups", "BEGIN LIST RW ups|END LIST RW ups"),
            ("LIST CMD ups", "BEGIN LIST CMD ups|END LIST CMD ups"),
            ("LIST ENUM ups a", "BEGIN LIST ENUM ups a|END LIST ENUM ups a"),
            ("LIST RANGE ups a", "BEGIN LIST RANGE ups a|END LIST RANGE ups a"),
            ("LIST CLIENT ups", "BEGIN LIST CLIENT ups|CLIENT ups 10.0.0.7|END LIST CLIENT ups"),
            ("GET VAR ups ups.status", "VAR ups ups.status \"OB\""),
            ("GET VAR ups nothing", "ERR VAR-NOT-SUPPORTED"),
            ("GET VAR other ups.status", "ERR UNKNOWN-UPS"),
            ("GET TYPE ups battery.charge", "TYPE ups battery.charge NUMBER"),
            ("GET TYPE ups ups.status", "TYPE ups ups.status STRING:2"),
            ("GET DESC ups ups.status", "DESC ups ups.status \"Description unavailable\""),
            ("GET CMDDESC ups x", "CMDDESC ups x \"Description unavailable\""),
            ("GET UPSDESC ups", "UPSDESC ups \"The rack\""),
            ("GET NUMLOGINS ups", "NUMLOGINS ups 1"),
            ("GET TRACKING", "ERR FEATURE-NOT-CONFIGURED"),
            ("NETVER", "1.3"),
            ("LOGOUT", "OK Goodbye"),
            ("FOO", "ERR UNKNOWN-COMMAND"),
            ("LIST", "ERR INVALID-ARGUMENT"),
        ] {
            assert_eq!(talk(&state(&[], false), &[line]), [answer], "{line}");
        }
    }

    #[test]
    fn nobody_may_change_anything() {
        for line in ["SET VAR ups a b", "INSTCMD ups load.off", "FSD ups", "PRIMARY ups", "MASTER ups"] {
            let lines = [line, "USERNAME monuser", line, "PASSWORD secret", line, "LOGIN ups", line];
            let expected = [
                "ERR USERNAME-REQUIRED",
                "OK",
                "ERR PASSWORD-REQUIRED",
                "OK",
                "ERR ACCESS-DENIED",
                "OK",
                "ERR ACCESS-DENIED",
            ];
            assert_eq!(talk(&state(&[], false), &lines), expected, "{line}");
        }
    }

    #[test]
    fn only_who_is_logged_in_reads_the_fsd_of_a_stage() {
        let (plain, fsd) = ("VAR ups ups.status \"OB\"", "VAR ups ups.status \"FSD OB\"");
        let status = "GET VAR ups ups.status";
        let state = state(&["nas"], false);
        let nas = ["USERNAME monuser", "PASSWORD secret", status, "LOGIN ups", status];
        assert_eq!(talk(&state, &nas), ["OK", "OK", plain, "OK", fsd]);
        let ha = ["USERNAME ha", "PASSWORD pw", "LOGIN ups", status];
        assert_eq!(talk(&state, &ha), ["OK", "OK", "OK", plain]);
    }

    #[test]
    fn logins_are_checked() {
        for (lines, last) in [
            (&["LOGIN ups"][..], "ERR USERNAME-REQUIRED"),
            (&["USERNAME monuser", "LOGIN ups"], "ERR PASSWORD-REQUIRED"),
            (&["USERNAME monuser", "PASSWORD pw", "LOGIN ups"], "ERR ACCESS-DENIED"),
            (&["USERNAME nobody", "PASSWORD secret", "LOGIN ups"], "ERR ACCESS-DENIED"),
            (&["USERNAME monuser", "PASSWORD secret", "LOGIN other"], "ERR UNKNOWN-UPS"),
            (&["USERNAME monuser", "PASSWORD secret", "LOGIN ups", "LOGIN ups"], "ERR ALREADY-LOGGED-IN"),
            (&["USERNAME monuser", "USERNAME ha"], "ERR ALREADY-SET-USERNAME"),
            (&["PASSWORD a", "PASSWORD b"], "ERR ALREADY-SET-PASSWORD"),
        ] {
            assert_eq!(talk(&state(&[], false), lines).last().map(String::as_str), Some(last), "{lines:?}");
        }
    }

    #[test]
    fn who_guesses_is_hung_up_on_even_if_right() {
        let (book, state) = (book(), state(&[], false));
        let world = World { book: &book, state: &state, logged_in: Vec::new(), may_try: &|| false };
        let mut session = Session::default();
        session.answer("USERNAME monuser", &world);
        session.answer("PASSWORD secret", &world);
        assert_eq!(session.answer("LOGIN ups", &world), (vec!["ERR ACCESS-DENIED".to_owned()], Next::HangUp));
    }

    #[test]
    fn old_data_is_not_told() {
        let lines = ["GET VAR ups ups.status", "LIST VAR ups", "GET TYPE ups ups.status", "LIST UPS"];
        let stale = "ERR DATA-STALE";
        let answers = talk(&state(&["nas"], true), &lines);
        assert_eq!(answers[..3], [stale; 3]);
        assert!(answers[3].starts_with("BEGIN LIST UPS"));
        let nas = ["USERNAME monuser", "PASSWORD secret", "LOGIN ups", "GET VAR ups ups.status"];
        assert_eq!(talk(&state(&["nas"], true), &nas)[3], "VAR ups ups.status \"FSD OB\"");
    }
}
