//! How static pods differ from those that kubeadm would write, in their manifests and as they run.

use std::collections::BTreeMap;

use quorate_proto::Drift;

use crate::host::{Host, HostError};
use crate::kubeadm::manifest::{self, StaticPod};

/// Differences of a component's manifest from the wanted one; arguments of these names may be anything.
pub(in crate::goal) fn drifts(
    component: &str,
    found: &StaticPod,
    wanted: &StaticPod,
    ignored: &[&str],
) -> Vec<Drift> {
    let path = manifest::path(component);
    let mut drifts = Vec::new();
    if found.image != wanted.image {
        let what = format!("image of {path}");
        drifts.push(Drift::new(what, &found.image, &wanted.image).in_use());
    }
    for (name, found, wanted) in differing(&found.args, &wanted.args, ignored) {
        drifts.push(Drift::new(format!("--{name} in {path}"), found, wanted).in_use());
    }
    drifts
}

/// Arguments by which a component's process runs, where none of its processes has the wanted ones. That
/// none runs is no difference: whether it serves is another goal.
pub(in crate::goal) async fn process_drifts(
    host: &dyn Host,
    component: &str,
    wanted: &BTreeMap<String, String>,
    ignored: &[&str],
) -> Result<Vec<Drift>, HostError> {
    let processes = host.processes(component).await?;
    let mut closest: Option<Vec<Drift>> = None;
    for words in &processes {
        let found = manifest::args(words.iter().map(String::as_str));
        // etcd may run for an application too.
        if component == "etcd" && found.get("name") != wanted.get("name") {
            continue;
        }
        let drifts: Vec<Drift> = differing(&found, wanted, ignored)
            .into_iter()
            .map(|(name, found, wanted)| {
                Drift::new(format!("--{name} of the running {component}"), found, wanted)
            })
            .collect();
        if closest.as_ref().is_none_or(|closest| drifts.len() < closest.len()) {
            closest = Some(drifts);
        }
    }
    Ok(closest.unwrap_or_default())
}

/// Arguments that are not the same in both: name, value found, value wanted.
pub(in crate::goal) fn differing(
    found: &BTreeMap<String, String>,
    wanted: &BTreeMap<String, String>,
    ignored: &[&str],
) -> Vec<(String, String, String)> {
    let value = |args: &BTreeMap<String, String>, name: &str| {
        args.get(name).cloned().unwrap_or_else(|| "not set".to_owned())
    };
    let added = found.keys().filter(|name| !wanted.contains_key(*name));
    wanted
        .keys()
        .chain(added)
        .filter(|name| found.get(*name) != wanted.get(*name) && !ignored.contains(&name.as_str()))
        .map(|name| (name.clone(), value(found, name), value(wanted, name)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(list: &[(&str, &str)]) -> BTreeMap<String, String> {
        list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn arguments_differ_by_value_absence_or_presence() {
        let found = args(&[("a", "1"), ("b", "2"), ("same", "x"), ("first-start", "y")]);
        let wanted = args(&[("a", "3"), ("c", "4"), ("same", "x")]);
        let names: Vec<_> = differing(&found, &wanted, &["first-start"]);
        let expected = [("a", "1", "3"), ("c", "not set", "4"), ("b", "2", "not set")];
        let expected = expected.map(|(n, f, w)| (n.to_owned(), f.to_owned(), w.to_owned()));
        assert_eq!(names, expected);
    }
}
