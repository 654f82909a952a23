//! A request as it came, and what its path means.

use super::kinds::{KINDS, Kind};

/// A request, without its connection.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// GET, POST, …
    pub method: String,
    /// The path, decoded.
    pub path: String,
    /// The query, decoded.
    pub query: Vec<(String, String)>,
    /// The type of the body.
    pub content_type: String,
    /// Who says that it asks.
    pub user_agent: String,
    /// The bearer token; empty for none.
    pub token: String,
    /// The body.
    pub body: Vec<u8>,
}

/// What a path leads to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target<'a> {
    pub(super) kind: &'static Kind,
    /// Empty for all, and for what is in none.
    pub(super) namespace: &'a str,
    /// Empty for all.
    pub(super) name: &'a str,
    /// status, scale, eviction, log; mostly empty.
    pub(super) subresource: &'a str,
}

impl Request {
    /// A parameter; empty if it is not there.
    pub fn parameter(&self, name: &str) -> &str {
        self.query.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// Whether a parameter says yes.
    pub fn says(&self, name: &str) -> bool {
        matches!(self.parameter(name), "true" | "1")
    }

    /// Whether nothing is to be changed.
    pub fn is_dry(&self) -> bool {
        self.parameter("dryRun") == "All"
    }

    /// Fills path and query from what follows the host of an address.
    pub fn set_address(&mut self, path: &str, query: &str) {
        self.path = decode(path);
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(&value.replace('+', " ")))
        };
        self.query = query.split('&').filter(|pair| !pair.is_empty()).map(pair).collect();
    }

    /// What it is about; none if that is not an object or a list of such.
    pub(super) fn target(&self) -> Option<Target<'_>> {
        let mut parts = self.path.trim_matches('/').split('/');
        let group = match parts.next()? {
            "api" => "",
            "apis" => parts.next()?,
            _ => return None,
        };
        let version = parts.next()?;
        let parts: Vec<&str> = parts.collect();
        let of = |plural: &str| {
            KINDS.iter().find(|kind| kind.plural == plural && kind.group == group && kind.version == version)
        };
        let (kind, namespace, rest) = match parts.as_slice() {
            ["namespaces", namespace, plural, rest @ ..] if of(plural).is_some_and(|kind| kind.namespaced) => {
                (of(plural)?, *namespace, rest)
            }
            [plural, rest @ ..] => (of(plural)?, "", rest),
            [] => return None,
        };
        let (name, subresource) = match rest {
            [] => ("", ""),
            [name] => (*name, ""),
            [name, subresource] => (*name, *subresource),
            _ => return None,
        };
        Some(Target { kind, namespace, name, subresource })
    }

    /// The verb of RBAC for it.
    pub(super) fn verb(&self, target: &Target<'_>) -> &'static str {
        match (self.method.as_str(), target.name.is_empty()) {
            ("GET", _) if self.says("watch") => "watch",
            ("GET", true) => "list",
            ("GET", false) => "get",
            ("POST", _) => "create",
            ("PUT", _) => "update",
            ("PATCH", _) => "patch",
            ("DELETE", true) => "deletecollection",
            ("DELETE", false) => "delete",
            _ => "",
        }
    }
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next().unwrap_or(b'0'), rest.next().unwrap_or(b'0')];
        let hex = std::str::from_utf8(&digits).ok().and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(hex.unwrap_or(b'?'));
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::Request;

    #[test]
    fn paths_golden() {
        for (path, expected) in [
            ("/api/v1/nodes", Some(("nodes", "", "", ""))),
            ("/api/v1/nodes/pi-1", Some(("nodes", "", "pi-1", ""))),
            ("/api/v1/namespaces/a", Some(("namespaces", "", "a", ""))),
            ("/api/v1/namespaces/a/pods/b/eviction", Some(("pods", "a", "b", "eviction"))),
            ("/apis/apps/v1/deployments", Some(("deployments", "", "", ""))),
            ("/apis/apps/v1/namespaces/a/deployments/b%20c/scale", Some(("deployments", "a", "b c", "scale"))),
            ("/apis/apps/v1/pods", None),
            ("/version", None),
        ] {
            let mut request = Request::default();
            request.set_address(path, "");
            let found = request.target().map(|it| (it.kind.plural, it.namespace, it.name, it.subresource));
            assert_eq!(found, expected, "{path}");
        }
    }
}
