//! Keeping new pods off a node, or letting them come again, because a person asked for it.

use quorate_proto::goal::{ClusterGoal, Scheduling};
use quorate_proto::{Goal, trust};

use super::{Steps, Title};
use crate::plan::{Blocked, Draft, Observed, Outline, Standing};
use crate::spec::ClusterSpec;

impl Steps for Scheduling {
    fn title(&self, cluster: &str) -> Title {
        let Self { node, unschedulable } = self;
        let (verb, state) =
            if *unschedulable { ("cordon", "unschedulable") } else { ("uncordon", "schedulable") };
        Title {
            command: format!("quorate node {verb} {node}"),
            subject: Some(node.clone()),
            purpose: Some(format!("to {verb} {node}")),
            done: format!("{node} is {verb}ed in cluster {cluster}"),
            idle: format!("{node} is {state} in cluster {cluster} already"),
            ..Title::default()
        }
    }

    fn least_role(&self) -> trust::Role {
        trust::Role::Operator
    }

    /// The check of the goal asks the API server, and refuses a name that no node has.
    fn preconditions(&self, _spec: &ClusterSpec, _observed: &Observed) -> Result<(), Blocked> {
        Ok(())
    }

    fn steps(&self, spec: &ClusterSpec, observed: &Observed) -> Result<Outline, Blocked> {
        let standing = Standing::of(spec, observed)?;
        let mut draft = Draft::new(spec, &standing);
        let goal = Goal::Cluster(ClusterGoal::NodeScheduling(self.clone()));
        draft.add(&standing.seat(spec)?.name, goal, &[]);
        Ok(draft.finish())
    }
}
