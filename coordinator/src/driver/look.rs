//! The looks of a run: each claims the nodes, and waits a while for those that answered before.
//!
//! An agent that is restarted, by a crash or by an upgrade, is back within seconds. Without this a run
//! that looks at that moment would end with its node's steps left over.

use std::collections::BTreeSet;
use std::time::Duration;

use quorate_proto::{NodeName, Term};
use tokio::time::{Instant, sleep};

use super::observe::{Survey, survey};
use super::record::Record;
use super::{DriveError, Request};
use crate::plan::Observed;
use crate::run::{RunEvent, Silent};

/// A machine that reboots may take longer: it is left out, and `apply` again has it.
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_secs(1);

/// Which nodes answered when they were last asked.
pub(super) struct Looks {
    answering: BTreeSet<NodeName>,
}

impl Looks {
    /// After a look that claimed nothing.
    pub(super) fn after(first: &Observed) -> Self {
        Self { answering: answering(first) }
    }

    /// Looks again, and gives nodes that are missed some time to come back.
    pub(super) async fn look(
        &mut self,
        request: &Request,
        term: &Term,
        record: &mut Record<'_>,
    ) -> Result<Survey, DriveError> {
        // A node that was lost in a round was waited for already.
        let lost = |node: &NodeName| record.state().is_silent(node);
        let expected: BTreeSet<NodeName> =
            self.answering.iter().filter(|node| !lost(node)).cloned().collect();
        let began = Instant::now();
        let mut told = false;
        loop {
            let survey = survey(&request.fleet, &request.spec, Some(term)).await;
            let missed = missed(&expected, &survey.observed);
            let goes_on = survey.superseded.is_none()
                && *request.interrupts.borrow() == 0
                && began.elapsed() < PATIENCE;
            if missed.is_empty() || !goes_on {
                self.answering = answering(&survey.observed);
                return Ok(survey);
            }
            if !told {
                record.tell(RunEvent::Missed { silent: missed, seconds: PATIENCE.as_secs() });
                record.flush().map_err(DriveError::Store)?;
                told = true;
            }
            sleep(PAUSE).await;
            record.tick();
        }
    }
}

fn missed(expected: &BTreeSet<NodeName>, observed: &Observed) -> Vec<Silent> {
    let silent = observed.silent().filter(|(node, _)| expected.contains(*node));
    silent.map(|(node, why)| Silent { node: node.clone(), why: why.to_owned() }).collect()
}

fn answering(observed: &Observed) -> BTreeSet<NodeName> {
    let nodes = observed.nodes.keys();
    nodes.filter(|node| observed.facts(node).is_some()).cloned().collect()
}
