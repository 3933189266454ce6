//! `quorate kubeconfig`: the cluster's admin kubeconfig, for kubectl.

use std::io;
use std::path::{Path, PathBuf};

use quorate_proto::Secret;
use quorate_proto::trust::Role;
use serde_json::Value;

use super::{CliError, ClusterArgs, Exit};
use crate::fleet::FleetError;
use crate::site::replace_private;
use crate::spec::Role as NodeRole;
use crate::ui;

/// Prints the admin kubeconfig, or writes it to a file
///
/// It gives every right in the cluster: keep it as you keep root's password.
#[derive(Debug, clap::Args)]
pub(super) struct KubeconfigArgs {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Writes it to a file of its own, readable by its owner alone, instead of printing it
    ///
    /// A file that is there is replaced only if it is an older kubeconfig of this cluster and of
    /// nothing else.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl KubeconfigArgs {
    /// Asks the control planes one after the other until one has it.
    pub(super) async fn run(&self) -> Result<Exit, CliError> {
        let cluster = self.cluster.open()?;
        cluster.needs(Role::Admin)?;
        let mut error = CliError::message(Exit::Failed, "no control plane gave its kubeconfig");
        for node in cluster.loaded.spec.with_role(NodeRole::ControlPlane) {
            match cluster.fleet.kubeconfig(&node.name).await {
                Ok(kubeconfig) => return hand_out(&kubeconfig, self.out.as_deref()),
                Err(refused) => error = error.because(because(&refused)),
            }
        }
        Err(error.hint("`quorate status` shows which nodes answer; `quorate apply` completes them"))
    }
}

fn hand_out(kubeconfig: &Secret, out: Option<&Path>) -> Result<Exit, CliError> {
    let Some(path) = out else {
        ui::print(kubeconfig.expose());
        return Ok(Exit::Holds);
    };
    let failed = |error: io::Error| {
        CliError::message(Exit::Failed, format!("writing {}", path.display()))
            .because(error.to_string())
            .hint("name another file with --out")
    };
    if !may_replace(path, kubeconfig).map_err(failed)? {
        return Err(holds_others(path));
    }
    replace_private(path, kubeconfig.expose()).map_err(failed)?;
    ui::complain(&format!("written; use it with `export KUBECONFIG={}`\n", path.display()));
    Ok(Exit::Holds)
}

/// Whether there is no such file, or one that this kubeconfig makes obsolete.
fn may_replace(path: &Path, new: &Secret) -> io::Result<bool> {
    match path.metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
        // Reading a terminal or a pipe would not end.
        Ok(found) if !found.is_file() => Ok(false),
        Ok(_) => Ok(is_of_same_cluster(&std::fs::read(path)?, new.expose())),
    }
}

/// Whether two kubeconfigs differ in nothing but what changes with time: the server's address and
/// the user's certificate and key.
fn is_of_same_cluster(old: &[u8], new: &str) -> bool {
    let lasting = |text: &str| {
        let mut file: Value = serde_saphyr::from_str(text).ok()?;
        *file.pointer_mut("/clusters/0/cluster/server")? = Value::Null;
        let user = file.pointer_mut("/users/0/user")?.as_object_mut()?;
        for field in ["client-certificate-data", "client-key-data"] {
            *user.get_mut(field)? = Value::Null;
        }
        Some(file)
    };
    let old = std::str::from_utf8(old).ok().and_then(lasting);
    old.is_some() && old == lasting(new)
}

fn holds_others(path: &Path) -> CliError {
    let path = path.display();
    let message = format!("{path} holds more than the kubeconfig of this cluster");
    CliError::message(Exit::Failed, message)
        .hint("nothing was changed; name another file with --out")
        .hint(format!(
            "to have both in one, merge them: `KUBECONFIG={path}:OTHER-FILE kubectl config view \
             --flatten`"
        ))
}

fn because(error: &FleetError) -> String {
    format!("{error}: {}", error.why())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn kubeconfig(server: &str, authority: &str, key: &str) -> Value {
        let cluster = json!({"server": server, "certificate-authority-data": authority});
        let user = json!({"client-certificate-data": key, "client-key-data": key});
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "kubernetes", "cluster": cluster}],
            "users": [{"name": "kubernetes-admin", "user": user}],
            "contexts": [
                {"name": "admin", "context": {"cluster": "kubernetes", "user": "kubernetes-admin"}},
            ],
            "current-context": "admin",
        })
    }

    /// Whether `--out` replaces a file of this content.
    fn replaces(old: &str) -> bool {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        std::fs::write(&path, old).unwrap();
        let new = kubeconfig("https://10.0.0.1:6443", "one", "new").to_string();
        let ended = hand_out(&Secret::new(new.clone()), Some(&path));
        let content = std::fs::read_to_string(&path).unwrap();
        if ended == Ok(Exit::Holds) {
            assert_eq!(content, new);
            return true;
        }
        let error = ended.unwrap_err();
        assert_eq!((error.exit, content.as_str()), (Exit::Failed, old));
        false
    }

    #[test]
    fn older_kubeconfig_of_same_cluster_is_replaced() {
        assert!(replaces(&kubeconfig("https://10.0.0.1:6443", "one", "new").to_string()));
        assert!(replaces(&kubeconfig("https://10.0.0.2:6443", "one", "old").to_string()));
    }

    #[test]
    fn file_with_anything_else_is_refused() {
        let ours = || kubeconfig("https://10.0.0.1:6443", "one", "old");
        let other = kubeconfig("https://10.0.0.1:6443", "two", "old").to_string();
        let with = |list: &str| {
            let mut file = ours();
            let mut second = file[list][0].clone();
            second["name"] = json!("other");
            file[list].as_array_mut().unwrap().push(second);
            file.to_string()
        };
        let mut token = ours();
        token["users"][0]["user"]["token"] = json!("abc");
        let mut namespace = ours();
        namespace["contexts"][0]["context"]["namespace"] = json!("shop");
        for old in [other, with("clusters"), with("users"), with("contexts")] {
            assert!(!replaces(&old), "{old}");
        }
        for old in [&token.to_string(), &namespace.to_string(), "", "{}", "not: [yaml"] {
            assert!(!replaces(old), "{old}");
        }
    }

    #[test]
    fn refusal_names_both_ways_out() {
        assert_eq!(
            holds_others(Path::new("config")).text(),
            "error: config holds more than the kubeconfig of this cluster\n\
             hint: nothing was changed; name another file with --out\n\
             hint: to have both in one, merge them: `KUBECONFIG=config:OTHER-FILE kubectl config \
             view --flatten`\n"
        );
    }
}
