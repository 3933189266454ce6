//! Kernel parameters have their values now, and get them again at every boot.

use async_trait::async_trait;
use quorate_proto::goal::Sysctls;
use quorate_proto::{ActivityKind, Drift, Finding};

use crate::goal::{Ensure, Work, own_file};
use crate::host::{Host, HostError};

const CONFIG: &str = "/etc/sysctl.d/k8s.conf";

#[async_trait]
impl Ensure for Sysctls {
    async fn check(&self, host: &dyn Host) -> Result<Finding, HostError> {
        let mut drifts = Vec::new();
        for (name, wanted) in &self.values {
            let found = host.text(&file(name)?).await?;
            if !found.as_deref().is_some_and(|found| same(found, wanted)) {
                let found = found.as_deref().map_or("not known to the kernel", str::trim);
                drifts.push(Drift::new(name, found, wanted));
            }
        }
        let summary = format!("{} values", self.values.len());
        drifts.extend(own_file::drift(host, CONFIG, &config(self), summary).await?);
        Ok(Finding::from_drifts(drifts))
    }

    async fn apply(&self, host: &dyn Host, work: &Work<'_>) -> Result<(), HostError> {
        work.progress.doing(ActivityKind::Own, "setting kernel parameters");
        own_file::put(host, CONFIG, &config(self)).await?;
        for (name, value) in &self.values {
            let path = file(name)?;
            match host.text(&path).await? {
                Some(found) if same(&found, value) => {}
                Some(_) => host.set(&path, value).await?,
                None => {
                    return Err(HostError::Refused(format!(
                        "the kernel has no parameter {name}: load the module that brings it \
                         (net.bridge.* comes with br_netfilter), or leave it out"
                    )));
                }
            }
        }
        Ok(())
    }
}

fn config(goal: &Sysctls) -> String {
    let mut text = "# Written by quorate: changes are overwritten.\n".to_owned();
    text.extend(goal.values.iter().map(|(name, value)| format!("{name} = {value}\n")));
    text
}

/// Where the kernel shows a parameter. As in sysctl(8), the separator that comes first in a name
/// separates, and the other is part of the name: interfaces have dots in theirs.
fn file(name: &str) -> Result<String, HostError> {
    let slashed = name.chars().find(|c| ['.', '/'].contains(c)) == Some('/');
    let swap = |c| match c {
        '.' => '/',
        '/' => '.',
        other => other,
    };
    let path: String = if slashed { name.to_owned() } else { name.chars().map(swap).collect() };
    if path.split('/').any(|part| ["", ".", ".."].contains(&part)) {
        return Err(HostError::Refused(format!(
            "{name:?} is not the name of a kernel parameter: write it as net.ipv4.ip_forward"
        )));
    }
    Ok(format!("/proc/sys/{path}"))
}

/// Whether two values are the same to the kernel, which puts tabs between numbers.
fn same(found: &str, wanted: &str) -> bool {
    found.split_whitespace().eq(wanted.split_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_dotted_or_slashed() {
        assert_eq!(file("net.ipv4.ip_forward").unwrap(), "/proc/sys/net/ipv4/ip_forward");
        let vlan = "/proc/sys/net/ipv4/conf/eth0.7/forwarding";
        assert_eq!(file("net/ipv4/conf/eth0.7/forwarding").unwrap(), vlan);
        assert_eq!(file("net.ipv4.conf.eth0/7.forwarding").unwrap(), vlan);
    }

    #[test]
    fn a_name_cannot_leave_the_kernels_folder() {
        for name in ["../../etc/passwd", "kernel/../../etc/passwd", "net..ipv4", "", "/etc/passwd"]
        {
            assert!(file(name).is_err(), "{name}");
        }
    }

    #[test]
    fn values_are_compared_without_their_spacing() {
        assert!(same("4096\t131072\t6291456\n", "4096 131072 6291456"));
        assert!(!same("1\n", "10"));
    }
}
