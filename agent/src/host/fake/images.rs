//! The fake containerd's images, and archives that curl fetches. An archive here is a list of names,
//! one a line.

use std::collections::{BTreeMap, BTreeSet};

use super::{State, complaint, printed};
use crate::host::{HostError, Output};

/// Images and where they come from.
#[derive(Debug, Default)]
pub struct Images {
    pub held: BTreeSet<String>,
    /// Archives by address.
    pub served: BTreeMap<String, String>,
}

/// `kubeadm config images list`, whatever the version.
pub(super) fn of_kubeadm() -> Output {
    let of_version = ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy"];
    let mut names: Vec<String> =
        of_version.map(|name| format!("registry.k8s.io/{name}:v1.35.4\n")).into();
    names.push("registry.k8s.io/coredns/coredns:v1.13.1\n".to_owned());
    names.push("registry.k8s.io/pause:3.10.1\nregistry.k8s.io/etcd:3.6.6-0\n".to_owned());
    printed(names.concat())
}

pub(super) fn run(state: &mut State, program: &str, args: &[&str]) -> Result<Output, HostError> {
    match (program, args) {
        ("curl", _) => fetch(state, args),
        _ if !state.systemd.active("containerd") => {
            Ok(complaint(1, "ctr: failed to dial \"/run/containerd/containerd.sock\"\n"))
        }
        (_, ["--namespace=k8s.io", "images", "ls", "--quiet"]) => {
            let names: Vec<&str> = state.images.held.iter().map(String::as_str).collect();
            Ok(printed(names.join("\n")))
        }
        (_, ["--namespace=k8s.io", "images", "import", path]) => {
            let names = state.text(path);
            state.change(format!("importing {path}"))?;
            state.images.held.extend(names.lines().map(str::to_owned));
            Ok(printed(""))
        }
        (_, ["--namespace=k8s.io", "images", "pull", _, name]) => {
            state.change(format!("pulling {name}"))?;
            state.images.held.insert((*name).to_owned());
            Ok(printed(""))
        }
        _ => Ok(complaint(1, format!("{program}: {args:?} is not modelled\n"))),
    }
}

/// A file that comes in two halves.
fn fetch(state: &mut State, args: &[&str]) -> Result<Output, HostError> {
    let after = |option: &str| {
        let at = args.iter().position(|arg| *arg == option)?;
        args.get(at + 1).copied()
    };
    let (Some(url), Some(path)) = (after("--url"), after("--output")) else {
        return Ok(complaint(2, "curl: no address, or nowhere to put it\n"));
    };
    let Some(content) = state.images.served.get(url).cloned() else {
        return Ok(complaint(22, "curl: (22) The requested URL returned error: 404\n"));
    };
    let (first, _) = content.split_at_checked(content.len() / 2).unwrap_or_default();
    state.change(format!("fetching half of {url}"))?;
    state.put(path, first);
    state.change(format!("fetching all of {url}"))?;
    state.put(path, &content);
    Ok(printed(""))
}
