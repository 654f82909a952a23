//! What makes and changes objects.

use serde_json::{Value, json};

use super::admission::{check_kind, decode, fill_in, refuse_unknown, validate, validate_change};
use super::fields::{Fields, Manager, Managers, fields, managed_fields, managers, overlay, remove, shown, value};
use super::kinds::{Kind, SCALE};
use super::object::{is_leaving, name, namespace, text, timestamp};
use super::patch;
use super::request::{Request, Target};
use super::status::Refusal;
use super::world::{Answer, World};

impl World {
    pub(super) fn create(&mut self, request: &Request, target: Target<'_>) -> Result<Answer, Refusal> {
        let mut object = decode(request, target.kind)?;
        if name(&object).is_empty() && !text(&object, "/metadata/generateName").is_empty() {
            let made = format!("{}{:05x}", text(&object, "/metadata/generateName"), self.store.number());
            object["metadata"]["name"] = made.into();
        }
        self.settle(target, &mut object)?;
        let all = fields(&object);
        let manager = manager(request, target.subresource, "Update");
        self.take_in(target.kind, object, [(manager, all)].into()).map(|object| Answer::Json(201, object))
    }

    /// Puts a new object into the namespace of the path.
    fn settle(&self, target: Target<'_>, object: &mut Value) -> Result<(), Refusal> {
        let said = namespace(object);
        if !said.is_empty() && said != target.namespace {
            return Err(Refusal::bad(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
        if !target.kind.namespaced {
            return Ok(());
        }
        let namespaces = super::kinds::by_plural("namespaces").ok_or_else(|| Refusal::bad("no namespaces"))?;
        let Some(found) = self.store.get(namespaces, "", target.namespace) else {
            return Err(Refusal::not_found(namespaces, target.namespace));
        };
        if is_leaving(found) {
            let message = format!(
                "{} {:?} is forbidden: unable to create new content in namespace {} because it is being terminated",
                target.kind.qualified(),
                name(object),
                target.namespace
            );
            return Err(Refusal::new(403, "Forbidden", message).about(target.kind, name(object)));
        }
        object["metadata"]["namespace"] = target.namespace.into();
        Ok(())
    }

    fn take_in(&mut self, kind: &'static Kind, mut object: Value, managers: Managers) -> Result<Value, Refusal> {
        // Nodes come with a status, all others get theirs.
        if kind.plural != "nodes"
            && let Some(fields) = object.as_object_mut()
        {
            fields.remove("status");
        }
        fill_in(kind, &mut object);
        validate(kind, &object)?;
        if self.store.get(kind, namespace(&object), name(&object)).is_some() {
            return Err(Refusal::exists(kind, name(&object)));
        }
        match kind.plural {
            "pods" => object["status"] = json!({ "phase": "Pending", "qosClass": "BestEffort" }),
            "namespaces" => {
                object["spec"]["finalizers"] = json!(["kubernetes"]);
                object["status"] = json!({ "phase": "Active" });
            }
            "secrets" => self.issue_token(&mut object),
            _ => {}
        }
        let time = timestamp(self.now_ms);
        object["metadata"]["managedFields"] = managed_fields(&managers, &kind.api_version(), &time);
        Ok(self.store.create(kind, object, self.now_ms))
    }

    /// What the token controller does for a secret of a service account.
    fn issue_token(&mut self, secret: &mut Value) {
        if text(secret, "/type") == "kubernetes.io/service-account-token" {
            let token = format!("token-{}-{:x}", name(secret), self.store.number());
            secret["data"]["token"] = data_encoding::BASE64.encode(token.as_bytes()).into();
            secret["data"]["namespace"] = data_encoding::BASE64.encode(namespace(secret).as_bytes()).into();
        }
    }

    /// The same for a secret that a story puts there; one that has its token keeps it.
    pub(super) fn put_token_secret(&mut self, mut secret: Value) {
        let Some(kind) = super::kinds::by_plural("secrets") else { return };
        if self.store.get(kind, namespace(&secret), name(&secret)).is_none() {
            self.issue_token(&mut secret);
            self.make("secrets", secret);
        }
    }

    /// Makes an object, or puts it in the place of the one with its name, as one of the cluster's own parts would.
    pub(super) fn make(&mut self, plural: &'static str, mut object: Value) -> Value {
        let Some(kind) = super::kinds::by_plural(plural) else { return object };
        if let Some(fields) = object.as_object_mut() {
            kind.stamp(fields);
        }
        fill_in(kind, &mut object);
        match self.store.get(kind, namespace(&object), name(&object)) {
            Some(before) => {
                object["metadata"]["uid"] = before["metadata"]["uid"].clone();
                object["metadata"]["creationTimestamp"] = before["metadata"]["creationTimestamp"].clone();
                self.store.update(kind, object)
            }
            None => self.store.create(kind, object, self.now_ms),
        }
    }

    pub(super) fn replace(&mut self, request: &Request, target: Target<'_>) -> Result<Answer, Refusal> {
        let before = self.get(target)?;
        let after = decode(request, target.kind)?;
        if name(&after) != target.name {
            return Err(Refusal::bad(format!(
                "the name of the object ({}) does not match the name on the URL ({})",
                name(&after),
                target.name
            )));
        }
        self.change(request, target, &before, after).map(|object| Answer::Json(200, object))
    }

    pub(super) fn patch(&mut self, request: &Request, target: Target<'_>) -> Result<Answer, Refusal> {
        if request.content_type.starts_with("application/apply-patch") {
            return self.apply(request, target);
        }
        let before = self.get(target)?;
        let after = patched(request, target.kind, &before)?;
        self.change(request, target, &before, after).map(|object| Answer::Json(200, object))
    }

    /// Brings an object to a new form, if it may be.
    fn change(
        &mut self,
        request: &Request,
        target: Target<'_>,
        before: &Value,
        after: Value,
    ) -> Result<Value, Refusal> {
        let mut after = joined(before, after, target.subresource);
        let version = |object: &Value| object["metadata"]["resourceVersion"].clone();
        if !version(&after).is_null() && version(&after) != version(before) {
            return Err(Refusal::modified(target.kind, target.name));
        }
        let uid = &after["metadata"]["uid"];
        if !uid.is_null() && *uid != before["metadata"]["uid"] {
            let why = format!(
                "Precondition failed: UID in precondition: {}, UID in object meta: {}",
                text(&after, "/metadata/uid"),
                text(before, "/metadata/uid")
            );
            return Err(Refusal::conflict(target.kind, target.name, &why));
        }
        for field in ["uid", "creationTimestamp", "deletionTimestamp", "namespace", "generation"] {
            let known = before["metadata"].get(field).cloned();
            match (known, after["metadata"].as_object_mut()) {
                (Some(known), Some(fields)) => drop(fields.insert(field.to_owned(), known)),
                (None, Some(fields)) => drop(fields.remove(field)),
                _ => {}
            }
        }
        fill_in(target.kind, &mut after);
        validate_change(target.kind, before, &after)?;
        let mut known = managers(before);
        let all = fields(&after);
        let changed: Fields = all.iter().filter(|path| value(before, path) != value(&after, path)).cloned().collect();
        for set in known.values_mut() {
            set.retain(|path| all.contains(path) && !changed.contains(path));
        }
        known.entry(manager(request, target.subresource, "Update")).or_default().extend(changed);
        let time = timestamp(self.now_ms);
        after["metadata"]["managedFields"] = managed_fields(&known, &target.kind.api_version(), &time);
        let done = self.store.update(target.kind, after);
        if is_leaving(&done) && super::object::list(&done, "/metadata/finalizers").is_empty() {
            self.let_go(target.kind, &done);
        }
        Ok(done)
    }

    /// Server-side apply.
    fn apply(&mut self, request: &Request, target: Target<'_>) -> Result<Answer, Refusal> {
        let manager = manager(request, target.subresource, "Apply");
        if request.parameter("fieldManager").is_empty() {
            return Err(Refusal::new(
                422,
                "Invalid",
                "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch",
            ));
        }
        let body: Value = serde_json::from_slice(&request.body)
            .map_err(|error| Refusal::bad(format!("error decoding YAML: {error}")))?;
        check_kind(&body, target.kind)?;
        let (applied, unknown) = target.kind.prune(&body).map_err(Refusal::bad)?;
        if let Some(field) = unknown.first() {
            let place = format!("{}; {}, Kind={}", name(&body), target.kind.api_version(), target.kind.name);
            let message =
                format!("failed to create typed patch object ({place}): .{field}: field not declared in schema");
            return Err(Refusal::new(500, "", message));
        }
        let set = fields(&applied);
        let Ok(before) = self.get(target) else {
            let mut object = applied;
            object["metadata"]["name"] = target.name.into();
            self.settle(target, &mut object)?;
            return self.take_in(target.kind, object, [(manager, set)].into()).map(|it| Answer::Json(201, it));
        };
        let mut known = managers(&before);
        let mut conflicts = Vec::new();
        for (other, theirs) in known.iter_mut().filter(|(other, _)| **other != manager) {
            let differs = |path: &&Vec<String>| {
                path.last().is_none_or(|last| last != ".") && value(&before, path) != value(&applied, path)
            };
            let contested: Vec<_> = theirs.intersection(&set).filter(differs).cloned().collect();
            for path in contested {
                theirs.remove(&path);
                conflicts.push((other.clone(), path));
            }
        }
        if !conflicts.is_empty() && !request.says("force") {
            return Err(conflict(target.kind, &conflicts));
        }
        let mut after = before.clone();
        overlay(&mut after, &applied, "");
        for path in known.get(&manager).cloned().unwrap_or_default().difference(&set) {
            let others = known.iter().any(|(other, theirs)| *other != manager && theirs.contains(path));
            if !others {
                remove(&mut after, path);
            }
        }
        let mut after = joined(&before, after, target.subresource);
        fill_in(target.kind, &mut after);
        validate_change(target.kind, &before, &after)?;
        known.insert(manager, set);
        let time = timestamp(self.now_ms);
        after["metadata"]["managedFields"] = managed_fields(&known, &target.kind.api_version(), &time);
        Ok(Answer::Json(200, self.store.update(target.kind, after)))
    }

    pub(super) fn scale(&mut self, request: &Request, target: Target<'_>) -> Result<Answer, Refusal> {
        let before = self.get(target)?;
        let scale = |object: &Value| {
            let copied = ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"];
            let metadata: Value =
                copied.map(|field| (field.to_owned(), object["metadata"][field].clone())).into_iter().collect();
            json!({ "kind": SCALE.name, "apiVersion": SCALE.api_version(), "metadata": metadata,
                "spec": { "replicas": object["spec"]["replicas"] },
                "status": { "replicas": object["status"]["replicas"].as_i64().unwrap_or_default() } })
        };
        let wanted = match request.method.as_str() {
            "GET" => return Ok(Answer::Json(200, scale(&before))),
            "PUT" => decode(request, &SCALE)?,
            _ => patched(request, &SCALE, &scale(&before))?,
        };
        let mut after = before.clone();
        after["spec"]["replicas"] = wanted["spec"]["replicas"].as_i64().unwrap_or_default().into();
        after["metadata"]["resourceVersion"] = wanted["metadata"]["resourceVersion"].clone();
        let target = Target { subresource: "scale", ..target };
        self.change(request, target, &before, after).map(|object| Answer::Json(200, scale(&object)))
    }
}

/// An object with a patch laid over it, checked as its kind.
fn patched(request: &Request, kind: &Kind, before: &Value) -> Result<Value, Refusal> {
    let body: Value = serde_json::from_slice(&request.body).map_err(|error| Refusal::bad(error.to_string()))?;
    let mut after = before.clone();
    match request.content_type.split(';').next().unwrap_or_default() {
        "application/merge-patch+json" => patch::merge(&mut after, &body),
        "application/strategic-merge-patch+json" => patch::strategic(&mut after, &body),
        "application/json-patch+json" => patch::json(&mut after, &body)?,
        other => {
            let message =
                format!("the body of the request was in an unknown format - accepted media types include: {other}");
            return Err(Refusal::new(415, "UnsupportedMediaType", message));
        }
    }
    let invalid = |why: String| Refusal::invalid(kind, name(before), "patch", "FieldValueInvalid", &why);
    let (after, unknown) = kind.prune(&after).map_err(invalid)?;
    refuse_unknown(request, &unknown).map_err(invalid)?;
    Ok(after)
}

/// What a write through a door may change: the status through its own, all else through the main one.
fn joined(before: &Value, after: Value, subresource: &str) -> Value {
    let (mut base, from) = match subresource {
        "status" => (before.clone(), &after),
        _ => (after.clone(), before),
    };
    match (from.get("status"), base.as_object_mut()) {
        (Some(status), Some(fields)) => drop(fields.insert("status".to_owned(), status.clone())),
        (None, Some(fields)) => drop(fields.remove("status")),
        _ => {}
    }
    base["metadata"]["resourceVersion"] = after["metadata"]["resourceVersion"].clone();
    base
}

fn manager(request: &Request, subresource: &str, operation: &'static str) -> Manager {
    let name = match request.parameter("fieldManager") {
        "" => request.user_agent.split('/').next().filter(|name| !name.is_empty()).unwrap_or("unknown"),
        name => name,
    };
    Manager { name: name.to_owned(), operation, subresource: subresource.to_owned() }
}

fn conflict(kind: &Kind, conflicts: &[(Manager, Vec<String>)]) -> Refusal {
    let with = |manager: &Manager| match manager.subresource.as_str() {
        "" => format!("conflict with {:?} using {}", manager.name, kind.api_version()),
        subresource => {
            format!("conflict with {:?} with subresource {subresource:?} using {}", manager.name, kind.api_version())
        }
    };
    let lines: Vec<_> = conflicts.iter().map(|(manager, path)| format!("{}: {}", with(manager), shown(path))).collect();
    let count = if lines.len() == 1 { "1 conflict".to_owned() } else { format!("{} conflicts", lines.len()) };
    let message = format!("Apply failed with {count}: {}", lines.join("\n"));
    conflicts.iter().fold(Refusal::new(409, "Conflict", message), |refusal, (manager, path)| {
        refusal.cause("FieldManagerConflict", with(manager), &shown(path))
    })
}
