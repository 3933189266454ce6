//! What the machine is, from the files in which Linux tells it.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use quorate_proto::Machine;

use super::files;

/// Describes the machine whose files lie under `root`. What it does not tell stays empty or zero.
pub(super) fn describe(root: &Path) -> io::Result<Machine> {
    let text = |path: &str| -> io::Result<String> {
        let bytes = files::read(&root.join(path))?.unwrap_or_default();
        Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
    };
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut addresses = ipv4(&text("proc/net/fib_trie")?);
    addresses.extend(ipv6(&text("proc/net/if_inet6")?));
    Ok(Machine {
        machine_id: text("etc/machine-id")?,
        boot_id: text("proc/sys/kernel/random/boot_id")?,
        clock_ms: u64::try_from(clock.as_millis()).unwrap_or(u64::MAX),
        os: pretty_name(&text("etc/os-release")?),
        kernel: text("proc/sys/kernel/osrelease")?,
        architecture: std::env::consts::ARCH.to_owned(),
        cpus: cpus(&text("sys/devices/system/cpu/online")?),
        memory_mib: memory_mib(&text("proc/meminfo")?),
        disk_free_mib: disk_free_mib(&root.join("var/lib")),
        addresses: addresses.into_iter().collect(),
    })
}

/// Time since the boot, sleep included; zero where it is not told.
pub(super) fn uptime(root: &Path) -> Duration {
    let text = files::read(&root.join("proc/uptime")).ok().flatten().unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let seconds = text.split_whitespace().next().and_then(|word| word.parse().ok());
    seconds.and_then(|s| Duration::try_from_secs_f64(s).ok()).unwrap_or_default()
}

fn pretty_name(os_release: &str) -> String {
    let name = os_release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.unwrap_or_default().trim_matches('"').to_owned()
}

/// Counts a list of ranges such as `0-3,6`.
fn cpus(online: &str) -> u32 {
    let range = |range: &str| -> Option<u32> {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (first.parse::<u32>().ok()?, last.parse::<u32>().ok()?);
        last.checked_sub(first)?.checked_add(1)
    };
    online.split(',').filter_map(range).sum()
}

fn memory_mib(meminfo: &str) -> u64 {
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or_default() / 1024
}

/// What a process without root's reserve could still write, as kubelet and etcd will.
fn disk_free_mib(folder: &Path) -> u64 {
    nix::sys::statvfs::statvfs(folder)
        .map(|disk| disk.blocks_available().saturating_mul(disk.fragment_size()) >> 20)
        .unwrap_or_default()
}

/// The machine's own addresses in the kernel's routing trie: each has a line with the address, and
/// then one that says `/32 host LOCAL`.
fn ipv4(fib_trie: &str) -> BTreeSet<IpAddr> {
    let mut addresses = BTreeSet::new();
    let mut leaf: Option<Ipv4Addr> = None;
    for line in fib_trie.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            leaf = address.parse().ok();
        } else if line == "/32 host LOCAL" {
            addresses.extend(leaf.filter(|ip| !ip.is_loopback()).map(IpAddr::V4));
        }
    }
    addresses
}

/// Addresses of global scope in /proc/net/if_inet6.
fn ipv6(if_inet6: &str) -> BTreeSet<IpAddr> {
    let address = |line: &str| -> Option<IpAddr> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [hex, _index, _length, "00", ..] = words.as_slice() else { return None };
        u128::from_str_radix(hex, 16).ok().map(|bits| Ipv6Addr::from_bits(bits).into())
    };
    if_inet6.lines().filter_map(address).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_of_the_machine_alone() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n\
                    Local:\n        |-- 10.77.0.0\n           /24 link UNICAST\n\
                    \x20       |-- 10.77.0.11\n           /32 host LOCAL\n\
                    \x20       |-- 10.77.0.255\n           /32 link BROADCAST\n\
                    \x20       |-- 127.0.0.1\n           /32 host LOCAL\n";
        let found: Vec<String> = ipv4(trie).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["10.77.0.11"]);
        let inet6 = "00000000000000000000000000000001 01 80 10 80       lo\n\
                     fd000000000000000000000000000011 02 40 00 80    host0\n\
                     fe80000000000000001122fffe334455 02 40 20 80    host0\n";
        let found: Vec<String> = ipv6(inet6).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["fd00::11"]);
    }

    #[test]
    fn figures_are_read_from_what_the_kernel_prints() {
        assert_eq!(cpus("0-3,6"), 5);
        assert_eq!(cpus("0"), 1);
        assert_eq!(cpus(""), 0);
        assert_eq!(memory_mib("MemTotal:       24616364 kB\nMemFree: 1 kB\n"), 24039);
        assert_eq!(
            pretty_name("ID=debian\nPRETTY_NAME=\"Debian GNU/Linux 12\"\n"),
            "Debian GNU/Linux 12"
        );
    }
}
