//! The fake kernel: modules that can be loaded, what they bring, and swap.

use super::{State, complaint, printed};
use crate::host::{HostError, Output};

const SWAPS: &str = "/proc/swaps";
const SWAPS_HEADING: &str = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";

/// As after a boot: no module of ours, swap on a partition.
pub(super) fn install(state: &mut State) {
    state.put("/proc/sys/kernel/osrelease", "6.1.0-fake\n");
    state.put("/proc/filesystems", "nodev\tproc\n\text4\n");
    state.put("/proc/sys/net/ipv4/ip_forward", "0\n");
    let modules = "kernel/fs/overlayfs/overlay.ko:\nkernel/net/bridge/br_netfilter.ko:\n";
    state.put("/lib/modules/6.1.0-fake/modules.dep", modules);
    state.put(SWAPS, &format!("{SWAPS_HEADING}/dev/sda5 partition 1000 0 -2\n"));
    state.put("/etc/fstab", "UUID=1 / ext4 defaults 0 1\n/dev/sda5 none swap sw 0 0\n");
}

pub(super) fn run(state: &mut State, program: &str, args: &[&str]) -> Result<Output, HostError> {
    match (program, args) {
        ("modprobe", ["--", name]) => modprobe(state, name),
        ("swapoff", ["--all"]) => {
            state.change("swapoff")?;
            state.put(SWAPS, SWAPS_HEADING);
            Ok(printed(""))
        }
        _ => Ok(complaint(1, format!("{program}: {args:?} is not modelled"))),
    }
}

fn modprobe(state: &mut State, name: &str) -> Result<Output, HostError> {
    let known = state.text("/lib/modules/6.1.0-fake/modules.dep");
    if !known.contains(&format!("/{name}.ko")) {
        let message =
            format!("modprobe: FATAL: Module {name} not found in directory /lib/modules\n");
        return Ok(complaint(1, message));
    }
    state.change(format!("modprobe {name}"))?;
    state.put(&format!("/sys/module/{name}/refcnt"), "0\n");
    if name == "br_netfilter" {
        state.put("/proc/sys/net/bridge/bridge-nf-call-iptables", "0\n");
        state.put("/proc/sys/net/bridge/bridge-nf-call-ip6tables", "0\n");
    }
    Ok(printed(""))
}
