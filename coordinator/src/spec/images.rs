//! Checks of the image archives, in the specification or in a file beside it.

use std::sync::Arc;

use quorate_proto::Sha256;
use quorate_proto::goal::Archive;
use serde_json::json;

use super::companion::{Folder, LARGEST};
use super::problem::{Problem, Says, Severity, Source};
use super::report::Report;
use super::{file, packages, schema, shape, yaml};

const FILE: &str = "spec.images.archivesFile";

/// The archives, of the specification first.
pub(super) fn archives(file: &file::Images, folder: &Folder, report: &mut Report) -> Vec<Archive> {
    let mut all = checked("spec.images.archives", &file.archives, report);
    if let Some(path) = &file.archives_file {
        let hint =
            "give the path of a YAML or JSON list of {url, sha256, names}, relative to this file";
        if let Some(text) = report.parsed(FILE, folder.read(path, LARGEST), hint) {
            all.extend(listed(path, text, report));
        }
    }
    if file.archives.is_empty() && file.archives_file.is_none() {
        let value = "none, images are pulled from their registries".to_owned();
        report.defaults.push(("spec.images.archives".to_owned(), value));
    }
    all
}

/// The archives of a file beside the specification, whose problems are shown there.
fn listed(name: &str, text: String, report: &mut Report) -> Vec<Archive> {
    let source = Arc::new(Source { name: name.to_owned(), text });
    let hint = "write a list of {url, sha256, names}";
    let tree = match yaml::read(&source.text) {
        Ok(tree) => tree,
        Err(error) => {
            let says = Says { span: error.span, message: error.message, hint: hint.to_owned() };
            report.problems.push(Problem::new(&source, Severity::Error, FILE, says));
            return Vec::new();
        }
    };
    let mut inner = Report::new(Arc::clone(&source), tree.clone());
    let shape = json!({"type": "array", "items": schema::archive()});
    let fitted = shape::fit(&tree, &source.text, &shape, &mut inner);
    let archives: Vec<file::Archive> = fitted
        .and_then(|value| inner.parsed("", serde_json::from_value(value), hint))
        .unwrap_or_default();
    let archives = checked("", &archives, &mut inner);
    report.problems.append(&mut inner.problems);
    archives
}

fn checked(path: &str, archives: &[file::Archive], report: &mut Report) -> Vec<Archive> {
    let mut good = Vec::new();
    for (index, archive) in archives.iter().enumerate() {
        let path = format!("{path}[{index}]");
        if let Some(url) = &archive.url {
            packages::url(&format!("{path}.url"), url, &["http", "https", "file"], report);
        }
        for (place, name) in archive.names.iter().enumerate() {
            image(&format!("{path}.names[{place}]"), name, report);
        }
        let hint = "write what sha256sum prints for the archive";
        let digest = archive.sha256.clone().map(Sha256::try_from);
        let digest = digest.and_then(|d| report.parsed(&format!("{path}.sha256"), d, hint));
        if let (Some(url), Some(sha256)) = (archive.url.clone(), digest) {
            good.push(Archive { url, sha256, names: archive.names.iter().cloned().collect() });
        }
    }
    good
}

/// Reports an image without registry or tag: containerd would look for another.
pub(super) fn image(path: &str, name: &str, report: &mut Report) {
    let (registry, rest) = name.split_once('/').unwrap_or_default();
    let tagged = rest.rsplit('/').next().is_some_and(|last| last.contains([':', '@']));
    let full = registry.contains(['.', ':']) || registry == "localhost";
    let blank = name.contains(|c: char| c.is_whitespace() || c.is_control());
    if !full || !tagged || blank {
        let message = format!("{name:?} is not the full name of an image");
        report.error(path, message, "write registry, path and tag: registry.k8s.io/pause:3.10.1");
    }
}
