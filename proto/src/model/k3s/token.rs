use std::fmt;
use std::str::FromStr;

use super::Digest;
use crate::model::Invalid;

/// Longest secret, in bytes.
const MAX_BYTES: usize = 512;
/// How a token begins that names the cluster's authority.
const SECURE: &str = "K10";

/// A password or token of K3s. What it is does not appear when it is printed for debugging.
#[derive(Clone, PartialEq, Eq)]
pub struct K3sSecret(Box<str>);

impl K3sSecret {
    /// What it is: for the files and calls that need it, and nothing else.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl FromStr for K3sSecret {
    type Err = Invalid;

    /// Takes visible ASCII; what was refused is not repeated.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text.len() {
            0 => Err(Invalid::new("secret", "is missing")),
            1..=MAX_BYTES if text.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(Self(text.into())),
            1..=MAX_BYTES => Err(Invalid::new("secret", "holds a blank, a control character or a letter of no ASCII")),
            length => Err(Invalid::new("secret", format!("{length} bytes long, at most {MAX_BYTES} are allowed"))),
        }
    }
}

impl fmt::Debug for K3sSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("K3sSecret(..)")
    }
}

/// Who may join with a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum K3sTokenFor {
    /// Further servers, and agents.
    Servers,
    /// Agents only: the cluster's agent token, or one that a person made for a time.
    Agents,
}

/// A token that names the authority of the cluster, so that a node joins no other one:
/// `K10HASH::server:PASSWORD`, `K10HASH::node:PASSWORD`, or `K10HASH::ID.SECRET` of six and sixteen letters and digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct K3sJoinToken {
    text: K3sSecret,
    authority: Digest,
    opens: K3sTokenFor,
}

impl K3sJoinToken {
    /// The token for servers, or that for agents.
    ///
    /// # Errors
    /// When the password holds a colon, or the token becomes too long.
    pub fn new(authority: Digest, opens: K3sTokenFor, password: &K3sSecret) -> Result<Self, Invalid> {
        let user = match opens {
            K3sTokenFor::Servers => "server",
            K3sTokenFor::Agents => "node",
        };
        format!("{SECURE}{authority}::{user}:{}", password.reveal()).parse()
    }

    /// What it is: for the files and calls that need it, and nothing else.
    pub fn reveal(&self) -> &str {
        self.text.reveal()
    }

    /// SHA-256 of the cluster's certificates, as the token has it.
    pub fn authority(&self) -> Digest {
        self.authority
    }

    /// Who may join with it.
    pub fn opens(&self) -> K3sTokenFor {
        self.opens
    }

    /// The password alone, without the authority; of a token that a person made for a time there is none.
    pub fn password(&self) -> Option<&str> {
        let (_, credentials) = self.reveal().split_once("::")?;
        credentials.split_once(':').map(|(_, password)| password)
    }
}

impl FromStr for K3sJoinToken {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let refuse = || Invalid::new("token", "is not of the form K10HASH::server:PASSWORD or K10HASH::node:PASSWORD");
        let secret: K3sSecret =
            text.parse().map_err(|invalid: Invalid| Invalid { field: "token".into(), ..invalid })?;
        let read = || {
            let (authority, credentials) = text.strip_prefix(SECURE)?.split_once("::")?;
            let authority: Digest = authority.parse().ok()?;
            let opens = match credentials.split_once(':') {
                Some(("server", password)) if is_password(password) => K3sTokenFor::Servers,
                Some(("node", password)) if is_password(password) => K3sTokenFor::Agents,
                None if is_made_for_a_time(credentials) => K3sTokenFor::Agents,
                Some(_) | None => return None,
            };
            Some((authority, opens))
        };
        let (authority, opens) = read().ok_or_else(refuse)?;
        Ok(Self { text: secret, authority, opens })
    }
}

fn is_password(text: &str) -> bool {
    !text.is_empty() && !text.contains(':')
}

fn is_made_for_a_time(text: &str) -> bool {
    let all = |part: &str| part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    text.split_once('.').is_some_and(|(id, secret)| id.len() == 6 && secret.len() == 16 && all(id) && all(secret))
}

#[cfg(test)]
mod tests {
    use super::{K3sJoinToken, K3sSecret, K3sTokenFor};

    const HASH: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn tokens_golden() {
        for (end, opens, password) in [
            ("server:abc", K3sTokenFor::Servers, Some("abc")),
            ("node:a.b-c", K3sTokenFor::Agents, Some("a.b-c")),
            ("abc123.0123456789abcdef", K3sTokenFor::Agents, None),
        ] {
            let token: K3sJoinToken = format!("K10{HASH}::{end}").parse().unwrap();
            assert_eq!(
                (token.opens(), token.password(), token.authority().to_string()),
                (opens, password, HASH.into())
            );
            if let Some(password) = password {
                assert_eq!(K3sJoinToken::new(token.authority(), opens, &password.parse().unwrap()), Ok(token));
            }
        }
        for bad in [
            String::new(),
            "secret-password".to_owned(),
            format!("K10{HASH}::root:abc"),
            format!("K10{HASH}::server:"),
            format!("K10{HASH}::server:a:b"),
            format!("K10{HASH}::server:a b"),
            format!("K10{}::server:abc", &HASH[1..]),
            format!("K11{HASH}::server:abc"),
            format!("K10{HASH}:server:abc"),
            format!("K10{HASH}::abc123.0123456789abcdeF"),
            format!("K10{HASH}::server:{}", "x".repeat(512)),
        ] {
            let refused = bad.parse::<K3sJoinToken>().unwrap_err();
            assert_eq!(refused.field, "token");
            assert!(!refused.reason.contains("abc") && !refused.reason.contains("secret-password"), "{refused}");
        }
    }

    #[test]
    fn nothing_of_it_is_printed() {
        let secret: K3sSecret = "hunter22".parse().unwrap();
        let token: K3sJoinToken = format!("K10{HASH}::node:hunter22").parse().unwrap();
        assert!(!format!("{secret:?} {token:?}").contains("hunter22"));
        assert!("".parse::<K3sSecret>().is_err() && "a b".parse::<K3sSecret>().is_err());
    }
}
