//! Who asks, and whether it may: bearer tokens and RBAC.

use serde_json::Value;

use super::kinds::Kind;
use super::object::{annotation, list, name, namespace, text};
use super::status::Refusal;
use super::store::Store;

/// The bearer token of whoever may do all.
pub const ADMIN_TOKEN: &str = "admin-of-the-double";

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum User {
    Admin,
    /// Namespace and name.
    ServiceAccount(String, String),
}

impl User {
    /// As messages name it.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Admin => "system:admin".to_owned(),
            Self::ServiceAccount(namespace, name) => format!("system:serviceaccount:{namespace}:{name}"),
        }
    }
}

/// What is asked for.
#[derive(Debug)]
pub(super) struct Wish<'a> {
    pub(super) verb: &'a str,
    pub(super) kind: &'a Kind,
    /// `eviction`; empty for the object itself.
    pub(super) subresource: &'a str,
    /// Empty for all namespaces, or where there are none.
    pub(super) namespace: &'a str,
    /// Empty for all.
    pub(super) name: &'a str,
}

/// Whose token it is: the admin's, or that of a secret for a service account that is there.
pub(super) fn user_of(store: &Store, token: &str) -> Option<User> {
    if token == ADMIN_TOKEN {
        return Some(User::Admin);
    }
    let secret = store.all("secrets").find(|secret| token_of(secret).is_some_and(|known| known == token))?;
    let account = annotation(secret, "kubernetes.io/service-account.name")?;
    let known = store.all("serviceaccounts").any(|it| name(it) == account && namespace(it) == namespace(secret));
    known.then(|| User::ServiceAccount(namespace(secret).to_owned(), account.to_owned()))
}

/// The token in a secret of a service account.
pub(super) fn token_of(secret: &Value) -> Option<String> {
    let encoded = secret.get("data")?.get("token")?.as_str()?;
    String::from_utf8(data_encoding::BASE64.decode(encoded.as_bytes()).ok()?).ok()
}

/// Lets the wish pass, or refuses it as the real one does.
pub(super) fn authorise(store: &Store, user: &User, wish: &Wish<'_>) -> Result<(), Refusal> {
    let User::ServiceAccount(..) = user else { return Ok(()) };
    let bound = |binding: &&Value| {
        list(binding, "/subjects").iter().any(|subject| {
            let account =
                User::ServiceAccount(text(subject, "/namespace").to_owned(), text(subject, "/name").to_owned());
            text(subject, "/kind") == "ServiceAccount" && account == *user
        })
    };
    let mut roles = Vec::new();
    for binding in store.all("clusterrolebindings").filter(bound) {
        roles.extend(store.all("clusterroles").filter(|role| name(role) == text(binding, "/roleRef/name")));
    }
    for binding in store.all("rolebindings").filter(bound).filter(|binding| namespace(binding) == wish.namespace) {
        let role = text(binding, "/roleRef/name");
        match text(binding, "/roleRef/kind") {
            "ClusterRole" => roles.extend(store.all("clusterroles").filter(|it| name(it) == role)),
            _ => roles.extend(store.all("roles").filter(|it| name(it) == role && namespace(it) == namespace(binding))),
        }
    }
    if roles.iter().flat_map(|role| list(role, "/rules")).any(|rule| allows(rule, wish)) {
        return Ok(());
    }
    Err(refusal(user, wish))
}

fn allows(rule: &Value, wish: &Wish<'_>) -> bool {
    let has = |field: &str, wanted: &str| list(rule, field).iter().any(|value| value == wanted || value == "*");
    let resource = match wish.subresource {
        "" => wish.kind.plural.to_owned(),
        subresource => format!("{}/{subresource}", wish.kind.plural),
    };
    let names = list(rule, "/resourceNames");
    has("/verbs", wish.verb)
        && has("/apiGroups", wish.kind.group)
        && has("/resources", &resource)
        && (names.is_empty() || (!wish.name.is_empty() && names.iter().any(|name| name == wish.name)))
}

fn refusal(user: &User, wish: &Wish<'_>) -> Refusal {
    let object = if wish.name.is_empty() { String::new() } else { format!(" {:?}", wish.name) };
    let resource = match wish.subresource {
        "" => wish.kind.plural.to_owned(),
        subresource => format!("{}/{subresource}", wish.kind.plural),
    };
    let scope = match wish.namespace {
        "" => "at the cluster scope".to_owned(),
        namespace => format!("in the namespace {namespace:?}"),
    };
    let message = format!(
        "{}{object} is forbidden: User {:?} cannot {} resource {resource:?} in API group {:?} {scope}",
        wish.kind.qualified(),
        user.name(),
        wish.verb,
        wish.kind.group
    );
    Refusal::new(403, "Forbidden", message).about(wish.kind, wish.name)
}
