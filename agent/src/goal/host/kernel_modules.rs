//! Kernel modules are there, and are asked for at every boot. What counts is what the kernel can do:
//! a module that is built in is as good as one that is loaded, and some kernels do not even list it.

use std::collections::BTreeSet;

use async_trait::async_trait;
use quorate_proto::goal::KernelModules;
use quorate_proto::{ActivityKind, Drift, Finding};

use crate::goal::{Ensure, Work, own_file};
use crate::host::{Command, Host, HostError};

const CONFIG: &str = "/etc/modules-load.d/k8s.conf";

#[async_trait]
impl Ensure for KernelModules {
    async fn check(&self, host: &dyn Host) -> Result<Finding, HostError> {
        let absent = absent(host, &self.modules).await?;
        let mut drifts: Vec<Drift> =
            absent.into_iter().map(|name| Drift::new(name, "not loaded", "loaded")).collect();
        let summary = self.modules.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        drifts.extend(own_file::drift(host, CONFIG, &config(self), summary).await?);
        Ok(Finding::from_drifts(drifts))
    }

    async fn apply(&self, host: &dyn Host, work: &Work<'_>) -> Result<(), HostError> {
        work.progress.doing(ActivityKind::Own, "loading kernel modules");
        own_file::put(host, CONFIG, &config(self)).await?;
        for name in absent(host, &self.modules).await? {
            host.output_of(&Command::new("modprobe", &["--", name])).await?;
        }
        Ok(())
    }
}

fn config(goal: &KernelModules) -> String {
    let mut text = "# Written by quorate: changes are overwritten.\n".to_owned();
    for module in &goal.modules {
        text.push_str(module);
        text.push('\n');
    }
    text
}

/// The modules that the kernel has neither loaded nor built in.
async fn absent<'a>(
    host: &dyn Host,
    modules: &'a BTreeSet<String>,
) -> Result<Vec<&'a str>, HostError> {
    let loaded = host.list("/sys/module").await?;
    let mut absent = Vec::new();
    for name in modules {
        // The kernel writes an underscore where people write a hyphen.
        if !loaded.contains(&name.replace('-', "_")) && !capable(host, name).await? {
            absent.push(name.as_str());
        }
    }
    if absent.is_empty() {
        return Ok(absent);
    }
    let release = host.text("/proc/sys/kernel/osrelease").await?.unwrap_or_default();
    let list = format!("/lib/modules/{}/modules.builtin", release.trim());
    let builtin = host.text(&list).await?.unwrap_or_default();
    absent.retain(|name| !builtin.lines().any(|line| is_module(line, name)));
    Ok(absent)
}

/// Whether the kernel shows what a module brings: one that is built in without parameters has no
/// folder in /sys/module, and a kernel without any module has no list of what is built in.
async fn capable(host: &dyn Host, module: &str) -> Result<bool, HostError> {
    match module.replace('-', "_").as_str() {
        "overlay" => {
            let filesystems = host.text("/proc/filesystems").await?.unwrap_or_default();
            Ok(filesystems.lines().any(|line| line.split_whitespace().last() == Some("overlay")))
        }
        "br_netfilter" => Ok(!host.list("/proc/sys/net/bridge").await?.is_empty()),
        "nf_conntrack" => {
            Ok(host.read("/proc/sys/net/netfilter/nf_conntrack_max").await?.is_some())
        }
        "ip_vs" => Ok(!host.list("/proc/sys/net/ipv4/vs").await?.is_empty()),
        _ => Ok(false),
    }
}

/// Whether a path of modules.builtin, such as `kernel/fs/overlayfs/overlay.ko`, is that module's.
fn is_module(path: &str, name: &str) -> bool {
    let file = path.rsplit('/').next().unwrap_or_default();
    let stem = file.split(".ko").next().unwrap_or_default();
    stem.replace('-', "_") == name.replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_is_found_among_those_built_in_however_it_is_written() {
        assert!(is_module("kernel/net/bridge/br_netfilter.ko", "br-netfilter"));
        assert!(is_module("kernel/drivers/nvme/host/nvme-core.ko.zst", "nvme_core"));
        assert!(!is_module("kernel/net/bridge/br_netfilter.ko", "netfilter"));
        assert!(!is_module("", "overlay"));
    }
}
