//! The specification: cluster.yaml and what it means.
//!
//! A text becomes a tree of values that know their places (`yaml`, `tree`); the tree is held
//! against the JSON schema (`schema`, `shape`) and becomes a [`file::File`]; the checks, one module
//! a topic, turn that into a [`ClusterSpec`]. Whatever is wrong on the way is reported together.

pub mod class;
mod cluster;
mod companion;
mod endpoint;
mod file;
mod images;
mod kubeadm;
mod network;
mod nodes;
mod packages;
mod plugin;
mod problem;
mod ranges;
mod report;
mod schema;
mod shape;
mod tree;
mod version;
mod yaml;

use std::path::Path;
use std::sync::Arc;

pub use cluster::{
    ClusterSpec, ContainerdSettings, Kubeadm, Network, NodeSpec, PackageSettings, Plugin, Role,
};
use companion::Folder;
pub(crate) use problem::plural;
pub use problem::{Problem, Problems, Severity};
use problem::{Says, Source};
use quorate_proto::Sha256;
use report::Report;

/// A specification that makes sense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    pub spec: ClusterSpec,
    /// Of the file's text, for records.
    pub sha256: Sha256,
    /// What has a price.
    pub warnings: Vec<Problem>,
    /// Paths of fields that the file leaves out, and the values they have therefore.
    pub defaults: Vec<(String, String)>,
}

/// Reads a specification, and the files that it names relative to its own folder.
pub fn load(path: &Path) -> Result<Loaded, Problems> {
    let name = path.display().to_string();
    let folder = path.parent().unwrap_or_else(|| Path::new(""));
    let text = companion::read(path, companion::LARGEST).map_err(|error| {
        let hint = "give the path of a readable cluster.yaml; packaging/cluster.yaml is a sample";
        let says = Says { span: 0..0, message: error.to_string(), hint: hint.to_owned() };
        refused(&source(&name, ""), says)
    })?;
    parse(&text, &name, folder)
}

/// Reads a specification from a text; `folder` is where the files that it names are.
pub fn parse(text: &str, source_name: &str, folder: &Path) -> Result<Loaded, Problems> {
    let source = source(source_name, text);
    let tree = yaml::read(text).map_err(|error| {
        let hint =
            "correct the YAML here or just before; indentation is by spaces alone".to_owned();
        refused(&source, Says { span: error.span, message: error.message, hint })
    })?;
    let mut report = Report::new(Arc::clone(&source), tree.clone());
    let fitted = shape::fit(&tree, text, &schema::whole(), &mut report);
    let file = fitted.and_then(|value| {
        report.parsed("", serde_json::from_value(value), "see docs/SPEC.md for every field")
    });
    let spec = file.and_then(|file| cluster(&file, &Folder(folder.to_owned()), &mut report));
    problem::sort(&mut report.problems, &source);
    match spec {
        Some(spec) if !report.failed() => {
            let sha256 = Sha256::of(text.as_bytes());
            Ok(Loaded { spec, sha256, warnings: report.problems, defaults: report.defaults })
        }
        _ => Err(Problems(report.problems)),
    }
}

/// The JSON schema of a specification, for editors.
pub fn schema() -> String {
    format!("{:#}\n", schema::whole())
}

/// `None` only after a report of why.
fn cluster(file: &file::File, folder: &Folder, report: &mut Report) -> Option<ClusterSpec> {
    let name = version::name(file, report);
    let file = file.spec.as_ref()?;
    let version = version::version(file.kubernetes.as_ref(), report);
    let nodes = file.nodes.as_ref().map(|nodes| nodes::nodes(nodes, report)).unwrap_or_default();
    let serving = endpoint::serving(file, &nodes, report);
    let network = file.network.as_ref().and_then(|network| {
        let endpoint = endpoint::address(file);
        let arguments = &file.kubeadm.extra_args;
        let subnets = network::subnets(network, arguments, &nodes, endpoint, report);
        let pods = subnets.as_ref().map(|subnets| subnets.pod);
        let around = plugin::Around {
            pods,
            endpoint: serving.as_ref().map(|serving| &serving.endpoint),
            folder,
        };
        let plugin = network.plugin.as_ref();
        let plugin = plugin.and_then(|plugin| plugin::plugin(plugin, &around, report));
        Some((subnets?, plugin?))
    });
    let kubeadm = kubeadm::kubeadm(&file.kubeadm, version, report);
    let containerd = kubeadm::containerd(&file.containerd, &kubeadm, version, report);
    let packages = packages::packages(&file.packages, version, folder, report);
    let images = images::archives(&file.images, folder, report);
    let worker_joins = report.or("spec.joins.workers", file.joins.workers, 50);
    if file.etcd.is_none() {
        report.defaults.push(("spec.etcd".to_owned(), "stacked".to_owned()));
    }
    let ((subnets, plugin), serving) = (network?, serving?);
    Some(ClusterSpec {
        name: name?,
        version: version?,
        endpoint: serving.endpoint,
        api_port: serving.api_port,
        network: Network {
            pod_subnet: subnets.pod,
            service_subnet: subnets.service,
            dns_domain: subnets.dns_domain,
            plugin,
        },
        load_balancer: serving.load_balancer,
        nodes: nodes.into_iter().map(|(node, _)| node).collect(),
        kubeadm,
        containerd,
        packages: packages?,
        images,
        worker_joins: usize::from(worker_joins),
    })
}

fn source(name: &str, text: &str) -> Arc<Source> {
    Arc::new(Source { name: name.to_owned(), text: text.to_owned() })
}

fn refused(source: &Arc<Source>, says: Says) -> Problems {
    Problems(vec![Problem::new(source, Severity::Error, "", says)])
}

#[cfg(test)]
mod tests;
