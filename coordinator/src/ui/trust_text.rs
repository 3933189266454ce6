//! `quorate trust` as text, and as metrics in the Prometheus text format.

use quorate_proto::NodeName;

use super::{line, utc};
use crate::fleet::{FleetError, Pushed};
use crate::site::{Kept, RenewError, Renewed, TrustStanding};

/// All of it, what ends first is not sorted first: who asks looks for a name.
pub fn text(standing: &TrustStanding) -> String {
    let mut text = format!(
        "site {}, trust bundle of generation {}, {} denied\n\n",
        standing.site, standing.generation, standing.denied
    );
    if standing.rotates {
        text += "the roots are being changed; `quorate trust rotate --dry-run` says how far that is\n\n";
    }
    for authority in &standing.authorities {
        line(&mut text, format_args!("{:<30} ends {}", authority.name, moment(authority.ends)));
    }
    text += "\nnodes' certificates\n";
    for held in &standing.nodes {
        let (state, key) = (held.state.as_str(), &held.key);
        line(
            &mut text,
            format_args!(
                "  {:<20} {state:<8} ends {}  key {key}",
                held.node.as_str(),
                moment(held.ends)
            ),
        );
    }
    if !standing.operators.is_empty() {
        text += "\noperators' certificates\n";
    }
    for held in &standing.operators {
        let (who, key) = (format!("{} ({})", held.name, held.role), &held.key);
        line(&mut text, format_args!("  {who:<29} ends {}  key {key}", moment(held.ends)));
    }
    text += "\nwhat the nodes keep\n";
    for kept in &standing.kept {
        let node = kept.node.as_str();
        match (&kept.generation, &kept.why) {
            (Some(generation), _) => {
                let shown = kept.certificate.as_ref().map(|shown| {
                    format!(", shows serial {} until {}", shown.serial, moment(shown.ends))
                });
                let shown = shown.unwrap_or_default();
                line(&mut text, format_args!("  {node:<20} generation {generation}{shown}"));
            }
            (None, why) => {
                let why = why.as_deref().unwrap_or("it does not say");
                line(&mut text, format_args!("  {node:<20} not known: {why}"));
            }
        }
    }
    let late = |kept: &&Kept| kept.certificate.as_ref().is_some_and(|shown| shown.renew);
    for kept in standing.kept.iter().filter(late) {
        let node = &kept.node;
        line(
            &mut text,
            format_args!(
                "warning: two thirds of {node}'s certificate are over; run `quorate trust renew {node}`"
            ),
        );
    }
    text
}

/// What became of renewals.
pub fn renewed(renewed: &[(NodeName, Result<Renewed, RenewError>)]) -> String {
    let mut text = String::new();
    for (node, answer) in renewed {
        match answer {
            Ok(Renewed::Until(ends)) => {
                line(
                    &mut text,
                    format_args!("{node}: has a new certificate, until {}", moment(*ends)),
                );
            }
            Ok(Renewed::NotDue(ends)) => {
                line(
                    &mut text,
                    format_args!("{node}: keeps its certificate, until {}", moment(*ends)),
                );
            }
            Err(error) => line(
                &mut text,
                format_args!(
                    "{node}: was not renewed: {}; run `quorate trust renew {node}` once that is mended",
                    error.why()
                ),
            ),
        }
    }
    text
}

/// For a file that node_exporter reads: when what ends.
pub fn metrics(standing: &TrustStanding) -> String {
    let mut text = "# HELP quorate_certificate_expiry_seconds When a certificate ends, in seconds since 1970.\n\
                    # TYPE quorate_certificate_expiry_seconds gauge\n".to_owned();
    let mut gauge = |kind: &str, name: &str, ends: i64| {
        // Names have letters, digits, dots and hyphens: nothing in them needs escaping.
        let labels = format!("kind=\"{kind}\",name=\"{name}\"");
        line(&mut text, format_args!("quorate_certificate_expiry_seconds{{{labels}}} {ends}"));
    };
    for authority in &standing.authorities {
        gauge("authority", authority.name, authority.ends);
    }
    for held in standing.nodes.iter().filter(|held| held.state.is_of_use()) {
        gauge("node", held.node.as_str(), held.ends);
    }
    text += "# HELP quorate_trust_generation Of the trust bundle; without a node, the site's own.\n\
             # TYPE quorate_trust_generation gauge\n";
    line(&mut text, format_args!("quorate_trust_generation {}", standing.generation));
    for kept in &standing.kept {
        if let Some(generation) = kept.generation {
            let node = &kept.node;
            line(
                &mut text,
                format_args!("quorate_trust_generation{{node=\"{node}\"}} {generation}"),
            );
        }
    }
    text
}

/// What became of a bundle.
pub fn pushed(newest: u64, pushed: &[(NodeName, Result<Pushed, FleetError>)]) -> String {
    let mut text = String::new();
    for (node, answer) in pushed {
        match answer {
            Ok(Pushed::Given(_)) => {
                line(&mut text, format_args!("{node}: has generation {newest} now"));
            }
            Ok(Pushed::Had(_)) => line(&mut text, format_args!("{node}: had generation {newest}")),
            Ok(Pushed::Ahead(kept)) => line(
                &mut text,
                format_args!(
                    "{node}: keeps generation {kept}, newer than the site's {newest}; the state \
                     folder was set back: restore the newest backup"
                ),
            ),
            Err(error) => line(
                &mut text,
                format_args!(
                    "{node}: trusts as before, as it was not reached: {}; run `quorate trust push` \
                     once it answers",
                    error.why()
                ),
            ),
        }
    }
    text
}

fn moment(seconds: i64) -> String {
    utc(u64::try_from(seconds).unwrap_or_default().saturating_mul(1000))
}

#[cfg(test)]
mod tests {
    use quorate_proto::trust::{Role, SiteId};

    use super::*;
    use crate::site::{Ending, NodeStanding, OperatorStanding, Shown};
    use crate::store::CertificateState;

    fn standing() -> TrustStanding {
        let node = || NodeName::try_from("cp-1").unwrap();
        TrustStanding {
            site: SiteId::random(),
            generation: 3,
            rotates: true,
            denied: 1,
            authorities: vec![Ending { name: "nodes-root", ends: 300 }],
            nodes: vec![
                NodeStanding {
                    node: node(),
                    state: CertificateState::Current,
                    key: "ab".repeat(32),
                    issued: 0,
                    ends: 90,
                },
                NodeStanding {
                    node: node(),
                    state: CertificateState::Past,
                    key: "cd".repeat(32),
                    issued: 0,
                    ends: 10,
                },
            ],
            operators: vec![OperatorStanding {
                name: "alice".to_owned(),
                role: Role::Viewer,
                key: "ef".repeat(32),
                issued: 0,
                ends: 8,
            }],
            kept: vec![
                Kept {
                    node: node(),
                    generation: Some(2),
                    certificate: Some(Shown { serial: "0a1b".to_owned(), ends: 90, renew: true }),
                    why: None,
                },
                Kept {
                    node: NodeName::try_from("cp-2").unwrap(),
                    generation: None,
                    certificate: None,
                    why: Some("no answer".to_owned()),
                },
            ],
        }
    }

    #[test]
    fn metrics_have_a_line_for_each_end_that_matters() {
        let text = metrics(&standing());
        let values: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(
            values,
            [
                "quorate_certificate_expiry_seconds{kind=\"authority\",name=\"nodes-root\"} 300",
                "quorate_certificate_expiry_seconds{kind=\"node\",name=\"cp-1\"} 90",
                "quorate_trust_generation 3",
                "quorate_trust_generation{node=\"cp-1\"} 2",
            ]
        );
    }

    #[test]
    fn everybody_and_every_end_is_told() {
        let text = text(&standing());
        for told in [
            "generation 3, 1 denied",
            "the roots are being changed",
            "alice (viewer)",
            "past",
            &"cd".repeat(32),
            "1970-01-01 00:01:30",
            "cp-1                 generation 2, shows serial 0a1b until 1970-01-01 00:01:30",
            "cp-2                 not known: no answer",
            "run `quorate trust renew cp-1`",
        ] {
            assert!(text.contains(told), "{told}: {text}");
        }
    }
}
