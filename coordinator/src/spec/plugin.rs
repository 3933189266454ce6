//! The network plugin: flannel by our own manifest, or a manifest of the user's.

use std::collections::BTreeSet;
use std::path::Path;

use ipnet::IpNet;
use quorate_proto::Sha256;
use quorate_proto::goal::{Endpoint, Manifest};
use serde_json::{Value, json};

use super::cluster::Plugin;
use super::companion::{Folder, LARGEST_MANIFEST};
use super::file::{self, FlannelBackend, PluginName, PluginSettings};
use super::report::Report;
use super::version::is_label;
use super::{images, yaml};

const PATH: &str = "spec.network.plugin";
const FLANNEL: &str = include_str!("../../../packaging/flannel.yaml");
/// As they stand in [`FLANNEL`].
const FLANNEL_IMAGE: &str = "ghcr.io/flannel-io/flannel:v0.28.4";
const FLANNEL_CNI_IMAGE: &str = "ghcr.io/flannel-io/flannel-cni-plugin:v1.8.0-flannel1";

/// What a plugin's manifest is made of beside its own settings; `None` is what could not be read.
pub(super) struct Around<'a> {
    pub(super) pods: Option<IpNet>,
    pub(super) endpoint: Option<&'a Endpoint>,
    pub(super) folder: &'a Folder,
}

/// Reads the plugin's settings and makes its manifest.
pub(super) fn plugin(
    file: &file::Plugin,
    around: &Around<'_>,
    report: &mut Report,
) -> Option<Plugin> {
    match file {
        file::Plugin::Named(PluginName::None) => Some(Plugin::None),
        file::Plugin::Named(PluginName::Flannel) => {
            flannel(&file::Flannel::default(), around, report)
        }
        file::Plugin::Set(PluginSettings::Flannel(settings)) => flannel(settings, around, report),
        file::Plugin::Set(PluginSettings::Manifest(manifest)) => {
            own(manifest, around.folder, report)
        }
    }
}

fn flannel(file: &file::Flannel, around: &Around<'_>, report: &mut Report) -> Option<Plugin> {
    let path = |field: &str| format!("{PATH}.flannel.{field}");
    let image = report.or(&path("image"), file.image.clone(), FLANNEL_IMAGE.to_owned());
    let cni_path = path("cniPluginImage");
    let cni = report.or(&cni_path, file.cni_plugin_image.clone(), FLANNEL_CNI_IMAGE.to_owned());
    images::image(&path("image"), &image, report);
    images::image(&cni_path, &cni, report);
    let backend = backend(file, report);
    let (pods, endpoint) = (around.pods?, around.endpoint?);
    if pods.addr().is_ipv6() {
        let hint = "bring a manifest of your own: plugin: {manifest: {file: PATH, images: [..]}}";
        report.error(PATH, "quorate's flannel connects IPv4 pods alone", hint);
        return None;
    }
    let network = json!({"Network": pods, "EnableNFTables": false, "Backend": backend});
    let documents = report.parsed(PATH, yaml::documents(FLANNEL), "this is a bug of quorate")?;
    let documents: Vec<_> = documents
        .into_iter()
        .map(|document| with_network(with_images(document, &image, &cni), &network))
        .map(|document| with_endpoint(document, endpoint))
        .collect();
    let yaml = report.parsed(PATH, yaml::write(&documents), "this is a bug of quorate")?;
    let manifest =
        Manifest { name: "flannel".to_owned(), sha256: Sha256::of(yaml.as_bytes()), yaml };
    Some(Plugin::Manifest { manifest, images: BTreeSet::from([image, cni]) })
}

fn backend(file: &file::Flannel, report: &mut Report) -> Value {
    const PORT: &str = "spec.network.plugin.flannel.port";
    if file.backend.is_none() {
        report.defaults.push((format!("{PATH}.flannel.backend"), "vxlan".to_owned()));
    }
    match file.backend.unwrap_or(FlannelBackend::Vxlan) {
        FlannelBackend::Vxlan => {
            json!({"Type": "vxlan", "Port": report.or(PORT, file.port, 8472)})
        }
        FlannelBackend::HostGw => {
            if file.port.is_some() {
                report.error(PORT, "host-gw uses no port", "leave port out, or use vxlan");
            }
            json!({"Type": "host-gw"})
        }
    }
}

/// flannel reads its network from its ConfigMap.
fn with_network(mut document: Value, network: &Value) -> Value {
    if let Some(text) = document.pointer_mut("/data/net-conf.json") {
        *text = Value::String(network.to_string());
    }
    document
}

fn with_images(mut document: Value, image: &str, cni: &str) -> Value {
    for list in ["initContainers", "containers"] {
        let pointer = format!("/spec/template/spec/{list}");
        let containers = document.pointer_mut(&pointer).and_then(Value::as_array_mut);
        for used in containers.into_iter().flatten().filter_map(|c| c.get_mut("image")) {
            let new = if *used == FLANNEL_CNI_IMAGE { cni } else { image };
            *used = Value::String(new.to_owned());
        }
    }
    document
}

/// flannel asks the API through the endpoint: kube-proxy need not lead the service's address there
/// first, and while it does not, flannel gives up and starts anew.
fn with_endpoint(mut document: Value, endpoint: &Endpoint) -> Value {
    let variables = document.pointer_mut("/spec/template/spec/containers/0/env");
    for variable in variables.and_then(Value::as_array_mut).into_iter().flatten() {
        let value = match variable.get("name").and_then(Value::as_str) {
            Some("KUBERNETES_SERVICE_HOST") => endpoint.host.clone(),
            Some("KUBERNETES_SERVICE_PORT") => endpoint.port.to_string(),
            Some(_) | None => continue,
        };
        if let Some(place) = variable.get_mut("value") {
            *place = Value::String(value);
        }
    }
    document
}

fn own(file: &file::ManifestFile, folder: &Folder, report: &mut Report) -> Option<Plugin> {
    let path = format!("{PATH}.manifest.file");
    for (index, name) in file.images.iter().enumerate() {
        images::image(&format!("{PATH}.manifest.images[{index}]"), name, report);
    }
    let name = file.file.as_deref()?;
    let hint = "give the path of the plugin's manifest, relative to this file";
    let yaml = report.parsed(&path, folder.read(name, LARGEST_MANIFEST), hint)?;
    let hint = "give a YAML file of Kubernetes objects, as `kubectl apply -f` takes it";
    let documents = report.parsed(&path, yaml::documents(&yaml), hint)?;
    let object = |value: &Value| ["apiVersion", "kind"].iter().all(|f| value.get(f).is_some());
    if documents.is_empty() || !documents.iter().all(object) {
        let message = format!("{name} holds something that is no Kubernetes object");
        report.error(&path, message, hint);
        return None;
    }
    let stem = Path::new(name).file_stem().and_then(|stem| stem.to_str());
    let name = stem.filter(|stem| is_label(stem)).unwrap_or("network").to_owned();
    let manifest = Manifest { name, sha256: Sha256::of(yaml.as_bytes()), yaml };
    Some(Plugin::Manifest { manifest, images: file.images.iter().cloned().collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_flannel_has_the_images_that_we_name() {
        for image in [FLANNEL_IMAGE, FLANNEL_CNI_IMAGE] {
            assert!(FLANNEL.contains(&format!("image: {image}\n")), "{image}");
        }
    }

    #[test]
    fn our_flannel_asks_the_api_through_the_endpoint() {
        let endpoint = Endpoint { host: "api.example.org".to_owned(), port: 8443 };
        let documents = yaml::documents(FLANNEL).unwrap();
        let documents: Vec<_> =
            documents.into_iter().map(|document| with_endpoint(document, &endpoint)).collect();
        let yaml = yaml::write(&documents).unwrap();
        assert!(yaml.contains("api.example.org") && yaml.contains("8443"), "{yaml}");
    }
}
