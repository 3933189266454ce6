//! What a process takes of its machine, as /proc tells it.

use std::fs::read_to_string;

/// Seconds on processors so far, by /proc/PID/stat, whose clock ticks a hundred times a second.
pub fn processor_seconds(pid: u32) -> f64 {
    let stat = read_to_string(format!("/proc/{pid}/stat")).expect("the process runs");
    let (_, fields) = stat.rsplit_once(") ").expect("a name in brackets");
    let ticks = fields.split(' ').skip(11).take(2);
    ticks.map(|ticks| ticks.parse::<f64>().expect("a number")).sum::<f64>() / 100.0
}

pub fn resident_mib(pid: u32) -> f64 {
    let status = read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse::<f64>().expect("a number") / 1024.0
}
