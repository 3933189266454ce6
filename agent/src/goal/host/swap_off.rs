//! No swap is on, and none comes back at the next boot: the kubelet refuses to run with swap.
//! /etc/fstab keeps its swap lines as comments. Compressed memory as swap (zram) is switched off by
//! an empty configuration of its generator. A swap unit that an administrator wrote is theirs to remove.

use async_trait::async_trait;
use quorate_proto::{ActivityKind, Drift, Finding};

use crate::goal::{Ensure, Work};
use crate::host::{Command, Host, HostError};

const FSTAB: &str = "/etc/fstab";
const UNITS: &str = "/etc/systemd/system";
/// An administrator's file takes precedence over the distribution's; an empty one asks for no device.
const ZRAM: &str = "/etc/systemd/zram-generator.conf";
const ZRAM_DEFAULTS: [&str; 2] =
    ["/usr/lib/systemd/zram-generator.conf", "/usr/local/lib/systemd/zram-generator.conf"];
const NO_ZRAM: &str = "# Written by quorate: no swap in compressed memory, for the kubelet.\n";

pub(super) struct SwapOff;

#[async_trait]
impl Ensure for SwapOff {
    async fn check(&self, host: &dyn Host) -> Result<Finding, HostError> {
        let on = host.text("/proc/swaps").await?.unwrap_or_default();
        let mut drifts: Vec<Drift> = devices(&on)
            .map(|device| Drift::new(format!("swap on {device}"), "on", "off"))
            .collect();
        let fstab = host.text(FSTAB).await?.unwrap_or_default();
        for line in fstab.lines().filter(|line| is_swap(line)) {
            drifts.push(Drift::new(FSTAB, line.trim(), "no line that turns swap on"));
        }
        if zram_is_asked_for(host).await? {
            drifts.push(Drift::new("zram-generator", "swap in compressed memory", "none"));
        }
        for unit in swap_units(host).await? {
            drifts.push(Drift::new(format!("{UNITS}/{unit}"), "a swap unit", "none"));
        }
        Ok(Finding::from_drifts(drifts))
    }

    async fn apply(&self, host: &dyn Host, work: &Work<'_>) -> Result<(), HostError> {
        work.progress.doing(ActivityKind::Own, "turning swap off");
        if let Some(unit) = swap_units(host).await?.first() {
            return Err(HostError::Refused(format!(
                "{UNITS}/{unit} turns swap on at every boot, and quorate did not write it: run \
                 `systemctl disable --now {unit}`, remove the file, and apply again"
            )));
        }
        let fstab = host.text(FSTAB).await?.unwrap_or_default();
        let wanted = without_swap(&fstab);
        if fstab != wanted {
            host.write(FSTAB, wanted.as_bytes(), 0o644).await?;
        }
        if zram_is_asked_for(host).await? {
            host.write(ZRAM, NO_ZRAM.as_bytes(), 0o644).await?;
        }
        // systemd made units of those lines at the boot, and would turn the swap on again.
        host.output_of(&Command::new("systemctl", &["daemon-reload"])).await?;
        let on = host.text("/proc/swaps").await?.unwrap_or_default();
        if devices(&on).next().is_some() {
            // What was swapped out has to come back into memory, which takes its time.
            let command = Command::new("swapoff", &["--all"]).within(SWAPOFF_DEADLINE);
            host.output_of(&command).await?;
        }
        Ok(())
    }
}

const SWAPOFF_DEADLINE: std::time::Duration = std::time::Duration::from_secs(600);

async fn zram_is_asked_for(host: &dyn Host) -> Result<bool, HostError> {
    for path in std::iter::once(ZRAM).chain(ZRAM_DEFAULTS) {
        if let Some(content) = host.text(path).await? {
            // The first file that exists is the one that counts; each section is a device.
            return Ok(content.lines().any(|line| line.trim_start().starts_with('[')));
        }
    }
    Ok(false)
}

/// Swap units in /etc, other than those that are masked, which read as empty.
async fn swap_units(host: &dyn Host) -> Result<Vec<String>, HostError> {
    let mut units = Vec::new();
    for name in host.list(UNITS).await? {
        let path = format!("{UNITS}/{name}");
        if name.ends_with(".swap") && host.read(&path).await?.is_some_and(|text| !text.is_empty()) {
            units.push(name);
        }
    }
    Ok(units)
}

/// The first column of /proc/swaps, after its heading.
fn devices(swaps: &str) -> impl Iterator<Item = &str> {
    swaps.lines().skip(1).filter_map(|line| line.split_whitespace().next())
}

/// Whether a line of fstab(5) turns swap on.
fn is_swap(line: &str) -> bool {
    let mut fields = line.split_whitespace();
    let device = fields.next().is_some_and(|device| !device.starts_with('#'));
    device && fields.nth(1) == Some("swap")
}

/// The file with its swap lines as comments, and everything else byte for byte.
fn without_swap(fstab: &str) -> String {
    let keep = |line| if is_swap(line) { ["# quorate set aside: ", line] } else { ["", line] };
    fstab.split_inclusive('\n').flat_map(keep).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_swap_lines_of_fstab_become_comments() {
        let fstab = "# swap was on /dev/sda5\nUUID=1 / ext4 errors=remount-ro 0 1\n\
                     \t/dev/sda5\tnone  swap sw 0 0\r\n#/swapfile none swap sw 0 0\n\
                     /dev/swap /swap ext4 swap 0 0\n/swapfile swap swap defaults";
        let wanted = "# swap was on /dev/sda5\nUUID=1 / ext4 errors=remount-ro 0 1\n\
                      # quorate set aside: \t/dev/sda5\tnone  swap sw 0 0\r\n\
                      #/swapfile none swap sw 0 0\n/dev/swap /swap ext4 swap 0 0\n\
                      # quorate set aside: /swapfile swap swap defaults";
        assert_eq!(without_swap(fstab), wanted);
        assert_eq!(without_swap(wanted), wanted);
    }

    #[test]
    fn swaps_are_read_below_the_heading() {
        let heading = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";
        assert_eq!(devices(heading).count(), 0);
        assert_eq!(devices("").count(), 0);
        let on =
            format!("{heading}/dev/zram0  partition\t1\t0\t100\n/swap\\040file file\t1\t0\t-2\n");
        assert_eq!(devices(&on).collect::<Vec<_>>(), ["/dev/zram0", "/swap\\040file"]);
    }
}
