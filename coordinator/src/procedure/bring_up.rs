//! Bringing a cluster up, from bare machines to a cluster that serves: reads from top to bottom.
//!
//! Steps are listed in the order in which they matter: of two that could start, the engine takes
//! the first. What holds already is not looked at here; that is `pending`'s part.

use std::collections::BTreeMap;

use quorate_proto::goal::{
    Backend, BalancerGoal, ClusterGoal, Entry, EtcdGoal, KubeadmGoal, LoadBalancer, Material, Offer,
};
use quorate_proto::{Goal, NodeName, StepId, trust};

use super::prepare::prepare;
use super::{Steps, Title};
use crate::plan::{
    Blocked, Draft, Lane, Observed, Outline, Standing, check_immutable, check_machines,
};
use crate::spec::{ClusterSpec, NodeSpec, Plugin, Role};

/// The cluster becomes what the specification says.
pub(super) struct BringUp;

impl Steps for BringUp {
    fn title(&self, cluster: &str) -> Title {
        let done = format!("cluster {cluster} is as specified");
        let command = "quorate apply".to_owned();
        Title { command, idle: done.clone(), done, ..Title::default() }
    }

    fn least_role(&self) -> trust::Role {
        trust::Role::Operator
    }

    fn preconditions(&self, spec: &ClusterSpec, observed: &Observed) -> Result<(), Blocked> {
        check_machines(spec, observed)?;
        if Standing::of(spec, observed)?.initialised {
            check_immutable(spec, observed)?;
        }
        Ok(())
    }

    fn steps(&self, spec: &ClusterSpec, observed: &Observed) -> Result<Outline, Blocked> {
        let mut up = Listing::new(spec, Standing::of(spec, observed)?)?;

        up.prepare_machines();
        let balanced = up.balance_load();

        let seat = up.seat;
        let mut first = up.raise(seat, None);
        let Access { access, offer } = up.give_access(&first, &balanced);
        up.settle(&mut first, None);
        let network = up.equip(&first, &access);

        let mut planes = vec![first];
        for node in spec.with_role(Role::ControlPlane).filter(|node| node.name != seat.name) {
            let mut plane = up.raise(node, Some(&offer));
            up.settle(&mut plane, Some(&offer));
            planes.push(plane);
        }
        let workers = up.join_workers(&offer);
        up.withdraw_offer();

        up.verify(&Risen { planes, workers, balanced, network }, observed);
        Ok(up.draft.finish())
    }
}

/// What is listed so far, and where once-per-cluster goals are asked.
struct Listing<'a> {
    spec: &'a ClusterSpec,
    standing: Standing,
    seat: &'a NodeSpec,
    draft: Draft,
    prepared: BTreeMap<&'a NodeName, Vec<StepId>>,
}

/// A control plane on its way up.
struct Plane<'a> {
    node: &'a NodeSpec,
    entry: Entry,
    member: StepId,
    serving: StepId,
    /// The last of the steps that make it part of the cluster.
    settled: StepId,
}

/// What joiners wait for.
struct Access {
    access: StepId,
    offer: StepId,
}

/// All that verification looks back on.
struct Risen<'a> {
    planes: Vec<Plane<'a>>,
    workers: Vec<(&'a NodeName, StepId)>,
    balanced: Vec<StepId>,
    network: Vec<StepId>,
}

impl<'a> Listing<'a> {
    fn new(spec: &'a ClusterSpec, standing: Standing) -> Result<Self, Blocked> {
        Ok(Self {
            spec,
            seat: standing.seat(spec)?,
            draft: Draft::new(spec, &standing),
            standing,
            prepared: BTreeMap::new(),
        })
    }

    /// Every machine at once, also those that join last.
    fn prepare_machines(&mut self) {
        for node in &self.spec.nodes {
            let steps = prepare(&mut self.draft, self.spec, node);
            self.prepared.insert(&node.name, steps);
        }
    }

    /// All control planes are backends from the start: health checks hide those that are not there.
    fn balance_load(&mut self) -> Vec<StepId> {
        let Some(goal) = load_balancer(self.spec) else { return Vec::new() };
        let balancers = self.spec.with_role(Role::LoadBalancer);
        balancers
            .map(|node| {
                let prepared = self.prepared.get(&node.name).map_or(&[][..], Vec::as_slice);
                self.draft.add(
                    &node.name,
                    Goal::Balancer(BalancerGoal::LoadBalancer(goal.clone())),
                    prepared,
                )
            })
            .collect()
    }

    /// A control plane up to its own API server. The seat needs no offer: it makes it.
    fn raise(&mut self, node: &'a NodeSpec, offer: Option<&StepId>) -> Plane<'a> {
        let entry = self.standing.entry(&node.name);
        let offer = offer.filter(|_| entry != Entry::Founder);
        let kube = self.draft.kube(node, entry);
        let mut start = self.prepared.get(&node.name).cloned().unwrap_or_default();
        start.extend(offer.cloned());
        let first = self.draft.add(
            &node.name,
            Goal::Kubeadm(KubeadmGoal::Certificates, kube.clone()),
            &start,
        );
        let mut chain = Chain { draft: &mut self.draft, node: &node.name, offer, last: first };

        chain.then(Lane::Free, Goal::Kubeadm(KubeadmGoal::Kubeconfigs, kube.clone()));
        chain.then(Lane::Free, Goal::Kubeadm(KubeadmGoal::KubeletStarted, kube.clone()));
        // As kubeadm does: the API server starts while etcd does, and waits for it.
        chain.then(Lane::Free, Goal::Kubeadm(KubeadmGoal::StaticPods, kube.clone()));
        let member = chain.then(Lane::Membership, Goal::Etcd(EtcdGoal::EtcdMember(kube.clone())));
        let serving = chain.then(Lane::Free, Goal::Kubeadm(KubeadmGoal::ApiServerReady, kube));
        Plane { node, entry, member, settled: serving.clone(), serving }
    }

    /// What joiners need of the cluster. Comes before anything else that the seat has to do, as
    /// all other nodes wait for it.
    fn give_access(&mut self, first: &Plane<'_>, balanced: &[StepId]) -> Access {
        let kube = self.draft.kube(first.node, first.entry);
        let mut reachable = balanced.to_vec();
        reachable.push(first.serving.clone());
        let node = &first.node.name;
        // kubeadm's upload-config goes through the endpoint, and does not wait for it.
        let endpoint = Goal::Cluster(ClusterGoal::EndpointReady(kube.clone()));
        let endpoint = self.draft.add(node, endpoint, &reachable);
        let mut chain = Chain { draft: &mut self.draft, node, offer: None, last: endpoint };
        chain.then(Lane::Free, Goal::Cluster(ClusterGoal::ClusterConfig(kube.clone())));
        let access = chain.then(Lane::Free, Goal::Cluster(ClusterGoal::JoinAccess(kube.clone())));
        // Whether certificates are needed is known once it is known who is left to join.
        let offer =
            Goal::Cluster(ClusterGoal::JoinOffered(Offer { on: kube, certificates: false }));
        Access { access, offer: chain.then(Lane::Free, offer) }
    }

    /// The rest of a control plane.
    fn settle(&mut self, plane: &mut Plane<'_>, offer: Option<&StepId>) {
        let kube = self.draft.kube(plane.node, plane.entry);
        let offer = offer.filter(|_| plane.entry != Entry::Founder);
        let last = plane.serving.clone();
        let node = &plane.node.name;
        let mut chain = Chain { draft: &mut self.draft, node, offer, last };
        chain.then(Lane::Free, Goal::Kubeadm(KubeadmGoal::KubeletCertificate, kube.clone()));
        plane.settled =
            chain.then(Lane::Free, Goal::Kubeadm(KubeadmGoal::ControlPlaneMarked, kube.clone()));
        let settled = std::slice::from_ref(&plane.settled);
        self.draft.add(node, Goal::Kubeadm(KubeadmGoal::AdminKubeconfig, kube), settled);
    }

    /// Network plugin and addons; gives the steps that pods wait for.
    fn equip(&mut self, first: &Plane<'_>, access: &StepId) -> Vec<StepId> {
        let node = &first.node.name;
        let access = std::slice::from_ref(access);
        let mut steps = Vec::new();
        if let Plugin::Manifest { manifest, .. } = &self.spec.network.plugin {
            let network = Goal::Cluster(ClusterGoal::Network(manifest.clone()));
            steps.push(self.draft.add(node, network, access));
        }
        let addons = Goal::Cluster(ClusterGoal::Addons(self.draft.kube(first.node, first.entry)));
        steps.push(self.draft.add(node, addons, access));
        steps
    }

    /// Workers wait for one API server, not for all of them.
    fn join_workers(&mut self, offer: &StepId) -> Vec<(&'a NodeName, StepId)> {
        let lane = Lane::WorkerJoins { width: self.spec.worker_joins };
        let workers = self.spec.with_role(Role::Worker);
        workers
            .map(|node| {
                let kube = self.draft.kube(node, Entry::Worker);
                let mut start = self.prepared.get(&node.name).cloned().unwrap_or_default();
                start.push(offer.clone());
                let started = Goal::Kubeadm(KubeadmGoal::KubeletStarted, kube.clone());
                let started = self.draft.add_in(lane.clone(), &node.name, started, &start);
                let joined = Goal::Kubeadm(KubeadmGoal::KubeletCertificate, kube);
                let after = [started, offer.clone()];
                (&node.name, self.draft.add_in(lane.clone(), &node.name, joined, &after))
            })
            .collect()
    }

    /// After the last step that uses them no token and no certificates stay in the cluster.
    fn withdraw_offer(&mut self) {
        let users = self.draft.using_material();
        let kube = self.draft.kube(self.seat, self.standing.entry(&self.seat.name));
        self.draft.add(&self.seat.name, Goal::Cluster(ClusterGoal::JoinWithdrawn(kube)), &users);
    }

    /// The guide's step 5, and more: what must be true of the whole.
    fn verify(&mut self, risen: &Risen<'_>, observed: &Observed) {
        let seat = &self.seat.name;
        let kube = self.draft.kube(self.seat, self.standing.entry(seat));
        let members: Vec<_> = risen.planes.iter().map(|plane| plane.member.clone()).collect();
        self.draft.add(seat, Goal::Etcd(EtcdGoal::EtcdHealthy(kube.clone())), &members);

        let planes = risen.planes.iter().map(|plane| (&plane.node.name, &plane.settled));
        let workers = risen.workers.iter().map(|(node, joined)| (*node, joined));
        // A node that may still be joining holds up what waits for its pods, not the readiness of others.
        let is_awaited = |node| observed.silence(node).is_none() || observed.is_ready(node);
        let (awaited, absent): (Vec<_>, Vec<_>) =
            planes.chain(workers).partition(|(node, _)| is_awaited(node));
        let nodes = awaited.iter().map(|(node, _)| (*node).clone()).collect();
        let answers = |(node, _): &&(&NodeName, &StepId)| observed.silence(node).is_none();
        let joined = awaited.iter().filter(answers).map(|(_, joined)| (*joined).clone());
        let after: Vec<StepId> = risen.network.iter().cloned().chain(joined).collect();
        let ready = Goal::Cluster(ClusterGoal::NodesReady(nodes));
        let mut settled = vec![self.draft.add(seat, ready, &after)];
        settled.extend(risen.network.iter().cloned());
        settled.extend(absent.iter().map(|(_, joined)| (*joined).clone()));
        let mut serving = risen.network.clone();
        // Where CoreDNS is not installed yet, no pod of it is seen to be missing.
        serving.push(self.draft.add(seat, Goal::Cluster(ClusterGoal::SystemPodsReady), &settled));
        self.draft.add(seat, Goal::Cluster(ClusterGoal::ClusterDns(kube)), &serving);

        let Some(goal) = load_balancer(self.spec) else { return };
        for balanced in &risen.balanced {
            let mut after = vec![balanced.clone()];
            after.extend(risen.planes.iter().map(|plane| plane.serving.clone()));
            self.draft.add(
                &balanced.node,
                Goal::Balancer(BalancerGoal::BackendsUp(goal.clone())),
                &after,
            );
        }
    }
}

/// Steps of one node, each after the one before and, where it needs what is offered, after the offer.
struct Chain<'a> {
    draft: &'a mut Draft,
    node: &'a NodeName,
    offer: Option<&'a StepId>,
    last: StepId,
}

impl Chain<'_> {
    fn then(&mut self, lane: Lane, goal: Goal) -> StepId {
        let mut after = vec![self.last.clone()];
        after.extend(self.offer.filter(|_| goal.material() != Material::None).cloned());
        self.last = self.draft.add_in(lane, self.node, goal, &after);
        self.last.clone()
    }
}

fn load_balancer(spec: &ClusterSpec) -> Option<LoadBalancer> {
    let backend = |node: &NodeSpec| Backend {
        node: node.name.clone(),
        address: node.address,
        port: spec.api_port,
    };
    Some(LoadBalancer {
        port: spec.endpoint.port,
        health_check: spec.load_balancer?,
        backends: spec.with_role(Role::ControlPlane).map(backend).collect(),
    })
}
