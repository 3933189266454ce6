//! Certificates and TLS, B31 to B49: what an agent takes of those who call it, and an operator of those
//! who answer. What is shown here no code of the product would make. Which cases are shown elsewhere, or do
//! not apply, stands in docs/SECURITY.md.

use std::time::Duration;

use quorate_proto::trust::{Role, Roots, SiteId, enrol_server_config};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyUsagePurpose, SanType,
};

use super::agent::{Agent, Presented, Signer, alice, dial, node};
use super::coordinator::HOUR;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);

/// The object identifiers of what a certificate must carry once.
const ALTERNATIVE_NAME: [u64; 4] = [2, 5, 29, 17];
const EXTENDED_KEY_USAGE: [u64; 4] = [2, 5, 29, 37];
/// Of an extension that nobody knows.
const UNKNOWN: [u64; 7] = [1, 3, 6, 1, 4, 1, 99_999];

/// A case, what is shown in it, and whether it is taken.
type Case = (&'static str, Presented, bool);

fn with(
    mut params: CertificateParams,
    change: impl Fn(&mut CertificateParams),
) -> CertificateParams {
    change(&mut params);
    params
}

fn authority(name: &str, below: u8) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(below));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

/// What is as wrong at a client as at a server.
fn of_either_end(agent: &Agent, of_operators: bool) -> Vec<Case> {
    let (signer, root) = if of_operators {
        (agent.operators(), agent.root_signers().0)
    } else {
        (agent.nodes(), agent.root_signers().1)
    };
    let good = || if of_operators { agent.operator_params() } else { agent.node_params() };
    let sign = |change: &dyn Fn(&mut CertificateParams)| signer.sign(&with(good(), change));
    let extended = |oid: &[u64], critical| {
        sign(&|params| {
            let mut extension = CustomExtension::from_oid_content(oid, vec![0x30, 0]);
            extension.set_criticality(critical);
            params.custom_extensions.push(extension);
        })
    };
    let now = agent.now;

    // Fifty authorities of one name, none of which signed the next: each is tried.
    let stranger = || Signer::stranger(authority("maze", 50));
    let mut maze = stranger().sign(&good());
    maze.chain.extend((1..50).flat_map(|_| stranger().chain));
    let mut large = signer.sign(&good());
    let issuing = large.chain[1].clone();
    large.chain.extend((0..3_000).map(|_| issuing.clone()));
    let mut cut = signer.sign(&good());
    cut.chain.truncate(1);
    let leaf_as_authority = with(good(), |params| {
        params.distinguished_name.push(DnType::CommonName, "no authority");
    });
    let other_name = if of_operators { "operator:bob:role:viewer" } else { "node:cp-2" };
    vec![
        ("the good one", sign(&|_| {}), true),
        ("signed by the root itself", root.sign(&good()), true),
        (
            "B34 a leaf that is an authority",
            sign(&|params| {
                params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            }),
            false,
        ),
        ("B34 a leaf as an authority", signer.delegate(leaf_as_authority).sign(&good()), false),
        ("B34 a longer path", signer.delegate(authority("below", 0)).sign(&good()), false),
        ("B34 no issuing authority", cut, false),
        ("B35 self-signed", Presented::self_signed(&good()), false),
        ("B35 the root as a leaf", root.itself(), false),
        ("B35 the issuing authority as a leaf", signer.itself(), false),
        (
            "B37 a second name",
            sign(&|params| {
                params.subject_alt_names.push(agent.urn(other_name));
            }),
            false,
        ),
        (
            "B37 the same name twice",
            sign(&|params| {
                let name = params.subject_alt_names[0].clone();
                params.subject_alt_names.push(name);
            }),
            false,
        ),
        (
            "B37 a name in the subject alone",
            sign(&|params| {
                let SanType::URI(name) = params.subject_alt_names[0].clone() else {
                    unreachable!()
                };
                params.distinguished_name.push(DnType::CommonName, name.as_str());
                params.distinguished_name.push(DnType::OrganizationName, "admin");
                let dns = "alice.operator.internal".try_into().unwrap();
                params.subject_alt_names = vec![SanType::DnsName(dns)];
            }),
            false,
        ),
        (
            "B39 valid in 4 minutes",
            sign(&|params| {
                params.not_before = (now + 4 * MINUTE).into();
            }),
            false,
        ),
        (
            "B40 expired by a second",
            sign(&|params| {
                params.not_after = (now - SECOND).into();
            }),
            false,
        ),
        ("B49 fifty strangers", maze, false),
        ("B49 a chain of a megabyte", large, false),
        ("B49 two lists of names", extended(&ALTERNATIVE_NAME, false), false),
        ("B49 two lists of uses", extended(&EXTENDED_KEY_USAGE, false), false),
        ("B49 something critical that nobody knows", extended(&UNKNOWN, true), false),
        ("something else that nobody knows", extended(&UNKNOWN, false), true),
    ]
}

fn of_clients(agent: &Agent) -> Vec<Case> {
    let named = |tail: &str| {
        let name = agent.urn(tail);
        agent.operators().sign(&with(agent.operator_params(), |params| {
            params.subject_alt_names = vec![name.clone()];
        }))
    };
    let at =
        |time| Presented::of(&agent.roots.operator(&alice(), Role::Admin, HOUR, time).unwrap());
    let foreign = Roots::create(SiteId::random(), agent.now).unwrap();
    let other_site = foreign.operator(&alice(), Role::Admin, HOUR, agent.now).unwrap();
    let mut patched = Presented::of(&other_site);
    patched.chain.extend(agent.operators().chain);
    vec![
        ("B31 a node's own", Presented::of(&node(&agent.roots, "cp-2", agent.now)), false),
        ("B31 a node's name by the operators' authority", named("node:cp-2"), false),
        ("B37 an unknown role", named("operator:alice:role:root"), false),
        ("B37 upper case", named("operator:alice:role:Admin"), false),
        ("B37 NUL", named("operator:alice:role:admin\0"), false),
        ("B37 a dot after the role", named("operator:alice:role:admin."), false),
        ("B37 a role percent-encoded", named("operator:alice:role:%61dmin"), false),
        ("B37 two roles in one name", named("operator:alice:role:viewer:role:admin"), false),
        (
            "B38 a year",
            agent.operators().sign(&with(agent.operator_params(), |params| {
                params.not_after = (agent.now + 365 * 24 * HOUR).into();
            })),
            false,
        ),
        ("B39 of a site whose clock is 4 minutes ahead", at(agent.now + 4 * MINUTE), true),
        ("B39 of a site whose clock is 6 minutes ahead", at(agent.now + 6 * MINUTE), false),
        ("B45 another site's", Presented::of(&other_site), false),
        ("B45 another site's, with our authority after it", patched, false),
        (
            "B45 another site's name by our authority",
            {
                let name = format!("urn:quorate:site:{}:operator:a:role:admin", SiteId::random());
                agent.operators().sign(&with(agent.operator_params(), |params| {
                    params.subject_alt_names = vec![SanType::URI(name.clone().try_into().unwrap())];
                }))
            },
            false,
        ),
    ]
}

fn of_servers(agent: &Agent) -> Vec<Case> {
    let used = |usages: &[ExtendedKeyUsagePurpose]| {
        agent.nodes().sign(&with(agent.node_params(), |params| {
            params.extended_key_usages = usages.to_vec();
        }))
    };
    let other = Roots::create(agent.roots.site(), agent.now).unwrap();
    vec![
        ("B32 an operator's", Presented::of(&agent.operator(Role::Admin)), false),
        (
            "B32 a node's name by the operators' authority",
            { agent.operators().sign(&agent.node_params()) },
            false,
        ),
        (
            "B32 an operator's name by the nodes' authority",
            { agent.nodes().sign(&agent.operator_params()) },
            false,
        ),
        ("B33 no use", used(&[]), false),
        ("B33 any use", used(&[ExtendedKeyUsagePurpose::Any]), false),
        ("B33 a client's use", used(&[ExtendedKeyUsagePurpose::ClientAuth]), false),
        ("B33 a server's use alone", used(&[ExtendedKeyUsagePurpose::ServerAuth]), false),
        ("B45 another root's", Presented::of(&node(&other, "cp-1", agent.now)), false),
        ("B47 another node's", Presented::of(&node(&agent.roots, "cp-2", agent.now)), false),
    ]
}

fn judge(wrong: &mut Vec<String>, case: &str, taken: bool, wanted: bool, why: Option<String>) {
    if taken != wanted {
        wrong.push(format!("{case}: {}", why.unwrap_or_else(|| "taken".to_owned())));
    }
}

#[tokio::test]
async fn an_agent_takes_the_certificates_of_its_operators_and_no_others() {
    let agent = Agent::start().await;
    let mut wrong = Vec::new();
    for (case, shown, wanted) in of_either_end(&agent, true).into_iter().chain(of_clients(&agent)) {
        let end = dial(agent.address, shown.at(agent.client_config())).await;
        judge(&mut wrong, case, end.is_ok(), wanted, end.err().map(|error| error.to_string()));
        // Whatever was shown, the next who calls rightly is answered.
        dial(agent.address, agent.client_config()).await.unwrap();
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn an_operator_takes_the_certificate_of_the_node_and_no_other() {
    let agent = Agent::start().await;
    let mut wrong = Vec::new();
    for (case, shown, wanted) in of_either_end(&agent, false).into_iter().chain(of_servers(&agent))
    {
        // As one who asks for no certificate: only what the server shows can be refused.
        let config = enrol_server_config(&node(&agent.roots, "cp-1", agent.now)).unwrap();
        let address = agent.behind(shown.behind(config)).await;
        let end = dial(address, agent.client_config()).await;
        judge(&mut wrong, case, end.is_ok(), wanted, end.err().map(|error| error.to_string()));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
