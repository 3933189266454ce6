//! `quorate plan` as text: for each node what will change and why, what it interrupts, what is held
//! back, and what etcd can bear before and after.

use quorate_proto::{Drift, Finding};

use super::{line, plural};
use crate::plan::{Count, Left, Plan, Tolerance};
use crate::procedure::Title;
use crate::spec::ClusterSpec;

/// The whole plan. It ends with a line that says how to go on.
pub fn text(spec: &ClusterSpec, title: &Title, plan: &Plan) -> String {
    if plan.is_complete() {
        let hold = plural(plan.holding.len(), "step");
        return format!("nothing to do: {} ({hold} hold)\n{}", title.idle, held_back(plan));
    }
    let next = if plan.steps.is_empty() && plan.under_way.is_empty() {
        "start the machines that do not answer, then run the same command again".to_owned()
    } else {
        format!("`{}` does this", title.command)
    };
    whole(spec, plan) + &format!("\nnext: {next}\n")
}

fn whole(spec: &ClusterSpec, plan: &Plan) -> String {
    let (left, holding) = (plural(plan.steps.len(), "step"), plan.holding.len());
    let mut text = format!("cluster {}: {left} to do, {holding} hold already\n", spec.name);
    for node in &spec.nodes {
        let steps: Vec<&Left> =
            plan.steps.iter().filter(|left| left.step.id.node == node.name).collect();
        if !steps.is_empty() {
            line(&mut text, format_args!("\n{} ({})", node.name, node.address));
            text += &steps.into_iter().map(step).collect::<String>();
        }
    }
    text += &held_back(plan);
    if let Some(tolerance) = &plan.tolerance {
        text += &etcd(tolerance);
    }
    text
}

/// The same in a few lines, before it is carried out.
pub fn brief(spec: &ClusterSpec, plan: &Plan) -> String {
    let mut text = String::new();
    for node in &spec.nodes {
        let of_node = plan.steps.iter().filter(|left| left.step.id.node == node.name);
        let steps: Vec<&Left> = of_node.collect();
        let mut restarts: Vec<&str> = Vec::new();
        for what in steps.iter().filter_map(|left| left.step.restarts.as_deref()) {
            if !restarts.contains(&what) {
                restarts.push(what);
            }
        }
        if !steps.is_empty() {
            let restarts = if restarts.is_empty() {
                String::new()
            } else {
                format!(", {}", restarts.join(", "))
            };
            line(
                &mut text,
                format_args!("{}: {}{restarts}", node.name, plural(steps.len(), "step")),
            );
        }
    }
    text += &held_back(plan);
    if let Some(tolerance) = &plan.tolerance {
        text += &etcd(tolerance);
    }
    text
}

/// What the specification leaves out, and what therefore holds.
pub fn defaults(defaults: &[(String, String)]) -> String {
    if defaults.is_empty() {
        return String::new();
    }
    let lines = defaults.iter().map(|(path, value)| format!("  {path}: {value}\n"));
    format!("\ndefaults, where the specification says nothing:\n{}", lines.collect::<String>())
}

fn step(left: &Left) -> String {
    let restarts = left.step.restarts.as_ref().map(|what| format!(" ({what})"));
    let head = format!("  {}{}\n", left.step.goal.doing(), restarts.unwrap_or_default());
    match &left.finding {
        // The step is for the time of the run alone; what is found now says nothing about it.
        Finding::Satisfied => head,
        Finding::Drifted(_) if left.step.transient => head,
        Finding::Drifted(drifts) => head + &drifts.iter().map(drift).collect::<String>(),
        // It can be told once the steps before it are done.
        Finding::Unknown { .. } | Finding::Refused { .. } => head,
    }
}

fn drift(drift: &Drift) -> String {
    format!("      {}: {} -> {}\n", drift.what, drift.found, drift.wanted)
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
