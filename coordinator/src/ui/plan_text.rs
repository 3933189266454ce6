//! `quorate plan` as text: on which nodes what will change and why, what it interrupts, what is held
//! back, and what etcd can bear before and after.

mod grouped;

use quorate_proto::{Drift, Finding};

use super::{line, plural};
use crate::plan::{Count, Left, Plan, Tolerance};
use crate::procedure::Title;
use crate::spec::ClusterSpec;

/// How much of a plan is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// What is equal on several nodes once.
    Grouped,
    /// Each step of each node.
    Full,
}

/// The whole plan. It ends with a line that says how to go on.
pub fn text(spec: &ClusterSpec, title: &Title, plan: &Plan, detail: Detail) -> String {
    if plan.is_complete() {
        let hold = plural(plan.holding.len(), "step");
        return format!("nothing to do: {} ({hold} hold)\n{}", title.idle, held_back(plan));
    }
    let next = if plan.steps.is_empty() && plan.under_way.is_empty() {
        "start the machines that do not answer, then run the same command again".to_owned()
    } else {
        format!("`{}` does this", title.command)
    };
    let (left, holding) = (plural(plan.steps.len(), "step"), plan.holding.len());
    let head = format!("cluster {}: {left} to do, {holding} hold already\n", spec.name);
    let steps = match detail {
        Detail::Grouped => grouped::steps(spec, plan),
        Detail::Full => each(spec, plan),
    };
    format!("{head}{steps}{}\nnext: {next}\n", around(plan))
}

fn each(spec: &ClusterSpec, plan: &Plan) -> String {
    let mut text = String::new();
    for node in &spec.nodes {
        let steps: Vec<&Left> =
            plan.steps.iter().filter(|left| left.step.id.node == node.name).collect();
        if !steps.is_empty() {
            line(&mut text, format_args!("\n{} ({})", node.name, node.address));
            for left in steps {
                line(&mut text, format_args!("  {}", doing(left)));
                text += &drifts(left).iter().map(|drift| shown(drift)).collect::<String>();
            }
        }
    }
    text
}

/// The same in a few lines, before it is carried out.
pub fn brief(spec: &ClusterSpec, plan: &Plan) -> String {
    grouped::counts(spec, plan) + &around(plan)
}

/// What is held back, and what etcd bears.
fn around(plan: &Plan) -> String {
    held_back(plan) + &plan.tolerance.as_ref().map(etcd).unwrap_or_default()
}

/// What the specification leaves out, and what therefore holds.
pub fn defaults(defaults: &[(String, String)]) -> String {
    if defaults.is_empty() {
        return String::new();
    }
    let lines = defaults.iter().map(|(path, value)| format!("  {path}: {value}\n"));
    format!("\ndefaults, where the specification says nothing:\n{}", lines.collect::<String>())
}

/// What the node of a step does, and what that interrupts.
fn doing(left: &Left) -> String {
    let restarts = left.step.restarts.as_ref().map(|what| format!(" ({what})"));
    format!("{}{}", left.step.goal.doing(), restarts.unwrap_or_default())
}

/// Why a step is left to do, as far as that can be told before the steps that it waits for.
fn drifts(left: &Left) -> Vec<String> {
    let text = |Drift { what, found, wanted, .. }: &Drift| format!("{what}: {found} -> {wanted}");
    match &left.finding {
        // The step is for the time of the run alone; what is found now says nothing about it.
        Finding::Drifted(_) if left.step.transient => Vec::new(),
        Finding::Drifted(drifts) => drifts.iter().map(text).collect(),
        Finding::Satisfied | Finding::Unknown { .. } | Finding::Refused { .. } => Vec::new(),
    }
}

fn shown(drift: &str) -> String {
    format!("      {drift}\n")
}

fn held_back(plan: &Plan) -> String {
    let mut text: String = plan.warnings.iter().map(|warning| format!("  {warning}\n")).collect();
    if !plan.withheld.is_empty() {
        let mut silent: Vec<&str> =
            plan.withheld.iter().map(|withheld| withheld.silent.as_str()).collect();
        silent.sort_unstable();
        silent.dedup();
        let steps = plural(plan.withheld.len(), "step");
        line(
            &mut text,
            format_args!(
                "  {steps} cannot be done before {} answers again; if a machine is gone for ever, take \
                 it out of the specification and run `quorate node remove NAME`",
                silent.join(", ")
            ),
        );
    }
    if text.is_empty() { text } else { format!("\nheld back or to be known:\n{text}") }
}

fn etcd(tolerance: &Tolerance) -> String {
    let side = |count: &Count| {
        let voters = plural(count.voters, "voter");
        format!("{voters}, of which {} may fail", count.tolerance())
    };
    format!("\netcd: now {}; afterwards {}\n", side(&tolerance.before), side(&tolerance.after))
}
