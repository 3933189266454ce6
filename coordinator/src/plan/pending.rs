//! Which steps of an outline are left, once every node has checked its goals.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use quorate_proto::goal::{ClusterGoal, Material};
use quorate_proto::{Finding, Goal, NodeFacts, NodeName, StepId, UnderWay};

use super::guard::in_use;
use super::lanes::{full_of_silence, held_slots};
use super::left::{HeldSlot, Left, Plan, Tolerance, Warning, Withheld};
use super::membership::{self, Gate};
use super::{Blocked, Findings, Lane, Observed, Outline, Step, rolling};

/// Works out what is left.
///
/// # Errors
/// Where a goal must not be made to hold, where a change of etcd's membership must not begin, or
/// where a check could not tell and nothing that is left would help it.
pub fn pending(
    outline: &Outline,
    findings: &Findings,
    observed: &Observed,
) -> Result<Plan, Blocked> {
    nothing_refused(outline, findings)?;
    in_use::check(outline, findings, observed)?;
    let under_way = under_way(observed);
    let before = edges(outline);
    let marks = mark(outline, &before, findings, observed);
    tell_all(outline, &before, &marks, &under_way)?;

    let steps = outline.steps.iter().zip(&marks);
    let left: Vec<&Step> =
        steps.clone().filter(|(_, mark)| mark.is_left()).map(|(step, _)| step).collect();
    let holding: Vec<&Step> = steps
        .clone()
        .filter(|(_, mark)| matches!(mark, Mark::Holds))
        .map(|(step, _)| step)
        .collect();
    let gate = membership::gate(&left, &holding, observed)?;
    let held = held_slots(outline, observed, &under_way);

    let mut plan = Plan {
        tolerance: (gate.before != gate.after)
            .then_some(Tolerance { before: gate.before, after: gate.after }),
        warnings: warnings(&held, &left, observed, &under_way),
        held,
        under_way,
        ..Plan::default()
    };
    for (step, mark) in steps {
        match mark {
            Mark::Holds => plan.holding.push(step.id.clone()),
            Mark::Withheld(silent) => {
                plan.withheld.push(Withheld { step: step.id.clone(), silent: silent.clone() });
            }
            Mark::Left(finding) => {
                plan.steps.push(Left { step: step.clone(), finding: finding.clone() });
            }
        }
    }
    rolling::check(&plan.steps, observed)?;
    rolling::wait_for_running(&mut plan, observed);
    connect(&mut plan.steps, &gate, observed);
    Ok(plan)
}

/// What is to be done about one step.
enum Mark {
    Holds,
    Left(Finding),
    Withheld(NodeName),
}

impl Mark {
    fn is_left(&self) -> bool {
        matches!(self, Self::Left(_))
    }
}

/// For each step the places of those that it comes after.
fn edges(outline: &Outline) -> Vec<Vec<usize>> {
    let places: BTreeMap<&StepId, usize> =
        outline.steps.iter().enumerate().map(|(at, step)| (&step.id, at)).collect();
    let before = |step: &Step| step.after.iter().filter_map(|id| places.get(id).copied()).collect();
    outline.steps.iter().map(before).collect()
}

fn mark(
    outline: &Outline,
    edges: &[Vec<usize>],
    findings: &Findings,
    observed: &Observed,
) -> Vec<Mark> {
    let mut marks: Vec<Mark> = Vec::with_capacity(outline.steps.len());
    let mut withheld_above: Vec<Option<NodeName>> = Vec::with_capacity(outline.steps.len());
    for (step, before) in outline.steps.iter().zip(edges) {
        let blocked = before.iter().find_map(|at| match marks.get(*at) {
            Some(Mark::Withheld(node)) => Some(node.clone()),
            Some(Mark::Holds | Mark::Left(_)) | None => None,
        });
        let above = blocked
            .clone()
            .or_else(|| before.iter().find_map(|at| withheld_above.get(*at).cloned().flatten()));
        let finding = findings
            .get(&step.id)
            .cloned()
            .unwrap_or_else(|| Finding::Unknown { why: "its node did not check it".to_owned() });
        let unknown = matches!(finding, Finding::Unknown { .. });
        let mark = if observed.silence(&step.id.node).is_some() {
            Mark::Withheld(step.id.node.clone())
        } else if finding.is_satisfied() && !step.transient {
            Mark::Holds
        } else if let Some(silent) = blocked.filter(|_| !step.clears()) {
            Mark::Withheld(silent)
        } else if let Some(silent) = above.clone().filter(|_| unknown && !step.transient) {
            Mark::Withheld(silent)
        } else {
            Mark::Left(finding)
        };
        marks.push(mark);
        withheld_above.push(above);
    }
    open_and_clear(outline, &mut marks);
    marks
}

/// An offer is left to do only while someone needs it, and a withdrawal only with a step that
/// offers or where there is something to withdraw.
fn open_and_clear(outline: &Outline, marks: &mut [Mark]) {
    let steps = || outline.steps.iter().enumerate();
    let is_left = |marks: &[Mark], at: usize| marks.get(at).is_some_and(Mark::is_left);
    for (at, offer) in steps().filter(|(_, step)| step.transient && !step.clears()) {
        let needed = steps().any(|(other, step)| {
            !step.transient && is_left(marks, other) && step.after.contains(&offer.id)
        });
        if let Some(mark) = marks.get_mut(at).filter(|mark| mark.is_left() && !needed) {
            *mark = Mark::Holds;
        }
    }
    let offered = steps().any(|(at, step)| step.goal.creates_token() && is_left(marks, at));
    for (at, _) in steps().filter(|(_, step)| step.clears()) {
        let clear = |mark: &&mut Mark| matches!(mark, Mark::Left(Finding::Satisfied));
        if let Some(mark) = marks.get_mut(at).filter(|mark| !offered && clear(mark)) {
            *mark = Mark::Holds;
        }
    }
}

/// What only a person can mend stops the whole run, before anything is changed on any node.
fn nothing_refused(outline: &Outline, findings: &Findings) -> Result<(), Blocked> {
    let mut refused: Vec<(NodeName, String)> = Vec::new();
    for step in &outline.steps {
        let Some(Finding::Refused { why }) = findings.get(&step.id) else { continue };
        let reason = (step.id.node.clone(), why.clone());
        // Several goals of a node may tell of the same data.
        if !refused.contains(&reason) {
            refused.push(reason);
        }
    }
    if refused.is_empty() { Ok(()) } else { Err(Blocked::Refused(refused)) }
}

/// Refuses a step that nobody can judge: neither will a step before it bring an answer, nor the
/// operation that its node is at.
fn tell_all(
    outline: &Outline,
    edges: &[Vec<usize>],
    marks: &[Mark],
    under_way: &BTreeMap<NodeName, UnderWay>,
) -> Result<(), Blocked> {
    let mut awaits: Vec<bool> = Vec::with_capacity(marks.len());
    for ((step, before), mark) in outline.steps.iter().zip(edges).zip(marks) {
        let hope = before
            .iter()
            .any(|at| awaits.get(*at) == Some(&true) || marks.get(*at).is_some_and(Mark::is_left))
            || under_way.contains_key(&step.id.node);
        if let Mark::Left(Finding::Unknown { why }) = mark
            && !hope
            && !step.transient
        {
            return Err(Blocked::Untold { step: step.id.clone(), why: why.clone() });
        }
        awaits.push(hope);
    }
    Ok(())
}

fn under_way(observed: &Observed) -> BTreeMap<NodeName, UnderWay> {
    let nodes = observed.nodes.keys();
    let busy = |node: &NodeName| Some((node.clone(), observed.facts(node)?.under_way.clone()?));
    nodes.filter_map(busy).collect()
}

fn warnings(
    held: &[HeldSlot],
    left: &[&Step],
    observed: &Observed,
    under_way: &BTreeMap<NodeName, UnderWay>,
) -> Vec<Warning> {
    let silent = observed
        .silent()
        .map(|(node, why)| Warning::Silent { node: node.clone(), why: why.to_owned() });
    let held = full_of_silence(held, left);
    let busy = under_way.iter().map(|(node, operation)| Warning::UnderWay {
        node: node.clone(),
        goal: operation.goal.clone(),
    });
    let removed = left.iter().find_map(|step| step.removes());
    let stays = |node: &&NodeFacts| removed.is_none_or(|it| it.as_str() != node.name);
    let unspecified = observed
        .unspecified()
        .filter(stays)
        .map(|node| Warning::Unspecified { node: node.name.clone(), ready: node.ready });
    let removed = removed.cloned().map(|node| Warning::MachineKept { node });
    silent.chain(held).chain(busy).chain(unspecified).chain(removed).collect()
}

/// Leaves only edges between steps of the plan, and settles what depends on who is left.
fn connect(steps: &mut Vec<Left>, gate: &Gate, observed: &Observed) {
    let ids: Vec<StepId> = steps.iter().map(|left| left.step.id.clone()).collect();
    let known: BTreeSet<&StepId> = ids.iter().collect();
    let downloads = |step: &Step| {
        !step.goal.creates_token() && step.goal.material() == Material::TokenAndCertificates
    };
    let download = steps.iter().any(|left| downloads(&left.step));
    for Left { step, .. } in steps.iter_mut() {
        step.after.retain(|id| known.contains(id));
        if let Goal::Cluster(ClusterGoal::JoinOffered(offer)) = &mut step.goal {
            offer.certificates = download;
        }
        if step.lane == Lane::Membership && !gate.first.contains(&step.id) {
            step.after.extend(gate.first.iter().cloned());
        }
    }
    rolling::order(steps, observed);
    sort(steps);
}

/// Moves each step behind those that it comes after, and no further.
fn sort(steps: &mut Vec<Left>) {
    let mut rest: VecDeque<Left> = std::mem::take(steps).into();
    let mut placed: BTreeSet<StepId> = BTreeSet::new();
    let is_ready = |left: &Left, placed: &BTreeSet<StepId>| {
        left.step.after.iter().all(|id| placed.contains(id))
    };
    while let Some(at) = rest.iter().position(|left| is_ready(left, &placed)) {
        let Some(next) = rest.remove(at) else { break };
        placed.insert(next.step.id.clone());
        steps.push(next);
    }
    // Steps that waited for each other would be left: the engine would say that none started.
    steps.extend(rest);
}
