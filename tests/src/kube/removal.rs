//! Deletion, with the time that it takes, and evictions under budgets.

use serde_json::{Value, json};

use super::admission::decode;
use super::kinds::{EVICTION, Kind, by_plural};
use super::object::{condition, is_leaving, list, name, namespace, number, text, timestamp};
use super::request::{Request, Target};
use super::select::{Selector, label_selector};
use super::status::{Refusal, success};
use super::world::{Answer, World};

impl World {
    pub(super) fn delete(&mut self, request: &Request, target: Target<'_>) -> Result<Answer, Refusal> {
        let mut options = options(&request.body)?;
        if let Ok(seconds) = request.parameter("gracePeriodSeconds").parse::<i64>() {
            options["gracePeriodSeconds"] = seconds.into();
        }
        let object = self.get(target)?;
        check_preconditions(target.kind, &object, &options)?;
        let body = self.take_leave(target.kind, &object, &options);
        Ok(Answer::Json(200, body))
    }

    pub(super) fn delete_all(&mut self, request: &Request, target: Target<'_>) -> Result<Answer, Refusal> {
        let options = options(&request.body)?;
        let selector = Selector::parse(request.parameter("labelSelector"), request.parameter("fieldSelector"))?;
        let chosen = self.store.copies(target.kind.plural).into_iter().filter(|object| {
            (target.namespace.is_empty() || namespace(object) == target.namespace) && selector.matches(object)
        });
        let items: Vec<Value> = chosen.map(|object| self.take_leave(target.kind, &object, &options)).collect();
        let body = json!({ "kind": format!("{}List", target.kind.name), "apiVersion": target.kind.api_version(),
            "metadata": { "resourceVersion": self.store.revision().to_string() }, "items": items });
        Ok(Answer::Json(200, body))
    }

    /// Begins the end of an object, and is done with it where that takes no time.
    fn take_leave(&mut self, kind: &'static Kind, object: &Value, options: &Value) -> Value {
        let mut leaving = object.clone();
        if kind.plural == "pods" {
            let ended = ["Succeeded", "Failed"].contains(&text(object, "/status/phase"));
            let usual = number(object, "/spec/terminationGracePeriodSeconds").unwrap_or(30);
            let mut grace = options["gracePeriodSeconds"].as_i64().unwrap_or(usual);
            if ended || text(object, "/spec/nodeName").is_empty() {
                grace = 0;
            }
            let known = number(object, "/metadata/deletionGracePeriodSeconds");
            if known.is_some_and(|known| known <= grace) {
                return object.clone();
            }
            leaving["metadata"]["deletionGracePeriodSeconds"] = grace.into();
            leaving["metadata"]["deletionTimestamp"] = timestamp(self.now_ms + grace * 1000).into();
            if grace > 0 {
                return self.store.update(kind, leaving);
            }
        }
        if !list(object, "/metadata/finalizers").is_empty() || kind.plural == "namespaces" {
            if !is_leaving(object) {
                leaving["metadata"]["deletionTimestamp"] = timestamp(self.now_ms).into();
                leaving["metadata"]["deletionGracePeriodSeconds"] = 0.into();
            }
            if kind.plural == "namespaces" {
                leaving["status"]["phase"] = "Terminating".into();
            }
            return self.store.update(kind, leaving);
        }
        self.let_go(kind, object);
        if kind.plural == "pods" { leaving } else { success(kind, object) }
    }

    /// An object is gone.
    pub(super) fn let_go(&mut self, kind: &Kind, object: &Value) {
        self.store.remove(kind, namespace(object), name(object));
        if kind.plural == "pods" {
            self.logs.retain(|(of, pod, ..), _| of != namespace(object) || pod != name(object));
        }
    }

    pub(super) fn evict(&mut self, request: &Request, target: Target<'_>) -> Result<Answer, Refusal> {
        let eviction = decode(request, &EVICTION)?;
        if name(&eviction) != target.name {
            return Err(Refusal::bad("name in URL does not match name in Eviction object"));
        }
        let pod = self.get(target)?;
        let options = eviction.get("deleteOptions").cloned().unwrap_or_else(|| json!({}));
        check_preconditions(target.kind, &pod, &options)?;
        let runs = !["Succeeded", "Failed", "Pending"].contains(&text(&pod, "/status/phase")) && !is_leaving(&pod);
        if runs {
            self.ask_budgets(target, &pod)?;
        }
        self.take_leave(target.kind, &pod, &options);
        Ok(Answer::Json(
            201,
            json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201 }),
        ))
    }

    /// Takes one disruption out of the pod's budget, if it has one.
    fn ask_budgets(&mut self, target: Target<'_>, pod: &Value) -> Result<(), Refusal> {
        self.count_budgets();
        let covers = |budget: &&Value| {
            namespace(budget) == target.namespace
                && label_selector(&budget["spec"]["selector"], &pod["metadata"]["labels"])
        };
        let budgets: Vec<Value> = self.store.all("poddisruptionbudgets").filter(covers).cloned().collect();
        let [budget] = budgets.as_slice() else {
            if budgets.is_empty() {
                return Ok(());
            }
            let message =
                "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
            return Err(Refusal::new(500, "InternalError", message));
        };
        let count = |field: &str| budget["status"][field].as_i64().unwrap_or_default();
        let healthy_enough = count("currentHealthy") >= count("desiredHealthy") && count("desiredHealthy") > 0;
        let always = budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow";
        if condition(pod, "Ready") != "True" && (always || healthy_enough) {
            return Ok(());
        }
        if count("disruptionsAllowed") < 1 {
            let cause = format!(
                "The disruption budget {} needs {} healthy pods and has {} currently",
                name(budget),
                count("desiredHealthy"),
                count("currentHealthy")
            );
            let message = "Cannot evict pod as it would violate the pod's disruption budget.";
            return Err(Refusal::new(429, "TooManyRequests", message).cause("DisruptionBudget", cause, ""));
        }
        Ok(())
    }

    /// What the disruption controller writes down.
    pub(super) fn count_budgets(&mut self) {
        let Some(kind) = by_plural("poddisruptionbudgets") else { return };
        for mut budget in self.store.copies("poddisruptionbudgets") {
            let covers = |pod: &&Value| {
                namespace(pod) == namespace(&budget)
                    && label_selector(&budget["spec"]["selector"], &pod["metadata"]["labels"])
            };
            let pods: Vec<&Value> = self.store.all("pods").filter(covers).collect();
            let expected = i64::try_from(pods.iter().filter(|pod| !is_leaving(pod)).count()).unwrap_or(i64::MAX);
            let expected = expected.max(self.wanted_by_owners(&pods));
            let healthy = pods.iter().filter(|pod| !is_leaving(pod) && condition(pod, "Ready") == "True").count();
            let healthy = i64::try_from(healthy).unwrap_or(i64::MAX);
            let desired = match (budget["spec"].get("minAvailable"), budget["spec"].get("maxUnavailable")) {
                (Some(least), _) => share(least, expected),
                (None, Some(most)) => (expected - share(most, expected)).max(0),
                (None, None) => (expected - 1).max(0),
            };
            let allowed = if expected > 0 { (healthy - desired).max(0) } else { 0 };
            budget["status"] = json!({ "currentHealthy": healthy, "desiredHealthy": desired, "expectedPods": expected,
                "disruptionsAllowed": allowed, "observedGeneration": budget["metadata"]["generation"] });
            self.store.update(kind, budget);
        }
    }

    /// How many pods those who own these want.
    fn wanted_by_owners(&self, pods: &[&Value]) -> i64 {
        let mut owners: Vec<_> = pods.iter().filter_map(|pod| super::object::owner(pod)).collect();
        owners.sort_unstable();
        owners.dedup();
        let all = ["replicasets", "statefulsets"].into_iter().flat_map(|plural| self.store.all(plural));
        let owning = all.filter(|object| owners.iter().any(|(_, uid)| *uid == text(object, "/metadata/uid")));
        owning.filter_map(|object| number(object, "/spec/replicas")).sum()
    }
}

/// A number, or a part in percent, rounded up.
fn share(value: &Value, of: i64) -> i64 {
    let percent = value.as_str().and_then(|text| text.strip_suffix('%')?.parse::<i64>().ok());
    percent.map_or_else(|| value.as_i64().unwrap_or_default(), |percent| (of * percent + 99) / 100)
}

/// DeleteOptions; with a field that is not known they are refused.
fn options(body: &[u8]) -> Result<Value, Refusal> {
    const KNOWN: [&str; 7] = [
        "apiVersion",
        "kind",
        "gracePeriodSeconds",
        "preconditions",
        "propagationPolicy",
        "orphanDependents",
        "dryRun",
    ];
    if body.is_empty() {
        return Ok(json!({}));
    }
    let options: Value = serde_json::from_slice(body).map_err(|error| Refusal::bad(error.to_string()))?;
    match options.as_object().and_then(|fields| fields.keys().find(|field| !KNOWN.contains(&field.as_str()))) {
        Some(field) => Err(Refusal::bad(format!("strict decoding error: unknown field {field:?}"))),
        None => Ok(options),
    }
}

fn check_preconditions(kind: &Kind, object: &Value, options: &Value) -> Result<(), Refusal> {
    for (field, shown) in [("uid", "UID"), ("resourceVersion", "ResourceVersion")] {
        let wanted = &options["preconditions"][field];
        let known = &object["metadata"][field];
        if !wanted.is_null() && wanted != known {
            let why =
                format!("Precondition failed: {shown} in precondition: {wanted}, {shown} in object meta: {known}");
            return Err(Refusal::conflict(kind, name(object), &why));
        }
    }
    Ok(())
}
