//! /etc/hosts names nodes of the cluster, in a block between two marker lines. The rest of the file is the
//! administrator's and stays as it is, with one exception: a line that gives a node another address
//! (Debian's installer writes `127.0.1.1 NODE`) makes the name ambiguous, so it is kept as a comment,
//! and the other names on it stay in force.

use std::net::IpAddr;

use async_trait::async_trait;
use quorate_proto::goal::Hosts;
use quorate_proto::{ActivityKind, Drift, Finding};

use crate::goal::{Ensure, Work};
use crate::host::{Host, HostError};

const FILE: &str = "/etc/hosts";
const BEGIN: &str =
    "# BEGIN quorate: the cluster's nodes. Changes between these lines are overwritten.";
const END: &str = "# END quorate";
/// Before a line of the administrator's that quorate had to put out of force.
const SET_ASIDE: &str = "# quorate set aside: ";

#[async_trait]
impl Ensure for Hosts {
    async fn check(&self, host: &dyn Host) -> Result<Finding, HostError> {
        let found = host.text(FILE).await?.unwrap_or_default();
        Ok(Finding::from_drifts(drifts(self, &found)))
    }

    async fn apply(&self, host: &dyn Host, work: &Work<'_>) -> Result<(), HostError> {
        work.progress.doing(ActivityKind::Own, "naming the nodes in /etc/hosts");
        let found = host.text(FILE).await?.unwrap_or_default();
        let wanted = rewrite(self, &found);
        if found == wanted { Ok(()) } else { host.write(FILE, wanted.as_bytes(), 0o644).await }
    }
}

/// Every difference between the file and the goal.
fn drifts(goal: &Hosts, found: &str) -> Vec<Drift> {
    let (block, rest) = split(found);
    let mut drifts = Vec::new();
    for (node, address) in &goal.entries {
        let named = block.iter().filter_map(|line| entry(line));
        let mut listed = named.filter(|(_, names)| names.contains(&node.as_str()));
        let found = listed.next().map_or("no entry", |(text, _)| text);
        if found.parse() != Ok(*address) {
            drifts.push(Drift::new(format!("{FILE}: {node}"), found, address.to_string()));
        }
    }
    for line in rest.iter().filter(|line| without_conflicts(goal, line).is_some()) {
        let what = format!("{FILE}: a line that gives a node another address");
        drifts.push(Drift::new(what, line.trim(), "set aside as a comment"));
    }
    if drifts.is_empty() && found != rewrite(goal, found) {
        drifts.push(Drift::new(
            format!("{FILE}: quorate's block"),
            "other lines",
            "the nodes alone",
        ));
    }
    drifts
}

/// The file as it should be.
fn rewrite(goal: &Hosts, found: &str) -> String {
    let (_, rest) = split(found);
    let mut wanted = String::new();
    for line in rest {
        match without_conflicts(goal, line) {
            None => wanted.push_str(line),
            Some(remaining) => {
                wanted.push_str(SET_ASIDE);
                wanted.push_str(line);
                wanted.push_str(if line.ends_with('\n') { "" } else { "\n" });
                wanted.push_str(&remaining);
            }
        }
    }
    if !wanted.is_empty() && !wanted.ends_with('\n') {
        wanted.push('\n');
    }
    wanted.push_str(BEGIN);
    wanted.push('\n');
    wanted.extend(goal.entries.iter().map(|(node, address)| format!("{address} {node}\n")));
    wanted.push_str(END);
    wanted.push('\n');
    wanted
}

/// The lines of our block, and all others, with their line ends. Of a block whose end was lost, only
/// the marker is taken for ours.
fn split(file: &str) -> (Vec<&str>, Vec<&str>) {
    let (mut block, mut rest) = (Vec::new(), Vec::new());
    let mut lines = file.split_inclusive('\n');
    while let Some(line) = lines.next() {
        if line.trim_end() != BEGIN {
            rest.extend(Some(line).filter(|line| line.trim_end() != END));
            continue;
        }
        let ours: Vec<&str> =
            lines.clone().take_while(|line| ![BEGIN, END].contains(&line.trim_end())).collect();
        if lines.clone().nth(ours.len()).is_some_and(|line| line.trim_end() == END) {
            lines.nth(ours.len());
            block.extend(ours);
        }
    }
    (block, rest)
}

/// Where a line gives a node another address than the goal: what remains of it without that name.
fn without_conflicts(goal: &Hosts, line: &str) -> Option<String> {
    let (text, names) = entry(line)?;
    let address: IpAddr = text.parse().ok()?;
    let conflicts = |name: &&str| {
        let mut nodes = goal.entries.iter();
        // Names in this file are compared without regard to case (hosts(5)).
        nodes.any(|(node, wanted)| node.as_str().eq_ignore_ascii_case(name) && *wanted != address)
    };
    let (out, stay): (Vec<&str>, Vec<&str>) = names.into_iter().partition(conflicts);
    if out.is_empty() {
        return None;
    }
    Some(if stay.is_empty() { String::new() } else { format!("{text} {}\n", stay.join(" ")) })
}

/// The address and the names of a line, if it has any.
fn entry(line: &str) -> Option<(&str, Vec<&str>)> {
    let line = line.split('#').next()?;
    let mut words = line.split_whitespace();
    Some((words.next()?, words.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn goal() -> Hosts {
        let entry =
            |name: &str, address: &str| (name.try_into().unwrap(), address.parse().unwrap());
        let entries = [entry("cp-1", "10.0.0.1"), entry("cp-2", "fd00::2")];
        Hosts { entries: entries.into_iter().collect() }
    }

    fn block(lines: &str) -> String {
        format!("{BEGIN}\n{lines}{END}\n")
    }

    const OURS: &str = "10.0.0.1 cp-1\nfd00::2 cp-2\n";

    #[test]
    fn the_rest_of_the_file_stays_byte_for_byte() {
        let rest = "127.0.0.1\tlocalhost # cp-1\n\n  # 1.2.3.4 cp-1\nfd00:0::2 CP-2\r\n::1 x";
        assert_eq!(rewrite(&goal(), rest), format!("{rest}\n{}", block(OURS)));
        assert_eq!(rewrite(&goal(), ""), block(OURS));
    }

    #[test]
    fn a_file_that_is_right_has_no_drift_and_is_left_as_it_is() {
        let right = rewrite(&goal(), "127.0.0.1 localhost\n");
        assert_eq!(drifts(&goal(), &right), []);
        assert_eq!(rewrite(&goal(), &right), right);
    }

    #[test]
    fn a_line_of_another_address_is_set_aside_and_its_other_names_stay() {
        let found = "127.0.1.1 cp-1.example.com CP-1 # installer\n192.0.2.9 cp-2";
        let wanted = "# quorate set aside: 127.0.1.1 cp-1.example.com CP-1 # installer\n\
                      127.0.1.1 cp-1.example.com\n# quorate set aside: 192.0.2.9 cp-2\n";
        assert_eq!(rewrite(&goal(), found), format!("{wanted}{}", block(OURS)));
        let found = format!("{found}\n{}", block(OURS));
        let drifts = drifts(&goal(), &found);
        assert_eq!(drifts.len(), 2, "{drifts:?}");
        assert_eq!(drifts[1].found, "192.0.2.9 cp-2");
    }

    #[test]
    fn each_entry_that_differs_is_named() {
        let drifts = drifts(&goal(), &block("10.0.0.9 cp-1\n"));
        let told: Vec<&str> = drifts.iter().map(|drift| drift.found.as_str()).collect();
        assert_eq!(told, ["10.0.0.9", "no entry"]);
    }

    #[test]
    fn a_surplus_entry_is_drift_and_goes() {
        let found = block(&format!("{OURS}10.0.0.3 cp-3\n"));
        assert_eq!(drifts(&goal(), &found).len(), 1);
        assert_eq!(rewrite(&goal(), &found), block(OURS));
    }

    #[test]
    fn a_block_that_lost_its_end_takes_nothing_with_it() {
        let found = format!("{BEGIN}\n192.0.2.7 printer\n");
        assert_eq!(rewrite(&goal(), &found), format!("192.0.2.7 printer\n{}", block(OURS)));
        let twice = format!("{BEGIN}\n192.0.2.7 printer\n{}", block("1.1.1.1 x\n"));
        assert_eq!(rewrite(&goal(), &twice), format!("192.0.2.7 printer\n{}", block(OURS)));
    }
}
