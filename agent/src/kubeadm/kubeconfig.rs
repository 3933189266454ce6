//! Kubeconfig files, as far as quorate reads them: where the cluster is, and who the user is.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use quorate_proto::Secret;
use serde::Deserialize;

/// A file is not a kubeconfig that names a cluster and a user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KubeconfigError {
    #[error("it is not YAML of a kubeconfig: {0}")]
    Yaml(String),
    #[error("its current context does not name a cluster and a user of the file")]
    Context,
    #[error("{0} is not base64 of a PEM text")]
    Pem(&'static str),
}

/// What the current context of a kubeconfig means.
#[derive(Debug)]
pub struct Kubeconfig {
    /// Such as `https://10.0.0.1:6443`.
    pub server: String,
    pub ca_pem: String,
    pub user: User,
}

/// How the user proves who it is.
#[derive(Debug)]
pub enum User {
    Embedded {
        certificate_pem: String,
        key_pem: Secret,
    },
    /// The certificate is in this file.
    File(String),
    /// A token, or nothing.
    Other,
}

impl Kubeconfig {
    /// Reads the current context of a kubeconfig.
    pub fn parse(content: &[u8]) -> Result<Self, KubeconfigError> {
        let yaml = |error: String| KubeconfigError::Yaml(error);
        let text = std::str::from_utf8(content).map_err(|error| yaml(error.to_string()))?;
        let file: File = serde_saphyr::from_str(text).map_err(|error| {
            // Its rendering would quote the file, keys among it.
            yaml(error.to_string().lines().next().unwrap_or_default().to_owned())
        })?;
        let current = file.contexts.iter().find(|context| context.name == file.current_context);
        let context = &current.ok_or(KubeconfigError::Context)?.context;
        let cluster = file.clusters.iter().find(|cluster| cluster.name == context.cluster);
        let user = file.users.iter().find(|user| user.name == context.user);
        let (cluster, user) = cluster.zip(user).ok_or(KubeconfigError::Context)?;
        let (cluster, user) = (&cluster.cluster, &user.user);
        Ok(Self {
            server: cluster.server.clone(),
            ca_pem: pem("certificate-authority-data", &cluster.certificate_authority_data)?,
            user: match (
                &user.client_certificate_data,
                &user.client_key_data,
                &user.client_certificate,
            ) {
                (Some(certificate), Some(key), _) => User::Embedded {
                    certificate_pem: pem("client-certificate-data", certificate)?,
                    key_pem: Secret::new(pem("client-key-data", key.expose())?),
                },
                (_, _, Some(file)) => User::File(file.clone()),
                _ => User::Other,
            },
        })
    }

    /// The PEM text of a `certificate-authority-data`.
    pub fn authority(base64: &str) -> Option<String> {
        pem("certificate-authority-data", base64).ok()
    }
}

fn pem(what: &'static str, base64: &str) -> Result<String, KubeconfigError> {
    let bytes = STANDARD.decode(base64).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    bytes.ok_or(KubeconfigError::Pem(what))
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct File {
    clusters: Vec<NamedCluster>,
    #[serde(default)]
    users: Vec<NamedUser>,
    contexts: Vec<NamedContext>,
    current_context: String,
}

#[derive(Deserialize)]
struct NamedCluster {
    name: String,
    cluster: ClusterEntry,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct ClusterEntry {
    server: String,
    #[serde(default)]
    certificate_authority_data: String,
}

#[derive(Deserialize)]
struct NamedUser {
    name: String,
    user: UserEntry,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct UserEntry {
    client_certificate_data: Option<String>,
    client_key_data: Option<Secret>,
    client_certificate: Option<String>,
}

#[derive(Deserialize)]
struct NamedContext {
    name: String,
    context: ContextEntry,
}

#[derive(Deserialize)]
struct ContextEntry {
    cluster: String,
    user: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "
apiVersion: v1
kind: Config
clusters:
- {name: kubernetes, cluster: {server: 'https://10.0.0.1:6443', certificate-authority-data: Q0E=}}
contexts:
- {name: a@kubernetes, context: {cluster: kubernetes, user: a}}
current-context: a@kubernetes
users:
";

    #[test]
    fn the_current_context_says_where_and_who() {
        let users = "- {name: a, user: {client-certificate-data: WA==, client-key-data: WQ==}}\n";
        let config = Kubeconfig::parse(format!("{FILE}{users}").as_bytes()).unwrap();
        assert_eq!(
            (config.server.as_str(), config.ca_pem.as_str()),
            ("https://10.0.0.1:6443", "CA")
        );
        let User::Embedded { certificate_pem, key_pem } = config.user else { panic!("embedded") };
        assert_eq!((certificate_pem.as_str(), key_pem.expose()), ("X", "Y"));

        let users = "- {name: a, user: {client-certificate: /x.pem, client-key: /x.pem}}\n";
        let config = Kubeconfig::parse(format!("{FILE}{users}").as_bytes()).unwrap();
        assert!(matches!(config.user, User::File(path) if path == "/x.pem"));
    }

    #[test]
    fn a_file_that_is_none_is_told_without_its_content() {
        let strange = Kubeconfig::parse(format!("{FILE}- {{name: b, user: {{}}}}\n").as_bytes());
        assert_eq!(strange.unwrap_err(), KubeconfigError::Context);
        assert!(matches!(Kubeconfig::parse(b"client-key-data: [c2VjcmV0"),
            Err(KubeconfigError::Yaml(text)) if !text.contains("c2VjcmV0")));
    }
}
