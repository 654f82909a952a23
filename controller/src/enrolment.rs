//! Decides whether an invitation may be used. Pure.

use rackhaven_pki::Subject;
use rackhaven_proto::v1::SubjectKind;

use crate::store::{TokenPurpose, TokenRow};

/// After so many wrong guesses an invitation is dead.
pub const MAX_FAILURES: u32 = 10;

/// What the joining side asks for.
#[derive(Debug, Clone)]
pub struct Asked<'a> {
    /// The invitation's secret.
    pub secret: &'a str,
    /// Node or user.
    pub kind: SubjectKind,
    /// The wanted name; empty takes the invitation's.
    pub name: &'a str,
    /// Taken when neither has a name.
    pub fallback_name: &'a str,
}

/// Why an invitation may not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not known, or guessed: told apart in the audit log only.
    #[error("the invitation is not known or its secret is wrong")]
    Unknown,
    /// The secret is wrong.
    #[error("the invitation is not known or its secret is wrong")]
    WrongSecret,
    /// Its time has passed.
    #[error("the invitation has expired; ask for a new one")]
    Expired,
    /// It was used as often as it may be.
    #[error("the invitation has been used already; ask for a new one")]
    UsedUp,
    /// A user's invitation for a node, or the other way round.
    #[error("{0}")]
    WrongKind(&'static str),
    /// It is for somebody else.
    #[error("the invitation is for {invited}, not for {asked}")]
    OtherName {
        /// For whom it is.
        invited: String,
        /// Who asks.
        asked: String,
    },
    /// The name is no name.
    #[error("{0}")]
    BadName(String),
    /// A node of that name is enrolled.
    #[error("a node {0} is enrolled already; if it is the same machine: ctl node rejoin {0}")]
    NameTaken(String),
}

/// Whom to enrol.
///
/// # Errors
/// Why not.
pub fn decide(
    token: Option<&TokenRow>,
    asked: &Asked<'_>,
    now_ms: i64,
    node_exists: impl FnOnce(&str) -> bool,
) -> Result<Subject, Refusal> {
    let token = token.ok_or(Refusal::Unknown)?;
    if token.failures >= MAX_FAILURES {
        return Err(Refusal::Unknown);
    }
    if !token.secret_hash.matches(asked.secret) {
        return Err(Refusal::WrongSecret);
    }
    match (token.purpose, asked.kind) {
        (TokenPurpose::User(_), SubjectKind::User) | (TokenPurpose::Node | TokenPurpose::Rejoin, SubjectKind::Node) => {
        }
        (TokenPurpose::User(_), _) => return Err(Refusal::WrongKind("the invitation is a user's: use `ctl login`")),
        _ => return Err(Refusal::WrongKind("the invitation is a node's: use `rackhaven-agent join`")),
    }
    if now_ms >= token.ends_ms {
        return Err(Refusal::Expired);
    }
    if token.uses_left == 0 {
        return Err(Refusal::UsedUp);
    }
    let name = match (token.name.as_str(), asked.name) {
        ("", "") => asked.fallback_name,
        ("", name) => name,
        (invited, name) if name.is_empty() || name == invited => invited,
        (invited, name) => {
            return Err(Refusal::OtherName { invited: invited.to_owned(), asked: name.to_owned() });
        }
    };
    let bad = |invalid: rackhaven_proto::Invalid| Refusal::BadName(invalid.to_string());
    match token.purpose {
        TokenPurpose::User(_) => Ok(Subject::User(name.parse().map_err(bad)?)),
        TokenPurpose::Rejoin => Ok(Subject::Node(name.parse().map_err(bad)?)),
        TokenPurpose::Node => {
            let subject = Subject::Node(name.parse().map_err(bad)?);
            if node_exists(name) { Err(Refusal::NameTaken(name.to_owned())) } else { Ok(subject) }
        }
    }
}

#[cfg(test)]
mod tests {
    use rackhaven_pki::{SecretHash, Subject};
    use rackhaven_proto::model::{Labels, Role};

    use super::{Asked, MAX_FAILURES, Refusal, SubjectKind, TokenPurpose, TokenRow, decide};

    fn token(purpose: TokenPurpose, name: &str) -> TokenRow {
        TokenRow {
            id: "aaaaaaaa".parse().unwrap(),
            secret_hash: SecretHash::of("s3cret"),
            purpose,
            name: name.to_owned(),
            labels: Labels::default(),
            ends_ms: 1000,
            uses_left: 1,
            failures: 0,
        }
    }

    fn asked(name: &str) -> Asked<'_> {
        Asked { secret: "s3cret", kind: SubjectKind::Node, name, fallback_name: "" }
    }

    #[test]
    fn golden() {
        let node = |name: &str| Ok(Subject::Node(name.parse().unwrap()));
        let open = token(TokenPurpose::Node, "");
        let named = token(TokenPurpose::Node, "pi");
        let user = token(TokenPurpose::User(Role::Viewer), "ann");
        let rejoin = token(TokenPurpose::Rejoin, "pi");
        let free = |_: &str| false;
        let taken = |_: &str| true;
        assert_eq!(decide(Some(&open), &asked("pi"), 999, free), node("pi"));
        assert_eq!(decide(Some(&named), &asked(""), 999, free), node("pi"));
        let host = Asked { fallback_name: "host", ..asked("") };
        assert_eq!(decide(Some(&open), &host, 999, free), node("host"));
        assert_eq!(decide(Some(&named), &host, 999, free), node("pi"));
        assert_eq!(decide(Some(&named), &asked("pi"), 999, free), node("pi"));
        assert_eq!(decide(Some(&rejoin), &asked(""), 999, taken), node("pi"));
        assert_eq!(decide(None, &asked("pi"), 0, free), Err(Refusal::Unknown));
        assert_eq!(decide(Some(&open), &asked("pi"), 1000, free), Err(Refusal::Expired));
        assert_eq!(decide(Some(&open), &asked("pi"), 0, taken), Err(Refusal::NameTaken("pi".to_owned())));
        assert!(matches!(decide(Some(&open), &asked(""), 0, free), Err(Refusal::BadName(_))));
        assert!(matches!(decide(Some(&named), &asked("x"), 0, free), Err(Refusal::OtherName { .. })));
        assert!(matches!(decide(Some(&user), &asked("ann"), 0, free), Err(Refusal::WrongKind(_))));
        let as_user = Asked { kind: SubjectKind::User, ..asked("") };
        assert!(matches!(decide(Some(&open), &as_user, 0, free), Err(Refusal::WrongKind(_))));
        assert_eq!(decide(Some(&user), &as_user, 0, free), Ok(Subject::User("ann".parse().unwrap())));
        let used = TokenRow { uses_left: 0, ..open };
        assert_eq!(decide(Some(&used), &asked("pi"), 0, free), Err(Refusal::UsedUp));
    }

    #[test]
    fn without_the_secret_nothing_is_told() {
        let wrong = Asked { secret: "guess", ..asked("pi") };
        for state in [
            token(TokenPurpose::User(Role::Admin), "ann"),
            TokenRow { ends_ms: 0, ..token(TokenPurpose::Node, "") },
            TokenRow { uses_left: 0, ..token(TokenPurpose::Node, "x") },
        ] {
            let refusal = decide(Some(&state), &wrong, 500, |_| true).unwrap_err();
            assert_eq!(refusal.to_string(), Refusal::Unknown.to_string());
        }
        let guessed_at = TokenRow { failures: MAX_FAILURES, ..token(TokenPurpose::Node, "") };
        assert_eq!(decide(Some(&guessed_at), &asked("pi"), 0, |_| false), Err(Refusal::Unknown));
    }
}
