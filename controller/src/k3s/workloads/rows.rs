//! Objects in rows, under the columns that kubectl has for them.

use serde_json::Value;

use super::age::age;
use super::kinds::Kind;
use super::{list, number, selector_words, text};

/// Makes the cells of an object, by the time now in milliseconds since 1970.
pub(super) type Cells = fn(&Value, i64) -> (Vec<String>, State);
pub(super) type Columns = &'static [(&'static str, bool)];

/// How an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nothing is said of it.
    Plain,
    /// As it should be.
    Good,
    /// On its way, or not wholly there.
    Warning,
    /// Not as it should be.
    Bad,
}

/// An object in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its namespace; empty where there are none.
    pub namespace: String,
    /// By the columns of its kind.
    pub cells: Vec<String>,
    /// How it is.
    pub state: State,
}

/// So many characters of a cell are told.
const MOST_CHARS: usize = 300;

impl Kind {
    /// An object of this kind in a row.
    pub fn row(&self, object: &Value, now_ms: i64) -> Row {
        let (cells, state) = (self.cells)(object, now_ms);
        let plain = |cell: String| cell.chars().filter(|c| !c.is_control()).take(MOST_CHARS).collect();
        let namespace = text(object, "/metadata/namespace").chars().take(MOST_CHARS).collect();
        Row { namespace, cells: cells.into_iter().map(plain).collect(), state }
    }
}

pub(super) const NODE: Columns = &[
    ("NAME", false),
    ("STATUS", false),
    ("ROLES", false),
    ("AGE", false),
    ("VERSION", false),
    ("INTERNAL-IP", true),
    ("OS-IMAGE", true),
    ("KERNEL-VERSION", true),
    ("CONTAINER-RUNTIME", true),
];
pub(super) const NAMESPACE: Columns = &[("NAME", false), ("STATUS", false), ("AGE", false)];
pub(super) const POD: Columns = &[
    ("NAME", false),
    ("READY", false),
    ("STATUS", false),
    ("RESTARTS", false),
    ("AGE", false),
    ("IP", true),
    ("NODE", true),
];
pub(super) const DEPLOYMENT: Columns = &[
    ("NAME", false),
    ("READY", false),
    ("UP-TO-DATE", false),
    ("AVAILABLE", false),
    ("AGE", false),
    ("CONTAINERS", true),
    ("IMAGES", true),
    ("SELECTOR", true),
];
pub(super) const STATEFUL_SET: Columns =
    &[("NAME", false), ("READY", false), ("AGE", false), ("CONTAINERS", true), ("IMAGES", true)];
pub(super) const DAEMON_SET: Columns = &[
    ("NAME", false),
    ("DESIRED", false),
    ("CURRENT", false),
    ("READY", false),
    ("UP-TO-DATE", false),
    ("AVAILABLE", false),
    ("AGE", false),
    ("CONTAINERS", true),
    ("IMAGES", true),
];
pub(super) const REPLICA_SET: Columns = &[
    ("NAME", false),
    ("DESIRED", false),
    ("CURRENT", false),
    ("READY", false),
    ("AGE", false),
    ("CONTAINERS", true),
    ("IMAGES", true),
];
pub(super) const SERVICE: Columns = &[
    ("NAME", false),
    ("TYPE", false),
    ("CLUSTER-IP", false),
    ("EXTERNAL-IP", false),
    ("PORT(S)", false),
    ("AGE", false),
    ("SELECTOR", true),
];
pub(super) const CONFIG_MAP: Columns = &[("NAME", false), ("DATA", false), ("AGE", false)];
pub(super) const CLAIM: Columns = &[
    ("NAME", false),
    ("STATUS", false),
    ("VOLUME", false),
    ("CAPACITY", false),
    ("STORAGECLASS", false),
    ("AGE", false),
];
pub(super) const BUDGET: Columns = &[
    ("NAME", false),
    ("MIN AVAILABLE", false),
    ("MAX UNAVAILABLE", false),
    ("ALLOWED DISRUPTIONS", false),
    ("AGE", false),
];
pub(super) const INGRESS: Columns =
    &[("NAME", false), ("CLASS", false), ("HOSTS", false), ("ADDRESS", false), ("AGE", false)];

fn name(object: &Value) -> String {
    text(object, "/metadata/name").to_owned()
}

fn since(object: &Value, now_ms: i64) -> String {
    age(text(object, "/metadata/creationTimestamp"), now_ms)
}

fn or_none(text: &str) -> String {
    if text.is_empty() { "<none>".to_owned() } else { text.to_owned() }
}

fn joined(values: impl Iterator<Item = String>) -> String {
    let values: Vec<String> = values.filter(|value| !value.is_empty()).collect();
    or_none(&values.join(","))
}

fn containers(object: &Value, field: &str) -> String {
    joined(list(object, "/spec/template/spec/containers").iter().map(|it| text(it, field).to_owned()))
}

/// How many there are, of how many there should be.
fn share(ready: i64, wanted: i64) -> State {
    match ready {
        ready if ready >= wanted => State::Good,
        0 => State::Bad,
        _ => State::Warning,
    }
}

pub(super) fn node(node: &Value, now_ms: i64) -> (Vec<String>, State) {
    const ROLE: &str = "node-role.kubernetes.io/";
    let conditions = list(node, "/status/conditions");
    let ready = conditions.iter().find(|it| it["type"] == "Ready").map_or("", |it| text(it, "/status"));
    let cordoned = node["spec"]["unschedulable"] == true;
    let (mut status, state) = match (ready, cordoned) {
        ("True", false) => ("Ready".to_owned(), State::Good),
        ("True", true) => ("Ready".to_owned(), State::Warning),
        ("False", _) => ("NotReady".to_owned(), State::Bad),
        _ => ("Unknown".to_owned(), State::Bad),
    };
    if cordoned {
        status.push_str(",SchedulingDisabled");
    }
    let labels = node["metadata"]["labels"].as_object();
    let roles = labels.into_iter().flatten().filter_map(|(key, _)| key.strip_prefix(ROLE)).map(str::to_owned);
    let address = list(node, "/status/addresses").iter().find(|it| it["type"] == "InternalIP");
    let info = |field: &str| or_none(text(node, &format!("/status/nodeInfo/{field}")));
    let cells = vec![
        name(node),
        status,
        joined(roles),
        since(node, now_ms),
        info("kubeletVersion"),
        or_none(address.map_or("", |it| text(it, "/address"))),
        info("osImage"),
        info("kernelVersion"),
        info("containerRuntimeVersion"),
    ];
    (cells, state)
}

pub(super) fn namespace(namespace: &Value, now_ms: i64) -> (Vec<String>, State) {
    let status = text(namespace, "/status/phase");
    let state = if status == "Active" { State::Good } else { State::Warning };
    (vec![name(namespace), status.to_owned(), since(namespace, now_ms)], state)
}

pub(super) fn deployment(deployment: &Value, now_ms: i64) -> (Vec<String>, State) {
    let status = |field: &str| number(deployment, &format!("/status/{field}"));
    let wanted = number(deployment, "/spec/replicas");
    let cells = vec![
        name(deployment),
        format!("{}/{wanted}", status("readyReplicas")),
        status("updatedReplicas").to_string(),
        status("availableReplicas").to_string(),
        since(deployment, now_ms),
        containers(deployment, "/name"),
        containers(deployment, "/image"),
        selector_words(&deployment["spec"]["selector"]).unwrap_or_else(|| or_none("")),
    ];
    (cells, share(status("readyReplicas"), wanted))
}

pub(super) fn stateful_set(set: &Value, now_ms: i64) -> (Vec<String>, State) {
    let (ready, wanted) = (number(set, "/status/readyReplicas"), number(set, "/spec/replicas"));
    let cells = vec![
        name(set),
        format!("{ready}/{wanted}"),
        since(set, now_ms),
        containers(set, "/name"),
        containers(set, "/image"),
    ];
    (cells, share(ready, wanted))
}

pub(super) fn daemon_set(set: &Value, now_ms: i64) -> (Vec<String>, State) {
    let status = |field: &str| number(set, &format!("/status/{field}"));
    let (wanted, ready) = (status("desiredNumberScheduled"), status("numberReady"));
    let cells = vec![
        name(set),
        wanted.to_string(),
        status("currentNumberScheduled").to_string(),
        ready.to_string(),
        status("updatedNumberScheduled").to_string(),
        status("numberAvailable").to_string(),
        since(set, now_ms),
        containers(set, "/name"),
        containers(set, "/image"),
    ];
    (cells, share(ready, wanted))
}

pub(super) fn replica_set(set: &Value, now_ms: i64) -> (Vec<String>, State) {
    let (wanted, ready) = (number(set, "/spec/replicas"), number(set, "/status/readyReplicas"));
    let cells = vec![
        name(set),
        wanted.to_string(),
        number(set, "/status/replicas").to_string(),
        ready.to_string(),
        since(set, now_ms),
        containers(set, "/name"),
        containers(set, "/image"),
    ];
    (cells, share(ready, wanted))
}

pub(super) fn service(service: &Value, now_ms: i64) -> (Vec<String>, State) {
    let port = |port: &Value| {
        let node = number(port, "/nodePort");
        let node = if node > 0 { format!(":{node}") } else { String::new() };
        let protocol = Some(text(port, "/protocol")).filter(|protocol| !protocol.is_empty()).unwrap_or("TCP");
        format!("{}{node}/{protocol}", number(port, "/port"))
    };
    let balancers = list(service, "/status/loadBalancer/ingress").iter().map(|it| {
        let (ip, host) = (text(it, "/ip"), text(it, "/hostname"));
        if ip.is_empty() { host.to_owned() } else { ip.to_owned() }
    });
    let given = list(service, "/spec/externalIPs").iter().filter_map(Value::as_str).map(str::to_owned);
    let external = joined(balancers.chain(given));
    let waits = text(service, "/spec/type") == "LoadBalancer" && external == "<none>";
    let selector = service["spec"]["selector"].as_object().into_iter().flatten();
    let cells = vec![
        name(service),
        text(service, "/spec/type").to_owned(),
        or_none(text(service, "/spec/clusterIP")),
        if waits { "<pending>".to_owned() } else { external },
        joined(list(service, "/spec/ports").iter().map(port)),
        since(service, now_ms),
        joined(selector.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))),
    ];
    (cells, if waits { State::Warning } else { State::Plain })
}

pub(super) fn config_map(map: &Value, now_ms: i64) -> (Vec<String>, State) {
    let count = |field: &str| map[field].as_object().map_or(0, serde_json::Map::len);
    (vec![name(map), (count("data") + count("binaryData")).to_string(), since(map, now_ms)], State::Plain)
}

pub(super) fn claim(claim: &Value, now_ms: i64) -> (Vec<String>, State) {
    let status = text(claim, "/status/phase");
    let state = match status {
        "Bound" => State::Good,
        "Lost" => State::Bad,
        _ => State::Warning,
    };
    let cells = vec![
        name(claim),
        status.to_owned(),
        or_none(text(claim, "/spec/volumeName")),
        or_none(text(claim, "/status/capacity/storage")),
        or_none(text(claim, "/spec/storageClassName")),
        since(claim, now_ms),
    ];
    (cells, state)
}

pub(super) fn budget(budget: &Value, now_ms: i64) -> (Vec<String>, State) {
    let bound = |field: &str| match &budget["spec"][field] {
        Value::Null => "N/A".to_owned(),
        Value::String(share) => share.clone(),
        number => number.to_string(),
    };
    let allowed = number(budget, "/status/disruptionsAllowed");
    let cells =
        vec![name(budget), bound("minAvailable"), bound("maxUnavailable"), allowed.to_string(), since(budget, now_ms)];
    (cells, if allowed > 0 { State::Good } else { State::Warning })
}

pub(super) fn ingress(ingress: &Value, now_ms: i64) -> (Vec<String>, State) {
    let hosts = list(ingress, "/spec/rules").iter().map(|rule| match text(rule, "/host") {
        "" => "*".to_owned(),
        host => host.to_owned(),
    });
    let addresses = list(ingress, "/status/loadBalancer/ingress").iter().map(|it| text(it, "/ip").to_owned());
    let cells = vec![
        name(ingress),
        or_none(text(ingress, "/spec/ingressClassName")),
        joined(hosts),
        joined(addresses),
        since(ingress, now_ms),
    ];
    (cells, State::Plain)
}
