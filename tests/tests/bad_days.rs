//! Bad days that only real agents behind real TLS can show, and what a person is told of each. The
//! rest is in scenarios/bad-days.txt; docs/BAD-DAYS.md lists all.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use quorate::driver::{draw_up, survey};
use quorate::fleet::{Fleet, GrpcFleet};
use quorate::procedure::Procedure;
use quorate::spec::{self, ClusterSpec};
use quorate_agent::access::Access;
use quorate_agent::goal;
use quorate_agent::host::fake::FakeHost;
use quorate_agent::local::Local;
use quorate_agent::server::service;
use quorate_agent::worker::Worker;
use quorate_proto::trust::{
    NodeKey, OperatorName, Role, Roots, SigningRequest, SiteId, incoming, server_config,
};
use quorate_proto::{Machine, NodeName};
use tokio::net::TcpListener;
use tonic::transport::Server;

const SPEC: &str = "\
apiVersion: quorate.dev/v1alpha1
kind: Cluster
metadata: {name: lab}
spec:
  kubernetes: {version: v1.35.4}
  endpoint: {host: 10.0.0.11}
  network: {plugin: none}
  nodes:
  - {name: cp-1, address: 10.0.0.11, roles: [control-plane]}
  - {name: worker-1, address: 10.0.0.21, roles: [worker]}
";

/// Who answers at the address of worker-1.
#[derive(Clone, Copy, PartialEq, Eq)]
enum There {
    Itself,
    Nobody,
    AnotherNode,
    AnotherSite,
    AnotherService,
}

/// Two fresh machines of one site, and what is wrong with them.
struct Day {
    roots: Roots,
    hosts: [Arc<FakeHost>; 2],
}

impl Day {
    fn new() -> Self {
        let host = |id: &str| {
            let host = FakeHost::bare();
            host.state().machine = Machine {
                machine_id: id.to_owned(),
                cpus: 2,
                memory_mib: 4_096,
                disk_free_mib: 20_000,
                ..Machine::default()
            };
            Arc::new(host)
        };
        Self { roots: roots(), hosts: ["one", "two"].map(host) }
    }

    /// What stands against a run, with worker-1's address and the sites in words; empty for a run that may begin.
    async fn told(&self, there: There) -> Vec<String> {
        let [first, second] = &self.hosts;
        let first = serve(&self.roots, "cp-1", first).await;
        let other_site = roots();
        let second = match there {
            There::Itself => serve(&self.roots, "worker-1", second).await,
            There::AnotherNode => serve(&self.roots, "worker-2", second).await,
            There::AnotherSite => serve(&other_site, "worker-1", second).await,
            There::Nobody => bound().await.1,
            There::AnotherService => {
                let (listener, address) = bound().await;
                tokio::spawn(async move {
                    while let Ok((mut stream, _)) = listener.accept().await {
                        tokio::io::AsyncWriteExt::write_all(&mut stream, b"SSH-2.0-x\r\n")
                            .await
                            .ok();
                    }
                });
                address
            }
        };
        let spec = specification([first, second]);
        let operator = OperatorName::try_from("alice").unwrap();
        let credentials = self
            .roots
            .operator(&operator, Role::Admin, std::time::Duration::from_hours(1), SystemTime::now())
            .unwrap();
        let credentials = Arc::new(ArcSwap::from_pointee(credentials));
        let fleet = GrpcFleet::new(&spec, &self.roots.site(), &credentials).unwrap();
        let fleet: Arc<dyn Fleet> = Arc::new(fleet);
        let seen = survey(&fleet, &spec, None).await;
        let reasons =
            draw_up(&fleet, &spec, &Procedure::BringUp, seen).await.err().unwrap_or_default();
        for host in &self.hosts {
            assert_eq!(host.history(), Vec::<String>::new(), "a node was changed: {reasons:?}");
        }
        let plainly = |reason: String| {
            let reason = reason.replace(&second.to_string(), "ADDRESS");
            let reason = reason.replace(&other_site.site().to_string(), "THEIRS");
            reason.replace(&self.roots.site().to_string(), "OURS")
        };
        reasons.into_iter().map(plainly).collect()
    }
}

fn roots() -> Roots {
    Roots::create(SiteId::random(), SystemTime::now()).unwrap()
}

fn specification(addresses: [SocketAddr; 2]) -> ClusterSpec {
    let mut spec = spec::parse(SPEC, "cluster.yaml", Path::new("")).unwrap().spec;
    for (node, address) in spec.nodes.iter_mut().zip(addresses) {
        (node.address, node.agent_port) = (address.ip(), address.port());
    }
    spec
}

async fn bound() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// An agent on this machine, with the identity of this node.
async fn serve(roots: &Roots, name: &str, host: &Arc<FakeHost>) -> SocketAddr {
    let node = NodeName::try_from(name).unwrap();
    let key = NodeKey::generate().unwrap();
    let request = SigningRequest::from_der(&key.request().unwrap()).unwrap();
    let issued = roots.certify_node(&node, &request, SystemTime::now()).unwrap();
    let granted = roots.grant(issued.chain);
    let config = server_config(&granted.credentials(key.to_pem()));
    let (listener, address) = bound().await;
    let connections = incoming(listener, Arc::new(ArcSwap::from_pointee(config.unwrap())));
    let worker = Worker::open(Arc::<FakeHost>::clone(host), goal::of, "/var/lib/quorate-executor");
    let executor = Arc::new(Local(worker.await.unwrap()));
    let service = service(executor, node, Access::of_site(roots.site()));
    tokio::spawn(Server::builder().add_service(service).serve_with_incoming(connections));
    address
}

#[tokio::test]
async fn two_fresh_machines_may_become_a_cluster() {
    assert_eq!(Day::new().told(There::Itself).await, Vec::<String>::new());
}

#[tokio::test]
async fn whoever_answers_in_a_nodes_place_is_told_by_name() {
    let cases = [
        (
            There::Nobody,
            "no control plane that answers holds a cluster, and none is founded while nodes are \
             silent: worker-1 does not answer (ADDRESS: Connection refused (os error 111)). Start \
             the agent there with `systemctl start quorate-agent`, or take the node out of the \
             specification for now",
        ),
        (
            There::AnotherNode,
            "someone else than worker-1 answers at its address, ADDRESS: the peer is node \
             worker-2, not node worker-1; check which address belongs to which node in the \
             specification",
        ),
        (
            There::AnotherSite,
            "someone else than worker-1 answers at its address, ADDRESS: the peer belongs to site \
             THEIRS, this is site OURS; check the address, or run `quorate-agent enrol` there with \
             a token of this site after removing the old identity",
        ),
        (
            There::AnotherService,
            "someone else than worker-1 answers at its address, ADDRESS: received corrupt message \
             of type InvalidContentType; check that it is a quorate agent which answers there",
        ),
    ];
    for (there, wanted) in cases {
        assert_eq!(Day::new().told(there).await, [wanted]);
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_machine_is_found_before_it_is_changed() {
    type Arrange = fn(&[Arc<FakeHost>; 2]);
    let cases: [(Arrange, &str); 5] = [
        (
            |hosts| hosts[1].state().machine.machine_id = "one".to_owned(),
            "cp-1 and worker-1 have one machine-id, one: ",
        ),
        (
            |hosts| hosts[1].state().machine.clock_ms = 65_000,
            "the clocks of cp-1 and worker-1 are 6",
        ),
        (
            |hosts| hosts[0].state().machine.memory_mib = 1_024,
            "cp-1 is too small for a control plane: 1024 of 1700 MiB of memory. ",
        ),
        (
            |hosts| hosts[1].state().put("/etc/kubernetes/kubelet.conf", "of another cluster"),
            "worker-1 holds /etc/kubernetes/kubelet.conf but no certificate authority",
        ),
        (
            |hosts| {
                let cluster = hosts[0].state().cluster.clone();
                cluster.shared().strangers.insert("10.0.0.11:6443".to_owned());
            },
            "cp-1: who answers at 10.0.0.11:6443 is not this cluster",
        ),
    ];
    for (arrange, wanted) in cases {
        let day = Day::new();
        arrange(&day.hosts);
        let told = day.told(There::Itself).await;
        assert!(told.len() == 1 && told[0].starts_with(wanted), "{wanted}: {told:?}");
    }
}
