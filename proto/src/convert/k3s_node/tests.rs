use crate::model::k3s::{K3sOrder, K3sSettings, K3sTask};
use crate::v1;
use crate::v1::k3s_order::Task;

use super::check_k3s_access;

const HASH: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn first() -> v1::K3sSettings {
    v1::K3sSettings {
        role: v1::K3sRole::Server.into(),
        node_name: "master".into(),
        token: "hunter22".into(),
        agent_token: "hunter33".into(),
        labels: vec!["disk=ssd".into()],
        taints: vec!["slow:NoSchedule".into()],
        node_ips: vec!["10.0.0.1".into(), "fd00::1".into()],
        flannel_iface: "zt0".into(),
        tls_sans: vec!["rack.lan".into()],
        disable: vec!["traefik".into()],
        ..v1::K3sSettings::default()
    }
}

fn agent() -> v1::K3sSettings {
    v1::K3sSettings {
        role: v1::K3sRole::Agent.into(),
        node_name: "pi-1".into(),
        server_url: "https://10.0.0.1:6443".into(),
        token: format!("K10{HASH}::node:hunter33"),
        ..v1::K3sSettings::default()
    }
}

fn artifact(kind: &str, arch: &str, version: &str) -> v1::Artifact {
    v1::Artifact {
        version: version.into(),
        arch: arch.into(),
        kind: kind.into(),
        bytes: 1,
        sha256: vec![7; 32],
        added_unix_ms: 0,
        source: String::new(),
    }
}

#[test]
fn what_is_wrong_is_named() {
    type Change = fn(&mut v1::K3sSettings);
    let of_first: &[(&str, Change)] = &[
        ("role", |it| it.role = 0),
        ("role", |it| it.role = 99),
        ("node_name", |it| it.node_name = "A".into()),
        ("token", |it| it.token.clear()),
        ("token", |it| it.token = format!("K10{HASH}::server:x")),
        ("agent_token", |it| it.agent_token = "a:b".into()),
        ("agent_token", |it| it.agent_token = "a b".into()),
        ("labels", |it| it.labels.push("disk=hdd".into())),
        ("labels", |it| it.labels = (0..65).map(|number| format!("a{number}=")).collect()),
        ("taints", |it| it.taints.push("slow".into())),
        ("node_ips", |it| it.node_ips.push("10.0.0.2".into())),
        ("node_ips", |it| it.node_ips = vec!["127.0.0.1".into()]),
        ("node_ips", |it| it.node_ips = vec!["10.0.0".into()]),
        ("flannel_iface", |it| it.flannel_iface = "a/b".into()),
        ("tls_sans", |it| it.tls_sans.push("a b".into())),
        ("disable", |it| it.disable.push("--help".into())),
        ("server_url", |it| it.server_url = "rack".into()),
        // A further server.
        ("token", |it| it.server_url = "https://rack:6443".into()),
        ("embedded_etcd", |it| {
            it.server_url = "https://rack:6443".into();
            it.token = format!("K10{HASH}::server:x");
        }),
        ("token", |it| {
            it.server_url = "https://rack:6443".into();
            it.token = format!("K10{HASH}::node:x");
            it.embedded_etcd = true;
        }),
    ];
    let of_agent: &[(&str, Change)] = &[
        ("server_url", |it| it.server_url.clear()),
        ("token", |it| it.token = format!("K10{HASH}::server:x")),
        ("token", |it| it.token = "short".into()),
        ("agent_token", |it| it.agent_token = "x".into()),
        ("embedded_etcd", |it| it.embedded_etcd = true),
        ("tls_sans", |it| it.tls_sans.push("rack".into())),
        ("disable", |it| it.disable.push("traefik".into())),
    ];
    for (base, changes) in [(first(), of_first), (agent(), of_agent)] {
        let settings = K3sSettings::try_from(base.clone()).unwrap();
        assert_eq!(v1::K3sSettings::from(settings), base);
        for (number, (field, change)) in changes.iter().enumerate() {
            let mut wire = base.clone();
            change(&mut wire);
            let refused = K3sSettings::try_from(wire).unwrap_err();
            assert_eq!(refused.field, *field, "change {number}: {refused}");
            assert!(!refused.reason.contains("hunter"), "{refused}");
        }
    }
}

#[test]
fn orders_need_what_they_need() {
    let version = "v1.31.4+k3s1";
    let order = |artifacts: Vec<v1::Artifact>, task: Task| v1::K3sOrder {
        id: "order-1".into(),
        requested_by: "user anna".into(),
        artifacts,
        task: Some(task),
    };
    let install = |settings: v1::K3sSettings| {
        Task::Install(v1::K3sInstall { settings: Some(settings), version: version.into(), fix: true })
    };
    let program = artifact("k3s", "arm64", version);
    let images = artifact("images.tar.zst", "arm64", version);
    for good in [
        order(vec![program.clone()], install(first())),
        order(vec![images.clone(), program.clone()], install(agent())),
        order(vec![], Task::Check(v1::K3sCheck { settings: Some(agent()), fix: false })),
        order(vec![], Task::Remove(v1::K3sRemove {})),
        order(vec![], Task::Snapshot(v1::K3sSnapshot { name: "daily".into(), keep: 1 })),
        order(vec![], Task::NewToken(v1::K3sNewToken { old: "hunter22".into(), new: "hunter44".into() })),
    ] {
        let taken = K3sOrder::try_from(good.clone()).unwrap();
        assert_eq!(v1::K3sOrder::from(taken), good);
        assert!(!format!("{good:?}").contains("hunter"), "{good:?}");
    }
    for (field, bad) in [
        ("order.artifacts", order(vec![], install(first()))),
        ("order.artifacts", order(vec![images.clone()], install(first()))),
        ("order.artifacts", order(vec![program.clone(), program.clone()], install(first()))),
        ("order.artifacts", order(vec![program.clone(), images.clone(), images], install(first()))),
        ("order.artifacts", order(vec![program.clone(), artifact("images.tar", "amd64", version)], install(first()))),
        ("order.artifacts", order(vec![artifact("k3s", "arm64", "v1.31.5+k3s1")], install(first()))),
        ("order.artifacts", order(vec![program], Task::Remove(v1::K3sRemove {}))),
        ("settings", order(vec![], Task::Check(v1::K3sCheck::default()))),
        ("snapshot.keep", order(vec![], Task::Snapshot(v1::K3sSnapshot { name: "a".into(), keep: 0 }))),
        ("snapshot.name", order(vec![], Task::Snapshot(v1::K3sSnapshot { name: "../a".into(), keep: 1 }))),
        ("new_token.old", order(vec![], Task::NewToken(v1::K3sNewToken { old: String::new(), new: "a".into() }))),
        ("order.id", v1::K3sOrder { id: "-x".into(), ..order(vec![], Task::Remove(v1::K3sRemove {})) }),
        ("order.task", v1::K3sOrder { task: None, ..order(vec![], Task::Remove(v1::K3sRemove {})) }),
    ] {
        assert_eq!(K3sOrder::try_from(bad).map(|order| order.task == K3sTask::Remove).unwrap_err().field, field);
    }
}

#[test]
fn access_is_bounded_and_plain() {
    let access = v1::K3sAccess { authority_pem: "-----BEGIN\n".into(), token: "hunter22".into() };
    assert_eq!(check_k3s_access(&access), Ok(()));
    assert!(!format!("{access:?}").contains("hunter"));
    for (field, bad) in [
        ("access.authority_pem", v1::K3sAccess { authority_pem: String::new(), ..access.clone() }),
        ("access.authority_pem", v1::K3sAccess { authority_pem: "x".repeat(16 * 1024 + 1), ..access.clone() }),
        ("access.token", v1::K3sAccess { token: "hunter\u{7}".into(), ..access }),
    ] {
        let refused = check_k3s_access(&bad).unwrap_err();
        assert_eq!(refused.field, field);
        assert!(!refused.reason.contains("hunter"), "{refused}");
    }
}
