//! Nodes in memory: each holds goals, works on one order at a time for a second, and goes on when
//! its caller is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use quorate_proto::goal::{ClusterGoal, Entry, EtcdGoal, HostGoal, KubeadmGoal};
use quorate_proto::wire::Order;
use quorate_proto::{
    Activity, ActivityKind, CaFacts, EtcdFacts, EtcdMember, Event, Facts, Failure, Finding, Goal,
    InForce, JoinMaterial, KubernetesFacts, Machine, NodeName, OperationId, Secret, Sha256, Term,
    UnderWay,
};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::driver::now_ms;
use crate::fleet::{Fleet, FleetError};
use crate::run::RunEvent;
use crate::store::{Store, StoredEvent};

/// What goes wrong with the next order for a goal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The package database is locked.
    Transient,
    /// It does not work, whatever one does.
    Fails,
    /// The connection breaks, the work goes on.
    Breaks,
    /// The node is away for ten seconds, in which the work ends.
    Away,
    /// The agent restarts once it has told the end, and is back after three seconds.
    Restarts,
    /// The node is gone, and what it does is never known.
    Gone,
    /// The agent obeys a newer run.
    Superseded,
    /// It goes on for longer than anyone waits.
    Hangs,
}

#[derive(Debug, Default)]
struct FakeNode {
    held: BTreeSet<String>,
    founder: bool,
    term: Term,
    under_way: Option<(UnderWay, watch::Receiver<Option<Event>>)>,
    faults: BTreeMap<String, Vec<Fault>>,
    silent: bool,
    applied: Vec<String>,
    offer_left: bool,
}

impl FakeNode {
    fn admit(&mut self, name: &NodeName, term: &Term) -> Result<(), FleetError> {
        if !term.obeyed_after(&self.term) {
            return Err(FleetError::Superseded { node: name.clone(), term: self.term.clone() });
        }
        self.term = term.clone();
        Ok(())
    }
}

/// All nodes; clones are the same nodes.
#[derive(Clone)]
pub(super) struct FakeFleet {
    nodes: Arc<Mutex<BTreeMap<NodeName, FakeNode>>>,
    /// The folder of the store that must know of an order before it arrives.
    pub(super) witness: Option<PathBuf>,
    /// What was printed that nobody may read.
    pub(super) planted: Arc<Mutex<Vec<String>>>,
}

impl FakeFleet {
    pub(super) fn new(names: &[&str]) -> Self {
        let nodes = names.iter().map(|name| (node(name), FakeNode::default()));
        Self {
            nodes: Arc::new(Mutex::new(nodes.collect())),
            witness: None,
            planted: Arc::default(),
        }
    }

    pub(super) fn fault(&self, name: &str, goal: &str, faults: &[Fault]) {
        self.with(name, |node| node.faults.insert(goal.to_owned(), faults.to_vec()));
    }

    pub(super) fn silence(&self, name: &str, silent: bool) {
        self.with(name, |node| node.silent = silent);
    }

    fn is_back_after(&self, name: &NodeName, away: Duration) {
        let (fleet, name) = (self.clone(), name.clone());
        tokio::spawn(async move {
            sleep(away).await;
            fleet.silence(name.as_str(), false);
        });
    }

    /// Someone undid a goal by hand.
    pub(super) fn forget(&self, name: &str, goal: &str) {
        self.with(name, |node| node.held.remove(goal));
    }

    /// It came about by itself.
    pub(super) fn regain(&self, name: &str, goal: &str) {
        self.with(name, |node| node.held.insert(goal.to_owned()));
    }

    pub(super) fn set_term(&self, name: &str, term: Term) {
        self.with(name, |node| node.term = term);
    }

    /// How often a goal was applied.
    pub(super) fn applied(&self, name: &str, goal: &str) -> usize {
        self.with(name, |node| node.applied.iter().filter(|applied| *applied == goal).count())
    }

    pub(super) fn orders(&self) -> usize {
        self.lock().values().map(|node| node.applied.len()).sum()
    }

    fn with<T>(&self, name: &str, change: impl FnOnce(&mut FakeNode) -> T) -> T {
        change(self.lock().get_mut(&node(name)).unwrap())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<NodeName, FakeNode>> {
        self.nodes.lock().unwrap()
    }

    fn answers(&self, node: &NodeName) -> Result<(), FleetError> {
        let why = "no route to host".to_owned();
        let silent = self.lock()[node].silent;
        if silent { Err(FleetError::Silent { node: node.clone(), why }) } else { Ok(()) }
    }

    /// Takes the order or refuses it; gives where its end will be told.
    fn take(
        &self,
        node: &NodeName,
        order: &Order,
        events: &UnboundedSender<Event>,
    ) -> Result<(watch::Receiver<Option<Event>>, Option<Fault>), FleetError> {
        let mut nodes = self.lock();
        let joining = nodes.values().filter_map(|node| node.under_way.as_ref());
        let joins = joining.filter(|(under_way, _)| under_way.goal == "etcd-member".into()).count();
        let fake = nodes.get_mut(node).unwrap();
        fake.admit(node, &order.term)?;
        if let Some((under_way, end)) = &fake.under_way {
            if under_way.operation != order.operation {
                let (operation, goal) = (under_way.operation.clone(), under_way.goal.clone());
                return Err(FleetError::Busy { node: node.clone(), operation, goal });
            }
            events.send(Event::Started { attached: true }).ok();
            return Ok((end.clone(), None));
        }
        let goal = order.goal.id();
        assert!(goal != "etcd-member".into() || joins == 0, "two members join at once");
        let faults = fake.faults.entry(goal.to_string()).or_default();
        let fault = if faults.is_empty() { None } else { Some(faults.remove(0)) };
        if fault == Some(Fault::Superseded) {
            fake.term.number += 7;
            return Err(FleetError::Superseded { node: node.clone(), term: fake.term.clone() });
        }
        let since_ms = now_ms();
        let (operation, term) = (order.operation.clone(), order.term.clone());
        let (tell, end) = watch::channel(None);
        fake.under_way = Some((UnderWay { operation, term, goal, since_ms }, end.clone()));
        events.send(Event::Started { attached: false }).ok();
        tokio::spawn(work(self.clone(), node.clone(), order.clone(), fault, tell, events.clone()));
        Ok((end, fault))
    }

    /// An order that nobody wrote down beforehand would be forgotten with its coordinator.
    fn assert_stored(&self, operation: &OperationId) {
        let Some(folder) = &self.witness else { return };
        let store = Store::open(folder).unwrap();
        let run = store.newest_run().unwrap().unwrap();
        let known =
            store.events(&run.id).unwrap().iter().filter_map(StoredEvent::read).any(|stamped| {
                match stamped.event {
                    RunEvent::Dispatched { operation: known, .. }
                    | RunEvent::Followed { operation: known, .. } => known == *operation,
                    _ => false,
                }
            });
        assert!(known, "the order was sent before it was stored");
    }
}

/// What a node that does not keep secrets prints of them.
fn leaks(material: &JoinMaterial) -> Vec<String> {
    let half = material.token.expose().split_once('.').unwrap().1;
    let (token, key) = (material.token.expose().to_owned(), material.certificate_key.expose());
    let hex = quorate_proto::hex(half.as_bytes());
    vec![token, half.to_owned(), key.to_owned(), key.to_uppercase(), hex]
}

async fn work(
    fleet: FakeFleet,
    name: NodeName,
    order: Order,
    fault: Option<Fault>,
    end: watch::Sender<Option<Event>>,
    events: UnboundedSender<Event>,
) {
    let kind = match order.goal {
        Goal::Host(HostGoal::Packages(_)) => ActivityKind::Packages,
        Goal::Kubeadm(KubeadmGoal::Certificates, _) | Goal::Etcd(EtcdGoal::EtcdMember(_)) => {
            ActivityKind::Kubeadm
        }
        _ => ActivityKind::Own,
    };
    events.send(Event::Activity(Activity { kind, text: "at it".to_owned() })).ok();
    if let Some(material) = &order.material {
        for line in leaks(material) {
            events.send(Event::Output { line: format!("--token {line}") }).ok();
        }
        let text = leaks(material).concat();
        events.send(Event::Activity(Activity { kind, text })).ok();
        fleet.planted.lock().unwrap().extend(leaks(material));
    }
    drop(events);
    sleep(Duration::from_secs(if matches!(fault, Some(Fault::Hangs | Fault::Gone)) {
        1_000_000
    } else {
        1
    }))
    .await;
    let goal = order.goal.id().to_string();
    let mut nodes = fleet.lock();
    let fake = nodes.get_mut(&name).unwrap();
    fake.applied.push(goal.clone());
    let failed = matches!(fault, Some(Fault::Transient | Fault::Fails));
    if !failed {
        match &order.goal {
            Goal::Kubeadm(KubeadmGoal::Kubeconfigs, on) => {
                fake.founder |= on.entry == Entry::Founder;
            }
            Goal::Cluster(ClusterGoal::JoinOffered(_)) => fake.offer_left = true,
            Goal::Cluster(ClusterGoal::JoinWithdrawn(_)) => fake.offer_left = false,
            _ => {}
        }
        fake.held.insert(goal);
    }
    fake.under_way = None;
    let told = order.material.iter().flat_map(leaks);
    let causes = std::iter::once("it did not work".to_owned()).chain(told).collect();
    let transient = fault == Some(Fault::Transient);
    let failure = failed.then(|| Failure { causes, transient, ..Failure::default() });
    let finding = found(&nodes, &name, &order.goal);
    end.send(Some(Event::Ended { finding, failure })).ok();
}

fn found(nodes: &BTreeMap<NodeName, FakeNode>, name: &NodeName, goal: &Goal) -> Finding {
    let id = goal.id().to_string();
    let somewhere = || nodes.values().any(|node| node.held.contains(&id));
    let holds = match goal {
        Goal::Cluster(ClusterGoal::JoinWithdrawn(_)) => !nodes.values().any(|node| node.offer_left),
        // The cluster has these, whoever is asked.
        Goal::Cluster(_) | Goal::Etcd(EtcdGoal::EtcdHealthy(_)) => somewhere(),
        _ => nodes[name].held.contains(&id),
    };
    if holds { Finding::Satisfied } else { Finding::Drifted(vec![drift(&id)]) }
}

fn drift(what: &str) -> quorate_proto::Drift {
    quorate_proto::Drift::new(what, "not so", "so")
}

#[async_trait]
impl Fleet for FakeFleet {
    async fn describe(&self, name: &NodeName, claim: Option<&Term>) -> Result<Facts, FleetError> {
        self.answers(name)?;
        let mut nodes = self.lock();
        claim.map_or(Ok(()), |term| nodes.get_mut(name).unwrap().admit(name, term))?;
        let holders = nodes.iter().filter(|(_, node)| node.held.contains("etcd-member"));
        let members: Vec<EtcdMember> =
            (1..).zip(holders).map(|(id, (name, _))| member(id, name)).collect();
        let fake = &nodes[name];
        let has = |goal: &str| fake.held.contains(goal);
        let joined = has("certificates") || (has("kubelet-started") && !has("static-pods"));
        let ca = CaFacts { pem: "the authority".to_owned(), spki: Sha256::of(b"authority") };
        let etcd = EtcdFacts { cluster_id: 1, leader: Some(1), members };
        Ok(Facts {
            audit: None,
            nodes: None,
            node: name.clone(),
            agent_version: "0.1.0".to_owned(),
            machine: Machine {
                machine_id: format!("machine of {name}"),
                clock_ms: now_ms(),
                cpus: 4,
                memory_mib: 8_000,
                disk_free_mib: 50_000,
                ..Machine::default()
            },
            term: fake.term.clone(),
            under_way: fake.under_way.as_ref().map(|(under_way, _)| under_way.clone()),
            kubernetes: KubernetesFacts {
                ca: joined.then_some(ca),
                ca_key: has("certificates"),
                super_admin: fake.founder,
                kubelet_conf: has("kubelet-started"),
                static_pods: has("static-pods")
                    .then(|| "kube-apiserver".to_owned())
                    .into_iter()
                    .collect(),
                etcd_data: has("etcd-member"),
                kubelet_version: None,
                in_force: InForce {
                    version: has("static-pods").then(|| "v1.35.4".parse().ok()).flatten(),
                    ..InForce::default()
                },
            },
            etcd: has("etcd-member").then_some(etcd),
        })
    }

    async fn check(&self, name: &NodeName, goals: &[Goal]) -> Result<Vec<Finding>, FleetError> {
        self.answers(name)?;
        let nodes = self.lock();
        Ok(goals.iter().map(|goal| found(&nodes, name, goal)).collect())
    }

    async fn ensure(
        &self,
        name: &NodeName,
        order: Order,
        events: UnboundedSender<Event>,
    ) -> Result<(), FleetError> {
        self.answers(name)?;
        self.assert_stored(&order.operation);
        let (mut end, fault) = self.take(name, &order, &events)?;
        if matches!(fault, Some(Fault::Away | Fault::Gone)) {
            self.silence(name.as_str(), true);
        }
        if fault == Some(Fault::Away) {
            self.is_back_after(name, Duration::from_secs(10));
        }
        if matches!(fault, Some(Fault::Breaks | Fault::Away | Fault::Gone)) {
            let why = "connection reset".to_owned();
            return Err(FleetError::Silent { node: name.clone(), why });
        }
        let ended = end.wait_for(Option::is_some).await.unwrap().clone().unwrap();
        events.send(ended).ok();
        if fault == Some(Fault::Restarts) {
            self.silence(name.as_str(), true);
            self.is_back_after(name, Duration::from_secs(3));
        }
        Ok(())
    }

    async fn kubeconfig(&self, _: &NodeName) -> Result<Secret, FleetError> {
        Ok(Secret::new("kubeconfig".to_owned()))
    }
}

fn member(id: u64, name: &NodeName) -> EtcdMember {
    EtcdMember { id, name: name.to_string(), peer_urls: vec![], learner: false, healthy: true }
}

/// A node that works on an order of another coordinator, which died.
pub(super) async fn order_of_another(fleet: &FakeFleet, name: &str, goal: Goal) {
    let term = Term { number: 3, run: quorate_proto::RunId("another".to_owned()) };
    let operation = OperationId("of another".to_owned());
    let order = Order { operation, term, goal, material: None };
    let (events, _told) = unbounded_channel();
    drop(fleet.take(&node(name), &order, &events).unwrap());
}

pub(super) fn node(name: &str) -> NodeName {
    name.try_into().unwrap()
}
