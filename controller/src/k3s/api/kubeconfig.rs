//! From a kubeconfig to the servers of one cluster.

use std::path::Path;

use kube::Config;
use kube::config::{AuthInfo, Kubeconfig};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// Most servers of a cluster that are tried.
const MOST_SERVERS: usize = 9;

/// How a server is reached, the best one first: that of the current context, then those of contexts with the same user
/// and the same authority, which are other servers of the same cluster. A context with another of them is another
/// cluster, and is never spoken with.
pub(super) fn servers(text: &str, folder: &Path) -> Result<Vec<Config>, String> {
    let file = Kubeconfig::from_yaml(text).map_err(|error| error.to_string())?;
    let current = file.current_context.as_deref().filter(|name| !name.is_empty()).ok_or("it has no current-context")?;
    let context = |name: &str| {
        let found = file.contexts.iter().find(|context| context.name == name)?;
        found.context.clone()
    };
    let first = context(current).ok_or_else(|| format!("there is no context {current:?}"))?;
    let user = first.user.clone().unwrap_or_default();
    let found = file.auth_infos.iter().find(|info| info.name == user).and_then(|info| info.auth_info.clone());
    let auth = check_user(found.ok_or_else(|| format!("there is no user {user:?}"))?, folder)?;
    let cluster = |name: &str| {
        let found = file.clusters.iter().find(|cluster| cluster.name == name)?;
        found.cluster.clone()
    };
    let main = cluster(&first.cluster).ok_or_else(|| format!("there is no cluster {:?}", first.cluster))?;
    let same = |other: &kube::config::Cluster| {
        (&other.certificate_authority, &other.certificate_authority_data)
            == (&main.certificate_authority, &main.certificate_authority_data)
    };
    let has_authority = main.certificate_authority.is_some() || main.certificate_authority_data.is_some();
    let mut all = vec![main.clone()];
    for other in file.contexts.iter().filter(|other| other.name != current).filter_map(|other| other.context.as_ref()) {
        if other.user.as_deref() == Some(&user)
            && has_authority
            && let Some(other) = cluster(&other.cluster)
            && same(&other)
            && all.iter().all(|known| known.server != other.server)
        {
            all.push(other);
        }
    }
    all.truncate(MOST_SERVERS);
    all.into_iter().map(|cluster| config(&cluster, &auth, folder)).collect()
}

/// Refuses what would run a program or is not spoken any more, and finds files beside the kubeconfig.
fn check_user(mut auth: AuthInfo, folder: &Path) -> Result<AuthInfo, String> {
    let refused = [
        ("exec", auth.exec.is_some()),
        ("auth-provider", auth.auth_provider.is_some()),
        ("username", auth.username.is_some()),
    ];
    if let Some((key, _)) = refused.into_iter().find(|(_, there)| *there) {
        return Err(format!("its user has {key}, which is not supported: a token or a client certificate is needed"));
    }
    for path in [&mut auth.token_file, &mut auth.client_certificate, &mut auth.client_key].into_iter().flatten() {
        *path = folder.join(&*path).display().to_string();
    }
    Ok(auth)
}

fn config(cluster: &kube::config::Cluster, auth: &AuthInfo, folder: &Path) -> Result<Config, String> {
    let server = cluster.server.as_deref().ok_or("a cluster has no server")?;
    let url: http::Uri = server.parse().map_err(|_| format!("{server:?} is not https://HOST:PORT"))?;
    if url.scheme_str() != Some("https") || url.host().is_none() {
        return Err(format!("{server:?} is not https://HOST:PORT"));
    }
    if cluster.insecure_skip_tls_verify == Some(true) {
        return Err("insecure-skip-tls-verify is not supported: give the authority's certificate".to_owned());
    }
    if cluster.proxy_url.is_some() {
        return Err("proxy-url is not supported".to_owned());
    }
    let mut config = Config::new(url);
    let pem = match (&cluster.certificate_authority_data, &cluster.certificate_authority) {
        (Some(data), _) => {
            let joined: String = data.split_whitespace().collect();
            let decoded = data_encoding::BASE64.decode(joined.as_bytes());
            Some(decoded.map_err(|_| "certificate-authority-data is not base64".to_owned())?)
        }
        (None, Some(path)) => {
            let path = folder.join(path);
            Some(std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?)
        }
        (None, None) => None,
    };
    if let Some(pem) = pem {
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        let certificates = certificates.map_err(|error| format!("the authority's certificate: {error}"))?;
        if certificates.is_empty() {
            return Err("the authority's certificate is not in PEM".to_owned());
        }
        config.root_cert = Some(certificates.into_iter().map(|certificate| certificate.to_vec()).collect());
    }
    config.tls_server_name.clone_from(&cluster.tls_server_name);
    config.auth_info = auth.clone();
    Ok(config)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rackhaven_pki::Authority;

    use super::servers;

    fn file(authority: &str, clusters: &[(&str, &str)], user: &str) -> String {
        let mut text = "current-context: b\nclusters:\n".to_owned();
        for (name, rest) in clusters {
            text += &format!("- {{ name: {name}, cluster: {{ {rest} }} }}\n").replace("CA", authority);
        }
        text += "contexts:\n";
        for (name, _) in clusters {
            let user = if *name == "stranger" { "other" } else { "me" };
            text += &format!("- {{ name: {name}, context: {{ cluster: {name}, user: {user} }} }}\n");
        }
        format!("{text}users:\n- {{ name: me, user: {{ {user} }} }}\n- {{ name: other, user: {{ token: y }} }}\n")
    }

    #[test]
    fn kubeconfigs_golden() {
        let (authority, _) = Authority::generate(&"rh-abc".parse().unwrap(), 1_767_225_600).unwrap();
        let data = data_encoding::BASE64.encode(authority.certificate_pem().as_bytes());
        let read = |clusters: &[(&str, &str)], user: &str| -> Result<Vec<String>, String> {
            let servers = servers(&file(&data, clusters, user), Path::new("/etc/x"))?;
            Ok(servers.iter().map(|server| server.cluster_url.to_string()).collect())
        };
        let (a, b) = (
            ("a", "server: 'https://10.0.0.1:6443', certificate-authority-data: CA"),
            ("b", "server: 'https://10.0.0.2:6443', certificate-authority-data: CA"),
        );
        let stranger = ("stranger", "server: 'https://10.0.0.3:6443', certificate-authority-data: CA");
        let elsewhere = ("c", "server: 'https://10.0.0.4:6443'");
        assert_eq!(
            read(&[a, b, stranger, elsewhere], "token: x").unwrap(),
            ["https://10.0.0.2:6443/", "https://10.0.0.1:6443/"]
        );
        for (cluster, user, reason) in [
            (b.1, "exec: { command: /bin/sh }", "its user has exec, which is not supported"),
            (b.1, "username: x, password: y", "its user has username"),
            ("server: 'http://10.0.0.2:8080'", "token: x", "\"http://10.0.0.2:8080\" is not https://HOST:PORT"),
            ("server: 'https://x', insecure-skip-tls-verify: true", "token: x", "insecure-skip-tls-verify is not"),
            (
                "server: 'https://x', certificate-authority-data: '!'",
                "token: x",
                "certificate-authority-data is not base64",
            ),
            ("server: 'https://x', certificate-authority: ca.pem", "token: x", "/etc/x/ca.pem: No such file"),
            ("{}", "token: x", ""),
        ] {
            let error = read(&[("b", cluster)], user).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
        assert!(servers("{}", Path::new("/")).unwrap_err().contains("current-context"));
        assert!(servers("current-context: [", Path::new("/")).is_err());
    }
}
