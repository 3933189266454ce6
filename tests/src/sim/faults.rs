//! What befalls machines, links, agents and coordinators, and what a person does about it.

use quorate::spec::Role;
use quorate_proto::NodeName;

use super::agent::HANGS;
use super::coordinator::Run;
use super::node::{Machinery, Operation};
use super::random::Random;
use super::world::SimCluster;

/// How bad the days of a world are: worlds differ, as a mean of all faults hides what only many of
/// one kind would show.
#[derive(Debug, Clone, Copy, Default)]
pub struct Weather {
    /// Of a hundred events, so many are faults.
    faults: usize,
    /// Of a hundred operations, so many take long.
    pub(super) slow: usize,
    /// Of a hundred operations that take long, so many take longer than any deadline.
    pub(super) hang: usize,
    /// Of a hundred operations, so many do not what they say.
    pub(super) wrong: usize,
    /// Of a hundred faults, so many befall control planes.
    planes: usize,
    /// The sort of fault that most are, where one is.
    focus: Option<usize>,
}

impl Weather {
    /// Much takes long, and a little of everything goes wrong.
    pub const SLOW: Self =
        Self { faults: 2, slow: 15, hang: 60, wrong: 2, planes: 60, focus: None };
    /// Nodes fall silent while they are at something.
    pub const SILENT: Self =
        Self { faults: 1, slow: 15, hang: 80, wrong: 0, planes: 40, focus: Some(0) };
    /// Members of etcd are now well and now not.
    pub const ETCD_SLOW: Self =
        Self { faults: 1, slow: 10, hang: 10, wrong: 2, planes: 95, focus: Some(60) };

    /// The same, with so many of a hundred faults at control planes.
    #[must_use]
    pub fn at_planes(self, planes: usize) -> Self {
        Self { planes, ..self }
    }

    pub(super) fn strikes(self, random: &mut Random) -> bool {
        random.percent(self.faults)
    }

    pub(super) fn of(random: &mut Random) -> Self {
        Self {
            faults: random.one_of([0, 1, 2, 3, 3, 6, 12]),
            slow: random.one_of([0, 3, 8, 20]),
            hang: random.one_of([5, 10, 40]),
            wrong: random.one_of([0, 4, 10, 25]),
            planes: random.one_of([20, 60, 90]),
            focus: random.percent(50).then(|| random.below(100)),
        }
    }
}

/// Something goes wrong, or is mended.
pub(super) fn disturb(world: &mut SimCluster, runs: &mut [Run], random: &mut Random) -> String {
    let node = some_node(world, random);
    let focus = world.weather.focus.filter(|_| random.percent(80));
    match focus.unwrap_or_else(|| random.below(100)) {
        0..18 => {
            let sim = world.node_mut(&node);
            sim.silent = random.percent(if sim.silent { 70 } else { 40 });
            format!("{node} silent: {}", world.node(&node).silent)
        }
        18..34 => restart_agent(world, &node, random),
        34..50 => {
            if world.node(&node).machinery == Machinery::Booting {
                boot(world, &node, random);
                format!("{node} is back")
            } else {
                reboot(world, &node, random);
                format!("{node} reboots")
            }
        }
        50..52 => {
            let planes: Vec<NodeName> = world.names(Role::ControlPlane).cloned().collect();
            planes.iter().for_each(|plane| {
                reboot(world, plane, random);
                boot(world, plane, random);
            });
            "all control planes reboot".to_owned()
        }
        52..54 => die(world, &node, random),
        54..64 => {
            let sim = world.node_mut(&node);
            sim.etcd_slow = !sim.etcd_slow && random.percent(60);
            format!("{node} etcd slow: {}", world.node(&node).etcd_slow)
        }
        64..70 => {
            let sim = world.node_mut(&node);
            sim.isolated = !sim.isolated && random.percent(60);
            format!("{node} isolated: {}", world.node(&node).isolated)
        }
        70..76 => {
            world.etcd.electing = random.below(30);
            "etcd elects".to_owned()
        }
        76..82 => {
            let sim = world.node_mut(&node);
            sim.disk_full = !sim.disk_full && random.percent(70);
            format!("{node} disk full: {}", world.node(&node).disk_full)
        }
        _ => disturb_run(world, &node, runs, random),
    }
}

fn some_node(world: &SimCluster, random: &mut Random) -> NodeName {
    let planes = random.percent(world.weather.planes);
    let names: Vec<&NodeName> = if planes {
        world.names(Role::ControlPlane).collect()
    } else {
        world.nodes.keys().collect()
    };
    random.pick(names).cloned().expect("a cluster has nodes")
}

fn disturb_run(
    world: &mut SimCluster,
    node: &NodeName,
    runs: &mut [Run],
    random: &mut Random,
) -> String {
    let alive: Vec<&mut Run> = runs.iter_mut().filter(|run| run.is_alive()).collect();
    let Some(run) = random.pick(alive) else { return "nothing".to_owned() };
    match random.below(20) {
        0..12 => {
            world.network.toggle(&run.id, node);
            format!("the link {} to {node} is cut or mended", run.id)
        }
        12..19 => {
            if run.paused {
                run.paused = false;
            } else {
                run.pause(world);
            }
            format!("{} paused: {}", run.id, run.paused)
        }
        19 if random.percent(50) => {
            run.interrupt();
            format!("Ctrl-C stops {}", run.id)
        }
        _ => {
            run.lose_database();
            format!("the database of {} fails", run.id)
        }
    }
}

/// Its agent begins anew: what runs as a unit goes on, what it did itself has ended, and nobody is
/// told.
fn restart_agent(world: &mut SimCluster, name: &NodeName, random: &mut Random) -> String {
    let (unit, ledger) = (random.percent(60), world.rules.ledger);
    let node = world.node_mut(name);
    node.latest = None;
    if let Some(mut operation) = node.operation.take().filter(|_| unit) {
        operation.listeners.clear();
        if ledger {
            node.operation = Some(operation);
        } else {
            node.stray = Some(operation);
        }
    }
    format!("the agent of {name} restarts, a unit goes on: {unit}")
}

/// What it was at ends somewhere, and what was on its way to it mostly gets lost.
fn reboot(world: &mut SimCluster, name: &NodeName, random: &mut Random) {
    let node = world.node_mut(name);
    if node.machinery == Machinery::Dead {
        return;
    }
    node.machinery = Machinery::Booting;
    (node.operation, node.stray, node.latest) = (None::<Operation>, None, None);
    if random.percent(70) {
        world.network.orders.retain(|order| order.step.node != *name);
    }
    if random.percent(50) {
        world.etcd.electing = random.below(10);
    }
}

fn boot(world: &mut SimCluster, name: &NodeName, random: &mut Random) {
    let node = world.node_mut(name);
    if node.machinery == Machinery::Booting {
        node.machinery = Machinery::Running;
        // What is cut off by a firewall rule or filled up by hand may well be sound again.
        node.isolated &= random.percent(50);
    }
}

/// At most one machine is lost for good: losing more is another story, of backups.
fn die(world: &mut SimCluster, name: &NodeName, random: &mut Random) -> String {
    if world.nodes.values().any(|node| node.machinery == Machinery::Dead) {
        return "nothing".to_owned();
    }
    reboot(world, name, random);
    world.node_mut(name).machinery = Machinery::Dead;
    format!("{name} dies")
}

impl SimCluster {
    /// Faults end: everything but dead machines answers again, and what it is at goes on. What hangs
    /// does not hang for ever.
    pub fn calm(&mut self) {
        self.faults = false;
        self.network.mend();
        for node in self.nodes.values_mut() {
            (node.silent, node.etcd_slow) = (false, false);
            (node.isolated, node.disk_full) = (false, false);
            if let Some(operation) = &mut node.operation {
                operation.left = operation.left.min(HANGS / 3);
            }
            if node.machinery == Machinery::Booting {
                node.machinery = Machinery::Running;
            }
        }
    }

    /// A person brings dead machines back, with their disks as they were.
    pub(super) fn revive(&mut self) {
        self.nodes.values_mut().for_each(|node| node.machinery = Machinery::Running);
    }

    pub(super) fn has_dead(&self) -> bool {
        self.nodes.values().any(|node| node.machinery == Machinery::Dead)
    }
}
