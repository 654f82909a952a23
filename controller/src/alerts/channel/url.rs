use std::fmt;

use hyper::Uri;
use hyper::http::uri::{Authority, Scheme};

/// The longest address.
const LIMIT_BYTES: usize = 2048;

/// A receiver's address. Its path and query may hold secrets: only the host is ever shown.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::alerts) struct Url {
    uri: Uri,
    authority: Authority,
    https: bool,
}

impl Url {
    /// From text.
    ///
    /// # Errors
    /// What is wrong with it, without repeating it.
    pub(in crate::alerts) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || "is not https://HOST[:PORT]/PATH".to_owned();
        if text.len() > LIMIT_BYTES {
            return Err(format!("is longer than {LIMIT_BYTES} bytes"));
        }
        let uri: Uri = text.parse().map_err(|_| wrong())?;
        let https = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            _ => return Err(wrong()),
        };
        let authority = uri.authority().cloned().ok_or_else(wrong)?;
        if authority.as_str().contains('@') {
            return Err("holds a user name; put what is secret into a file of its own".to_owned());
        }
        if authority.host().is_empty() || authority.port_u16() == Some(0) {
            return Err(wrong());
        }
        Ok(Self { uri, authority, https })
    }

    /// Whether it is reached by TLS.
    pub(super) fn is_https(&self) -> bool {
        self.https
    }

    /// The host's name or address, for dialling.
    pub(super) fn host(&self) -> &str {
        self.authority.host().trim_start_matches('[').trim_end_matches(']')
    }

    /// The port, for dialling.
    pub(super) fn port(&self) -> u16 {
        self.authority.port_u16().unwrap_or(if self.https { 443 } else { 80 })
    }

    /// Host and port as they were given: what may be shown.
    pub(super) fn authority(&self) -> &str {
        self.authority.as_str()
    }

    /// What comes after the host: for the request alone.
    pub(super) fn target(&self) -> &str {
        self.uri.path_and_query().map_or("/", |target| target.as_str())
    }

    /// The same host with another path, which begins with a slash.
    ///
    /// # Errors
    /// The path holds what no path may hold.
    pub(super) fn with_path(&self, path: &str) -> Result<Self, String> {
        let scheme = if self.https { "https" } else { "http" };
        Self::parse(&format!("{scheme}://{}{path}", self.authority))
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Url({}/…)", self.authority)
    }
}

#[cfg(test)]
mod tests {
    use super::Url;

    #[test]
    fn parts() {
        let url = Url::parse("https://a.example:8443/x/y?z=1").unwrap();
        assert_eq!(
            (url.host(), url.port(), url.authority(), url.target()),
            ("a.example", 8443, "a.example:8443", "/x/y?z=1")
        );
        let url = Url::parse("http://[::1]").unwrap();
        assert_eq!((url.host(), url.port(), url.target(), url.is_https()), ("::1", 80, "/", false));
        assert_eq!(url.with_path("/a").unwrap().target(), "/a");
    }

    #[test]
    fn only_the_host_is_shown() {
        assert_eq!(format!("{:?}", Url::parse("https://a/sesame").unwrap()), "Url(a/…)");
        for wrong in
            ["", "sesame", "ftp://sesame/", "https://", "https://u:sesame@a/", "https://a:0/", "https://a/ se same"]
        {
            let error = Url::parse(wrong).unwrap_err();
            assert!(!error.contains("sesame"), "{error}");
        }
    }
}
