//! Join material is planted in orders and in what agents tell, and looked for in everything that is
//! shown or stored. Only where the world says so: most cases have no time for it.

use std::fmt::Debug;

use quorate::plan::Plan;
use quorate_proto::redact::Lines;
use quorate_proto::{Event, Failure, Finding, JoinMaterial, Redactor, RunId, Secret};

use super::network::{Order, Told};
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

/// An answer as it is recorded; what failed prints the command line, and the token with it.
pub(super) fn record(world: &mut SimCluster, rules: Rules, run: &RunId, told: &Told) {
    let Told::Ended { finding, claims_success, transient } = told else { return };
    if !world.seeks_secrets {
        return;
    }
    let material = material(run);
    let line = format!(
        "kubeadm join --token {} --certificate-key {}",
        material.token.expose(),
        material.certificate_key.expose()
    );
    let failure =
        Failure { output: vec![line.clone()], transient: *transient, ..Failure::default() };
    let finding = match finding {
        Finding::Unknown { why } => Finding::Unknown { why: format!("{why}: {line}") },
        Finding::Satisfied | Finding::Drifted(_) | Finding::Refused { .. } => finding.clone(),
    };
    let failure = Some(failure).filter(|_| !claims_success);
    let events = [Event::Output { line }, Event::Ended { finding, failure }];
    let mut lines = Lines::new(Redactor::of(&material));
    for event in events {
        let event = if rules.secrets_cleaned { lines.event(event) } else { event };
        judge(world, &serde_json::to_string(&event).unwrap_or_default());
    }
}

fn judge(world: &mut SimCluster, text: &str) {
    if text.contains(PLANTED) {
        let around = text.find(PLANTED).map(|at| text.chars().skip(at.saturating_sub(40)).take(80));
        let around: String = around.into_iter().flatten().collect();
        world.violations.push(format!("a secret is recorded: ...{around}..."));
    }
}
