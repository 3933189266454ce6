//! The crash matrix: which faults are played at which moments of which clusters' lives.

use quorate_proto::ActivityKind;

use super::fault::Fault;
use super::journey::{Journey, Stage};
use super::moment::Moment;
use super::site::{Lab, Nodes};
use super::strikes;
use super::table::{Row, Table};

/// Nodes that stand for all: one founds, one joins as a control plane, one as a worker.
const FOUNDER: &str = "cp-1";
const SECOND_PLANE: &str = "cp-2";
const JOINER: &str = "cp-3";
const WORKER: &str = "worker-2";

pub(super) const SECOND: Nodes<'_> = &["lb-1", FOUNDER, SECOND_PLANE];
pub(super) const THIRD: Nodes<'_> = &["lb-1", FOUNDER, SECOND_PLANE, JOINER];
const ALL: Nodes<'_> = &["lb-1", FOUNDER, SECOND_PLANE, JOINER, "worker-1", WORKER];

const FOUNDING: [&str; 12] = [
    "init phase preflight",
    "init phase certs",
    "init phase kubeconfig",
    "init phase kubelet-start",
    "init phase control-plane",
    "init phase etcd local",
    "init phase upload-config",
    "init phase bootstrap-token",
    "init phase upload-certs",
    "init phase kubelet-finalize",
    "init phase mark-control-plane",
    "init phase addon",
];
/// All but the download of certificates, which cp-2 stands for: one operation has both, and goes on.
const JOINING: [&str; 8] = [
    "join phase preflight",
    "join phase control-plane-prepare certs",
    "join phase control-plane-prepare kubeconfig",
    "join phase kubelet-start",
    "join phase control-plane-prepare control-plane",
    "join phase etcd-join",
    "join phase kubelet-wait-bootstrap",
    "join phase control-plane-join mark-control-plane",
];
const JOINING_WORKER: [&str; 3] =
    ["join phase preflight", "join phase kubelet-start", "join phase kubelet-wait-bootstrap"];

/// A part of the matrix that is played from nodes without a cluster.
enum Part {
    Journey(fn() -> Journey),
    Strike(strikes::Strike),
}

fn parts() -> Vec<(&'static str, Part)> {
    let journeys = [
        ("orders", Part::Journey(orders)),
        ("coordinator", Part::Journey(|| everywhere(Fault::Coordinator))),
        ("agent", Part::Journey(|| everywhere(Fault::Agent))),
        ("upgrade", Part::Journey(upgrades)),
        ("program", Part::Journey(programs)),
        ("dpkg", Part::Journey(unpacking)),
        ("etcd-join", Part::Journey(late_in_etcd_join)),
        ("node", Part::Journey(|| everywhere(Fault::Node))),
    ];
    let strikes = strikes::ALL.iter().map(|(name, strike)| (*name, Part::Strike(*strike)));
    journeys.into_iter().chain(strikes).collect()
}

/// Names of all parts.
pub fn names() -> Vec<&'static str> {
    parts().into_iter().map(|(name, _)| name).collect()
}

/// Plays the parts of these names, or all where there is none, and says how far it is.
pub fn crash_matrix(lab: &Lab, wanted: &[String], say: &mut dyn FnMut(&str)) -> Table {
    let mut table = Table::default();
    let mut clean = false;
    for (name, part) in parts() {
        if !wanted.is_empty() && !wanted.iter().any(|wanted| wanted == name) {
            continue;
        }
        say(&format!("== {name}"));
        if clean {
            lab.lab(&["unjoin"]);
        } else {
            lab.begin_bare(ALL);
        }
        let rows: Vec<Row> = match part {
            Part::Journey(journey) => journey().play(lab, say),
            Part::Strike(strike) => vec![strike(lab, say)],
        };
        clean = rows.iter().all(Row::passed);
        table.rows.extend(rows);
    }
    table
}

/// One fault, in every phase of kubeadm and wherever else an agent works for long.
fn everywhere(fault: Fault) -> Journey {
    let worker =
        [ActivityKind::Packages, ActivityKind::Images].map(|kind| Moment::work(WORKER, kind));
    let phases = |node, phases: &[&'static str]| {
        phases.iter().map(move |phase| Moment::phase(node, phase)).collect::<Vec<_>>()
    };
    let points = |moments: Vec<Moment>| moments.into_iter().map(|moment| (fault, moment)).collect();
    let of_worker = worker.into_iter().chain(phases(WORKER, &JOINING_WORKER)).collect();
    let mut first = phases(FOUNDER, &FOUNDING);
    // A run that dies here dies with the founder's last phases, which would then never be seen.
    if fault != Fault::Coordinator {
        first.push(Moment::phase(SECOND_PLANE, "join phase control-plane-prepare download-certs"));
    }
    life(points(first), points(phases(JOINER, &JOINING)), points(of_worker))
}

/// The coordinator dies before and after the order of each goal, of whichever node it comes first.
fn orders() -> Journey {
    let stage = Stage {
        nodes: ALL,
        bare: Some(WORKER),
        points: vec![(Fault::Coordinator, Moment::orders())],
    };
    Journey { stages: vec![stage] }
}

/// The programs that agents run are killed, each in its turn.
fn programs() -> Journey {
    let mut journey = everywhere(Fault::program("kubeadm"));
    for (fault, moment) in journey.stages.iter_mut().flat_map(|stage| &mut stage.points) {
        match moment {
            Moment::Work { kind: ActivityKind::Packages, .. } => *fault = Fault::program("apt-get"),
            Moment::Work { .. } => *fault = Fault::program("ctr"),
            Moment::Phase { .. } | Moment::Orders { .. } => {}
        }
    }
    journey
}

/// dpkg dies under apt-get while it unpacks and configures.
fn unpacking() -> Journey {
    let moment = Moment::work(WORKER, ActivityKind::Packages);
    life(Vec::new(), Vec::new(), vec![(Fault::program("dpkg"), moment)])
}

/// kubeadm later in its longest phase, once it has added the member.
fn late_in_etcd_join() -> Journey {
    let moment = Moment::phase(JOINER, "join phase etcd-join");
    life(Vec::new(), vec![(Fault::kubeadm(150), moment)], Vec::new())
}

fn upgrades() -> Journey {
    let upgrade = |moment| (Fault::Upgrade, moment);
    let founder = Moment::phase(FOUNDER, "init phase etcd local");
    let joiner = Moment::phase(JOINER, "join phase etcd-join");
    let packages = Moment::work(WORKER, ActivityKind::Packages);
    let images = Moment::work(WORKER, ActivityKind::Images);
    let worker = Moment::phase(WORKER, "join phase kubelet-start");
    life(
        vec![upgrade(founder)],
        vec![upgrade(joiner)],
        [packages, images, worker].map(upgrade).into(),
    )
}

/// A cluster that is founded and gets its second control plane, then its third, then its workers. From the second
/// on it can serve through the endpoint, and is watched.
fn life(
    founding: Vec<(Fault, Moment)>,
    joining: Vec<(Fault, Moment)>,
    of_worker: Vec<(Fault, Moment)>,
) -> Journey {
    let bare =
        of_worker.iter().any(|(_, moment)| matches!(moment, Moment::Work { .. })).then_some(WORKER);
    let stage = |nodes, bare, points| Stage { nodes, bare, points };
    Journey {
        stages: vec![
            stage(SECOND, None, founding),
            stage(THIRD, None, joining),
            stage(ALL, bare, of_worker),
        ],
    }
}

/// Four points that stand for all, in one life of a cluster.
pub fn sample() -> Journey {
    life(
        vec![(Fault::Coordinator, Moment::phase(FOUNDER, "init phase etcd local"))],
        vec![
            (Fault::program("kubeadm"), Moment::phase(JOINER, "join phase etcd-join")),
            (Fault::Agent, Moment::phase(JOINER, "join phase kubelet-wait-bootstrap")),
        ],
        vec![(Fault::Node, Moment::phase(WORKER, "join phase kubelet-start"))],
    )
}
