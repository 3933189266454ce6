//! A plan with each step once, however many nodes it is left on: one screen for fifty nodes.

use std::collections::BTreeMap;

use quorate_proto::NodeName;

use super::{doing, drifts, shown};
use crate::plan::Plan;
use crate::spec::{ClusterSpec, NodeSpec};
use crate::ui::{line, plural};

/// Differences that are shown where several nodes have the same; of more, only the number.
const FEW: usize = 4;

/// One step on the nodes that have it left, in the order of the specification.
#[derive(Default)]
struct Group {
    doing: String,
    nodes: BTreeMap<usize, Vec<String>>,
}

impl Group {
    fn text(&self) -> String {
        let Self { doing, nodes } = self;
        let counts = || nodes.values().map(Vec::len);
        let (least, most) =
            (counts().min().unwrap_or_default(), counts().max().unwrap_or_default());
        let mut all = nodes.values();
        let first = all.next().map(Vec::as_slice).unwrap_or_default();
        if nodes.len() == 1 || (most <= FEW && all.all(|other| other == first)) {
            let drifts: String = first.iter().map(|drift| shown(drift)).collect();
            return format!("  {doing}\n{drifts}");
        }
        let differences = plural(most, "difference");
        let differences =
            if least == most { differences } else { format!("{least} to {differences}") };
        format!("  {doing}: {differences} on each\n")
    }
}

/// Each step once, below the nodes that it is left on.
pub(super) fn steps(spec: &ClusterSpec, plan: &Plan) -> String {
    let places = places(spec);
    let mut groups: Vec<Group> = Vec::new();
    let mut known: BTreeMap<String, usize> = BTreeMap::new();
    for left in &plan.steps {
        let Some(place) = places.get(&left.step.id.node) else { continue };
        let doing = doing(left);
        let at = *known.entry(doing.clone()).or_insert(groups.len());
        if at == groups.len() {
            groups.push(Group { doing, ..Group::default() });
        }
        if let Some(group) = groups.get_mut(at) {
            group.nodes.insert(*place, drifts(left));
        }
    }
    let mut text = String::new();
    let mut above: Vec<usize> = Vec::new();
    for group in groups {
        let nodes: Vec<usize> = group.nodes.keys().copied().collect();
        if nodes != above {
            line(&mut text, format_args!("\n{}", named(spec, &nodes)));
        }
        text += &group.text();
        above = nodes;
    }
    text
}

/// How many steps nodes have left, and what that restarts.
pub(super) fn counts(spec: &ClusterSpec, plan: &Plan) -> String {
    let places = places(spec);
    let mut of_nodes: BTreeMap<usize, (usize, Vec<&str>)> = BTreeMap::new();
    for left in &plan.steps {
        let Some(place) = places.get(&left.step.id.node) else { continue };
        let (count, restarts) = of_nodes.entry(*place).or_default();
        *count += 1;
        let new = left.step.restarts.as_deref().filter(|what| !restarts.contains(what));
        restarts.extend(new);
    }
    let mut groups: Vec<(_, Vec<usize>)> = Vec::new();
    for (place, work) in of_nodes {
        match groups.iter_mut().find(|(known, _)| *known == work) {
            Some((_, nodes)) => nodes.push(place),
            None => groups.push((work, vec![place])),
        }
    }
    let mut text = String::new();
    for ((count, restarts), nodes) in groups {
        let each = if nodes.len() > 1 { " each" } else { "" };
        let restarts: String = restarts.iter().map(|what| format!(", {what}")).collect();
        let (names, steps) = (ranges(spec, &nodes), plural(count, "step"));
        line(&mut text, format_args!("{names}: {steps}{each}{restarts}"));
    }
    text
}

fn places(spec: &ClusterSpec) -> BTreeMap<&NodeName, usize> {
    spec.nodes.iter().enumerate().map(|(place, node)| (&node.name, place)).collect()
}

fn named(spec: &ClusterSpec, nodes: &[usize]) -> String {
    match nodes {
        [one] => {
            let node = spec.nodes.get(*one);
            node.map(|NodeSpec { name, address, .. }| format!("{name} ({address})"))
                .unwrap_or_default()
        }
        all if all.len() == spec.nodes.len() => format!("all {} nodes", all.len()),
        some => format!("{} ({} nodes)", ranges(spec, some), some.len()),
    }
}

/// Names as a specification writes them: `cp-[1-3], worker-[01-50]`.
fn ranges(spec: &ClusterSpec, nodes: &[usize]) -> String {
    // The part before the number, the first number and the last, as they are written.
    let mut runs: Vec<(&str, &str, &str)> = Vec::new();
    for name in nodes.iter().filter_map(|place| spec.nodes.get(*place)) {
        let name = name.name.as_str();
        let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
        let number = name.strip_prefix(stem).unwrap_or_default();
        match runs.last_mut() {
            Some((before, _, last)) if *before == stem && follows(last, number) => *last = number,
            Some(_) | None => runs.push((stem, number, number)),
        }
    }
    let shown = runs.iter().map(|(stem, first, last)| {
        if first == last { format!("{stem}{first}") } else { format!("{stem}[{first}-{last}]") }
    });
    shown.collect::<Vec<_>>().join(", ")
}

fn follows(last: &str, number: &str) -> bool {
    let next = last.parse::<u64>().ok().and_then(|last| last.checked_add(1));
    next.is_some_and(|next| format!("{next:0width$}", width = last.len()) == number)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use quorate_proto::goal::{HostGoal, KernelModules, Sysctls};
    use quorate_proto::{Drift, Finding, Goal, StepId};

    use super::*;
    use crate::plan::{Lane, Left, Step};
    use crate::procedure::Procedure;
    use crate::spec;
    use crate::ui::plan_text::{Detail, brief, text};

    fn spec() -> ClusterSpec {
        let node = "  - {name: cp-1, address: 10.0.0.11, roles: [control-plane]}\n";
        let workers = "  - {name: 'worker-[08-11]', address: 10.0.1.8, roles: [worker]}\n";
        let text = crate::cli::SPEC.replace(node, &format!("{node}{workers}"));
        spec::parse(&text, "cluster.yaml", Path::new("")).unwrap().spec
    }

    fn left(node: &str, goal: Goal, drifts: &[&str]) -> Left {
        let id = StepId { node: node.try_into().unwrap(), goal: goal.id() };
        let restarts = goal.interrupts().map(|what| what.to_string());
        let drift = |what: &&str| Drift::new(*what, "off", "on");
        let finding = Finding::Drifted(drifts.iter().map(drift).collect());
        let (after, lane) = (Vec::new(), Lane::Free);
        let step = Step { id, goal, after, lane, restarts, transient: false, deadline_s: 60 };
        Left { step, finding }
    }

    #[test]
    fn steps_of_many_nodes_are_listed_once() {
        let swap = || Goal::Host(HostGoal::SwapOff);
        let modules = || KernelModules { modules: ["overlay".to_owned()].into() };
        let load = || Goal::Host(HostGoal::KernelModules(modules()));
        let sysctls = || Goal::Host(HostGoal::Sysctls(Sysctls { values: BTreeMap::new() }));
        let mut steps = vec![left("cp-1", swap(), &["/swapfile"])];
        for node in ["worker-08", "worker-09", "worker-10", "worker-11"] {
            steps.push(left(node, swap(), &["/swapfile"]));
        }
        steps.push(left("worker-08", load(), &["a", "b", "c", "d", "e"]));
        steps.push(left("worker-09", load(), &["a", "b", "c", "d", "e"]));
        steps.push(left("worker-09", sysctls(), &["a"]));
        steps.push(left("worker-08", sysctls(), &["a", "b"]));
        steps.push(left("worker-11", sysctls(), &["c"]));
        let plan = Plan { steps, ..Plan::default() };
        let shown = text(&spec(), &Procedure::BringUp.title("lab"), &plan, Detail::Grouped);
        assert_eq!(
            shown,
            "\
cluster lab: 10 steps to do, 0 hold already

all 5 nodes
  turning swap off
      /swapfile: off -> on

worker-[08-09] (2 nodes)
  loading kernel modules: 5 differences on each

worker-[08-09], worker-11 (3 nodes)
  setting kernel parameters: 1 to 2 differences on each

next: `quorate apply` does this
"
        );
        assert_eq!(
            brief(&spec(), &plan),
            "cp-1, worker-10: 1 step each\nworker-[08-09]: 3 steps each\nworker-11: 2 steps\n"
        );
    }
}
