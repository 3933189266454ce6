//! Join material is planted in orders and in what agents tell, and looked for in everything that is
//! shown or stored. Only where the world says so: most cases have no time for it.

use std::fmt::Debug;

use quorate::plan::Plan;
use quorate::run::RunEvent;
use quorate_proto::redact::Lines;
use quorate_proto::{Event, Failure, Finding, JoinMaterial, Redactor, RunId, Secret};

use super::network::Order;
use super::rules::Rules;
use super::world::SimCluster;

/// In every secret, and in nothing else.
const PLANTED: &str = "planted";

/// What a run mints.
fn material(run: &RunId) -> JoinMaterial {
    JoinMaterial {
        token: Secret::new(format!("{PLANTED}.token-of-{run}")),
        certificate_key: Secret::new(format!("{PLANTED}-key-of-{run}")),
        ca_pem: None,
    }
}

/// Looks for secrets in what is printed of a value.
pub(super) fn search(world: &mut SimCluster, value: &impl Debug) {
    if world.seeks_secrets {
        judge(world, &format!("{value:?}"));
    }
}

/// Plans are stored and shown as JSON.
pub(super) fn search_plan(world: &mut SimCluster, plan: &Plan) {
    if world.seeks_secrets {
        judge(world, &serde_json::to_string(plan).unwrap_or_default());
    }
}

/// The order whose material the agent keeps out of its ledger, and nobody prints.
pub(super) fn search_order(world: &mut SimCluster, order: &Order) {
    if world.seeks_secrets {
        let sent = order.material.as_ref().map(material);
        let ledger = serde_json::to_string(&*order.goal).unwrap_or_default();
        let texts =
            format!("{:?} {:?} {:?} {ledger} {sent:?}", order.step, order.operation, order.term);
        judge(world, &texts);
    }
}

/// An event as it is stored.
pub(super) fn search_event(world: &mut SimCluster, event: &RunEvent) {
    if world.seeks_secrets {
        judge(world, &serde_json::to_string(event).unwrap_or_default());
    }
}

/// The events of an operation's end as the driver passes them on. What failed prints the command
/// line, and the token with it.
pub(super) fn events(
    world: &SimCluster,
    rules: Rules,
    run: &RunId,
    finding: Finding,
    failure: Option<Failure>,
) -> Vec<Event> {
    if !world.seeks_secrets {
        return vec![Event::Ended { finding, failure }];
    }
    let material = material(run);
    let line = format!(
        "kubeadm join --token {} --certificate-key {}",
        material.token.expose(),
        material.certificate_key.expose()
    );
    let finding = match finding {
        Finding::Unknown { why } => Finding::Unknown { why: format!("{why}: {line}") },
        Finding::Satisfied | Finding::Drifted(_) | Finding::Refused { .. } => finding,
    };
    let failure = failure.map(|failure| Failure { output: vec![line.clone()], ..failure });
    let events = vec![Event::Output { line }, Event::Ended { finding, failure }];
    if !rules.secrets_cleaned {
        return events;
    }
    let mut lines = Lines::new(Redactor::of(&material));
    events.into_iter().map(|event| lines.event(event)).collect()
}

fn judge(world: &mut SimCluster, text: &str) {
    if let Some(at) = text.find(PLANTED) {
        let around: String = text.chars().skip(at.saturating_sub(40)).take(80).collect();
        world.violations.push(format!("a secret is recorded: ...{around}..."));
    }
}
