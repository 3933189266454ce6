//! The pod network's manifest is applied, and its workloads are in the cluster.
//!
//! The cluster itself remembers which manifest was applied, by its digest: every control plane can
//! tell, and a file on some node proves nothing.

use std::collections::BTreeSet;

use async_trait::async_trait;
use quorate_proto::goal::Manifest;
use quorate_proto::{ActivityKind, Drift, Finding};
use serde_json::{Value, json};

use super::kubectl;
use super::read::{self, Reply};
use crate::goal::{Ensure, Work};
use crate::host::{ApiServer, Host, HostError};

/// Remembers the manifest: its name, digest, and the namespaces of its workloads.
pub(super) const RECORD: &str = "/api/v1/namespaces/kube-system/configmaps/quorate-network";

pub(super) struct Network<'a>(pub &'a Manifest);

#[async_trait]
impl Ensure for Network<'_> {
    async fn check(&self, host: &dyn Host) -> Result<Finding, HostError> {
        let what = format!("the manifest of {}", self.0.name);
        let wanted = self.0.sha256.as_str();
        let record = match read::get(host, ApiServer::Own, RECORD).await? {
            Reply::Found(record) => record,
            Reply::Absent => {
                return Ok(Finding::Drifted(vec![Drift::new(what, "not applied", short(wanted))]));
            }
            Reply::NoRights => return Ok(Finding::Drifted(vec![read::no_rights()])),
        };
        let found = read::text(&record, "/data/sha256");
        if found != wanted {
            return Ok(Finding::Drifted(vec![
                Drift::new(what, short(found), short(wanted)).in_use(),
            ]));
        }
        let mut drifts = Vec::new();
        for workload in workloads(&self.0.yaml) {
            if !matches!(read::get(host, ApiServer::Own, &workload.path()).await?, Reply::Found(_))
            {
                drifts.push(Drift::new(workload.label(), "missing", "there"));
            }
        }
        if drifts.is_empty() && !self.older(host).await?.is_empty() {
            let what = format!("pods of {}", self.0.name);
            drifts.push(Drift::new(what, "run by an older configuration", "restarted").in_use());
        }
        Ok(Finding::from_drifts(drifts))
    }

    async fn apply(&self, host: &dyn Host, work: &Work<'_>) -> Result<(), HostError> {
        let name = &self.0.name;
        work.progress.doing(ActivityKind::Own, format!("kubectl apply of {name}"));
        kubectl::apply(host, work, "manifest.yaml", self.0.yaml.clone()).await?;
        self.restart_older(host, work).await?;
        let namespaces: BTreeSet<String> =
            workloads(&self.0.yaml).into_iter().map(|workload| workload.namespace).collect();
        let namespaces: Vec<String> = namespaces.into_iter().collect();
        let record = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "quorate-network", "namespace": "kube-system"},
            "data": {
                "name": name, "sha256": self.0.sha256.as_str(), "namespaces": namespaces.join(","),
            },
        });
        // Last, so that it never claims what was not applied.
        kubectl::apply(host, work, "record.yaml", record.to_string()).await
    }
}

/// As much of a digest as tells two manifests apart; a whole one would be hidden like a key.
fn short(sha256: &str) -> String {
    format!("sha256 {}", sha256.get(..12).unwrap_or(sha256))
}

impl Network<'_> {
    /// Workloads whose pods may run by older ConfigMaps of the manifest.
    async fn older(&self, host: &dyn Host) -> Result<Vec<Workload>, HostError> {
        let mut older = Vec::new();
        for map in config_maps(&self.0.yaml) {
            let namespace = map.namespace.clone();
            let path = format!("/api/v1/namespaces/{namespace}/configmaps/{}", map.name);
            let Reply::Found(object) = read::get(host, ApiServer::Own, &path).await? else {
                continue;
            };
            if read::runs_older_config(host, ApiServer::Own, &object, &namespace, "").await? {
                older.extend(
                    workloads(&self.0.yaml).into_iter().filter(|it| it.namespace == namespace),
                );
            }
        }
        Ok(older)
    }

    async fn restart_older(&self, host: &dyn Host, work: &Work<'_>) -> Result<(), HostError> {
        for workload in self.older(host).await? {
            let name = format!("{}/{}", workload.kind, workload.name);
            kubectl::restart(host, work, &workload.namespace, &name).await?;
        }
        Ok(())
    }
}

/// A set of pods of the manifest.
#[derive(Debug, PartialEq, Eq)]
struct Workload {
    kind: &'static str,
    namespace: String,
    name: String,
}

impl Workload {
    fn path(&self) -> String {
        format!("/apis/apps/v1/namespaces/{}/{}/{}", self.namespace, self.kind, self.name)
    }

    fn label(&self) -> String {
        format!("{}/{} in {}", self.kind, self.name, self.namespace)
    }
}

fn workloads(yaml: &str) -> Vec<Workload> {
    objects(yaml, |kind| match kind {
        "DaemonSet" => Some("daemonsets"),
        "Deployment" => Some("deployments"),
        _ => None,
    })
}

fn config_maps(yaml: &str) -> Vec<Workload> {
    objects(yaml, |kind| (kind == "ConfigMap").then_some("configmaps"))
}

/// The objects of a manifest whose kind is wanted, with the kind's name in the API.
fn objects(yaml: &str, wanted: impl Fn(&str) -> Option<&'static str>) -> Vec<Workload> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(yaml).unwrap_or_default();
    let objects = documents.iter().filter_map(|document| {
        let kind = wanted(read::text(document, "/kind"))?;
        let namespace = Some(read::text(document, "/metadata/namespace"));
        let namespace = namespace.filter(|namespace| !namespace.is_empty()).unwrap_or("default");
        let name = read::text(document, "/metadata/name").to_owned();
        Some(Workload { kind, namespace: namespace.to_owned(), name })
    });
    objects.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workloads_of_a_manifest_are_found() {
        let yaml = "kind: Namespace\nmetadata: {name: kube-flannel}\n---\nkind: DaemonSet\n\
                    metadata: {name: kube-flannel-ds, namespace: kube-flannel}\n";
        let found: Vec<String> = workloads(yaml).iter().map(Workload::path).collect();
        assert_eq!(found, ["/apis/apps/v1/namespaces/kube-flannel/daemonsets/kube-flannel-ds"]);
    }
}
