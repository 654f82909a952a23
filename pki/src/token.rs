use std::fmt;
use std::str::FromStr;

use data_encoding::{BASE32_NOPAD, HEXLOWER};
use rackhaven_proto::Invalid;

use crate::{PkiError, hex, random, sha256};

/// Prefix of every invitation: its format's version.
const PREFIX: &str = "rh1";
const ID_BYTES: usize = 5;
const SECRET_BYTES: usize = 20;

/// The public part of an invitation, by which the controller finds it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TokenId(Box<str>);

impl TokenId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for TokenId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        decode_base32::<ID_BYTES>(text).map_err(|reason| Invalid::new("token id", reason))?;
        Ok(Self(text.into()))
    }
}

/// What the controller keeps of an invitation's secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecretHash(pub [u8; 32]);

impl SecretHash {
    /// The hash of a secret as it came over the wire.
    pub fn of(secret: &str) -> Self {
        Self(sha256(secret.as_bytes()))
    }

    /// Compares in constant time.
    pub fn matches(&self, secret: &str) -> bool {
        // `ring::hmac::verify` compares in constant time; both sides are keyed with the stored hash.
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &self.0);
        let tag = ring::hmac::sign(&key, &sha256(secret.as_bytes()));
        ring::hmac::verify(&key, &self.0, tag.as_ref()).is_ok()
    }
}

/// An invitation: `rh1.<id>.<secret>.<fingerprint of the CA>`. Shown once to the one who invites.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// By this the controller finds it.
    pub id: TokenId,
    secret: Box<str>,
    /// SHA-256 of the CA's certificate: how the joining machine knows the right controller.
    pub ca_fingerprint: [u8; 32],
}

impl Token {
    /// Makes a new invitation: 40 random bits of id, 160 of secret.
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub fn generate(ca_fingerprint: [u8; 32]) -> Result<Self, PkiError> {
        let encode = |bytes: &[u8]| BASE32_NOPAD.encode(bytes).to_ascii_lowercase().into_boxed_str();
        Ok(Self {
            id: TokenId(encode(&random::<ID_BYTES>()?)),
            secret: encode(&random::<SECRET_BYTES>()?),
            ca_fingerprint,
        })
    }

    /// The secret; goes to the controller only, after its fingerprint was found right.
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// The complete text.
    pub fn reveal(&self) -> String {
        format!("{PREFIX}.{}.{}.{}", self.id, self.secret, hex(&self.ca_fingerprint))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({}, secret hidden)", self.id)
    }
}

impl FromStr for Token {
    type Err = Invalid;

    /// Reads an invitation. Errors name the part that is wrong and never repeat the secret.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let refuse = |reason: &str| Invalid::new("token", reason);
        let mut parts = text.trim().split('.');
        if parts.next() != Some(PREFIX) {
            return Err(refuse("does not begin with rh1."));
        }
        let (Some(id), Some(secret), Some(pin), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
            return Err(refuse("is not rh1.ID.SECRET.FINGERPRINT; was all of it copied?"));
        };
        decode_base32::<SECRET_BYTES>(secret).map_err(|reason| Invalid::new("token secret", reason))?;
        let fingerprint =
            HEXLOWER.decode(pin.as_bytes()).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok()).ok_or_else(
                || Invalid::new("token fingerprint", "is not 64 hexadecimal digits; was all of it copied?"),
            )?;
        Ok(Self { id: id.parse()?, secret: secret.into(), ca_fingerprint: fingerprint })
    }
}

fn decode_base32<const N: usize>(text: &str) -> Result<[u8; N], String> {
    let upper = text.to_ascii_uppercase();
    let canonical = text.bytes().all(|byte| !byte.is_ascii_uppercase());
    BASE32_NOPAD
        .decode(upper.as_bytes())
        .ok()
        .filter(|_| canonical)
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| format!("is not {} characters of a-z and 2-7", (N * 8).div_ceil(5)))
}

#[cfg(test)]
mod tests {
    use super::{SecretHash, Token};

    #[test]
    fn round_trip_and_every_truncation() {
        let token = Token::generate([7; 32]).unwrap();
        let text = token.reveal();
        assert_eq!(text.parse::<Token>().unwrap(), token);
        assert_eq!(format!("  {text}\n").parse::<Token>().unwrap(), token);
        for end in 0..text.len() {
            let error = text[..end].parse::<Token>().unwrap_err().to_string();
            assert!(!error.contains(token.secret()), "the secret stands in: {error}");
        }
    }

    #[test]
    fn only_the_secret_itself_matches() {
        let token = Token::generate([7; 32]).unwrap();
        let hash = SecretHash::of(token.secret());
        assert!(hash.matches(token.secret()));
        assert!(!hash.matches(""));
        assert!(!hash.matches(&token.secret().to_ascii_uppercase()));
        assert!(!hash.matches(Token::generate([7; 32]).unwrap().secret()));
    }
}
