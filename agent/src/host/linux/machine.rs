//! What the machine is.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use quorate_proto::Machine;
use sysinfo::{CpuRefreshKind, MemoryRefreshKind, Networks, RefreshKind, System};

use super::files;

/// Describes the machine; its identities lie under `root`. What it does not tell stays empty or zero.
pub(super) fn describe(root: &Path) -> io::Result<Machine> {
    let text = |path: &str| -> io::Result<String> {
        let bytes = files::read(&root.join(path))?.unwrap_or_default();
        Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
    };
    let (name, version) = (System::name(), System::os_version());
    let size = RefreshKind::nothing()
        .with_cpu(CpuRefreshKind::nothing())
        .with_memory(MemoryRefreshKind::nothing().with_ram());
    let system = System::new_with_specifics(size).ok();
    let cpus = system.as_ref().map_or(0, |system| system.cpus().len());
    Ok(Machine {
        machine_id: text("etc/machine-id")?,
        boot_id: text("proc/sys/kernel/random/boot_id")?,
        clock_ms: clock_ms(),
        os: format!("{} {}", name.unwrap_or_default(), version.unwrap_or_default()),
        kernel: System::kernel_version().unwrap_or_default(),
        architecture: std::env::consts::ARCH.to_owned(),
        cpus: u32::try_from(cpus).unwrap_or(u32::MAX),
        memory_mib: system.map_or(0, |system| system.total_memory() >> 20),
        disk_free_mib: disk_free_mib(&root.join("var/lib")),
        addresses: addresses(),
    })
}

/// Milliseconds since 1970.
pub(super) fn clock_ms() -> u64 {
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(clock.as_millis()).unwrap_or(u64::MAX)
}

/// Time since the boot, sleep included; zero where it is not told.
pub(super) fn uptime(root: &Path) -> Duration {
    let text = files::read(&root.join("proc/uptime")).ok().flatten().unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let seconds = text.split_whitespace().next().and_then(|word| word.parse().ok());
    seconds.and_then(|s| Duration::try_from_secs_f64(s).ok()).unwrap_or_default()
}

/// Arguments of the processes that run a program. One that ends meanwhile is left out.
pub(super) fn processes(root: &Path, program: &str) -> Vec<Vec<String>> {
    let entries = std::fs::read_dir(root.join("proc")).into_iter().flatten().flatten();
    let lines = entries.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines
        .filter_map(|line| {
            let line = String::from_utf8_lossy(&line).into_owned();
            let mut words = line.trim_end_matches('\0').split('\0').map(str::to_owned);
            let name = words.next()?;
            (name.rsplit('/').next() == Some(program)).then(|| words.collect())
        })
        .collect()
}

/// What a process without root's reserve could still write, as kubelet and etcd will.
fn disk_free_mib(folder: &Path) -> u64 {
    nix::sys::statvfs::statvfs(folder)
        .map(|disk| disk.blocks_available().saturating_mul(disk.fragment_size()) >> 20)
        .unwrap_or_default()
}

/// By which other machines can reach this one.
fn addresses() -> Vec<IpAddr> {
    let networks = Networks::new_with_refreshed_list().ok();
    let networks = networks.iter().flat_map(|networks| networks.values());
    let reachable = |address: &IpAddr| match address {
        IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_link_local(),
        IpAddr::V6(ip) => !ip.is_loopback() && !ip.is_unicast_link_local(),
    };
    let all = networks.flat_map(|network| network.ip_networks()).map(|network| network.addr);
    all.filter(reachable).collect::<BTreeSet<_>>().into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_found_by_program() {
        let root = tempfile::tempdir().unwrap();
        for (pid, line) in [("1", "/sbin/init\0"), ("7", "etcd\0--name=cp-1\0"), ("8", "")] {
            let folder = root.path().join("proc").join(pid);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join("cmdline"), line).unwrap();
        }
        assert_eq!(processes(root.path(), "etcd"), [["--name=cp-1"]]);
        assert_eq!(processes(root.path(), "init"), [[""; 0]]);
        assert!(processes(root.path(), "kubelet").is_empty());
    }

    #[test]
    fn the_machine_that_runs_this_test_tells_what_a_plan_needs() {
        let machine = describe(Path::new("/")).unwrap();
        assert!(machine.cpus > 0 && machine.memory_mib > 0 && machine.disk_free_mib > 0);
        assert!(!machine.kernel.is_empty() && machine.os.contains(' '), "{machine:?}");
        assert!(machine.addresses.iter().all(|address| !address.is_loopback()), "{machine:?}");
        assert_eq!(machine.boot_id.len(), 36);
    }
}
