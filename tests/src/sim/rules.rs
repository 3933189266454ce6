//! The rules of the design that can be left out, to see that each is needed.

use quorate::plan::{Blocked, Findings, Holder, Lane, Observed, Outline, Plan, pending};
use quorate::procedure::Procedure;
use quorate::run::machine::Planner;
use quorate::spec::ClusterSpec;

/// Left out, each lets something happen that must not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// A run starts from the operations under way.
    pub running_first: bool,
    /// A silent node holds a place in its lanes.
    pub silent_slots: bool,
    /// One change of etcd's membership at a time.
    pub membership_lane: bool,
    /// Agents refuse older terms.
    pub terms: bool,
    /// A run claims its nodes with its term when it looks.
    pub claims: bool,
    /// An agent that restarts knows what it was at.
    pub ledger: bool,
    /// Only a check says that a goal holds.
    pub only_checks: bool,
    /// No cluster is founded while a node is silent.
    pub founding_guard: bool,
    /// The plan projects the membership before it changes.
    pub membership_gate: bool,
    /// The agent looks at etcd once more right before it changes the membership.
    pub last_look: bool,
    /// What agents tell is cleaned of the run's secrets before it is recorded.
    pub secrets_cleaned: bool,
}

impl Rules {
    /// All of them.
    pub const ALL: Self = Self {
        running_first: true,
        silent_slots: true,
        membership_lane: true,
        terms: true,
        claims: true,
        ledger: true,
        only_checks: true,
        founding_guard: true,
        membership_gate: true,
        last_look: true,
        secrets_cleaned: true,
    };
}

/// Plans as `Procedure` does, without the rules that are left out.
#[derive(Debug)]
pub(super) struct Lenient {
    pub procedure: Procedure,
    pub rules: Rules,
}

impl Planner for Lenient {
    fn outline(&self, spec: &ClusterSpec, observed: &Observed) -> Result<Outline, Blocked> {
        if self.rules.founding_guard {
            return self.procedure.outline(spec, observed);
        }
        let mut spec = spec.clone();
        spec.nodes.retain(|node| observed.silence(&node.name).is_none());
        self.procedure.outline(&spec, observed)
    }

    fn pending(
        &self,
        outline: &Outline,
        findings: &Findings,
        observed: &Observed,
    ) -> Result<Plan, Blocked> {
        let mut plan = pending(outline, findings, observed)?;
        if !self.rules.silent_slots {
            plan.held.retain(|slot| slot.by != Holder::Silence);
        }
        if !self.rules.membership_lane {
            let steps = plan.steps.iter_mut().map(|left| &mut left.step);
            steps.filter(|step| step.lane == Lane::Membership).for_each(|step| {
                step.lane = Lane::Free;
            });
        }
        Ok(plan)
    }
}
