//! `quorate verify` as text: each difference from the specification, by node, as a sentence.

use quorate_proto::{NodeFacts, NodeName};

use super::{line, plural, summary};
use crate::plan::{Findings, Observed, Outline};
use crate::spec::ClusterSpec;

/// Nodes that do not answer, one a line.
pub fn silent(observed: &Observed) -> String {
    observed.silent().map(|(node, why)| dead(node, why)).collect()
}

fn dead(node: &NodeName, why: &str) -> String {
    format!("{node} does not answer: {why}\n")
}

/// All of it; the last line is the result.
pub fn text(
    spec: &ClusterSpec,
    outline: &Outline,
    findings: &Findings,
    observed: &Observed,
) -> String {
    let mut text = String::new();
    let mut drifts = 0;
    for node in &spec.nodes {
        if let Some(why) = observed.silence(&node.name) {
            text += &dead(&node.name, why);
            continue;
        }
        for (step, finding) in outline.differing(findings) {
            if step.id.node == node.name {
                drifts += 1;
                line(
                    &mut text,
                    format_args!("{}: it does not hold that {}", node.name, step.goal.done()),
                );
                text += &summary::found(finding, "    ");
            }
        }
    }
    let unspecified: Vec<&NodeFacts> = observed.unspecified().collect();
    for node in &unspecified {
        line(
            &mut text,
            format_args!(
                "node {0} is in the cluster and not in cluster.yaml\n    hint: put it back into the file, or run \
                 `quorate node remove {0}`",
                node.name
            ),
        );
    }
    let checked = plural(findings.len(), "check");
    let silent = observed.silent().count();
    text + &if drifts == 0 && silent == 0 && unspecified.is_empty() {
        format!("cluster {} is as specified: {checked}, no difference\n", spec.name)
    } else {
        format!(
            "cluster {} is not as specified: {} of {checked} do not hold, {} not answer\n\
             next: `quorate plan` shows what would mend it; start the agents that do not answer\n",
            spec.name,
            drifts,
            match silent {
                1 => "1 node does".to_owned(),
                several => format!("{several} nodes do"),
            },
        )
    }
}
