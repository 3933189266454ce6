//! Goals in a person's words: what it is called to work on one, and what holds afterwards.

use quorate_proto::Goal;

/// What a node does while it works on the goal, such as "joining etcd".
pub fn doing(goal: &Goal) -> String {
    words(goal).0
}

/// What holds once the goal does, such as "etcd has its member here".
pub fn done(goal: &Goal) -> String {
    words(goal).1
}

fn words(goal: &Goal) -> (String, String) {
    let fixed = |doing: &str, done: &str| (doing.to_owned(), done.to_owned());
    match goal {
        Goal::Hosts(_) => fixed("naming all nodes in /etc/hosts", "/etc/hosts names all nodes"),
        Goal::SwapOff => fixed("turning swap off", "swap is off"),
        Goal::KernelModules(_) => fixed("loading kernel modules", "kernel modules are loaded"),
        Goal::Sysctls(_) => fixed("setting kernel parameters", "kernel parameters are set"),
        Goal::PackageSource(source) => (
            format!("adding the package source {}", source.name),
            format!("the package source {} is known", source.name),
        ),
        Goal::Packages(_) => fixed("installing packages", "packages are installed and held"),
        Goal::Containerd(_) => fixed("configuring containerd", "containerd is configured"),
        Goal::ServiceRunning(service) => {
            (format!("starting {}", service.unit), format!("{} runs", service.unit))
        }
        Goal::Images(_) => fixed("bringing in images", "images are here"),
        Goal::LoadBalancer(_) => fixed("configuring HAProxy", "HAProxy is configured"),
        Goal::Certificates(_) => fixed("making certificates", "certificates are made"),
        Goal::Kubeconfigs(_) => fixed("writing kubeconfigs", "kubeconfigs are written"),
        Goal::KubeletStarted(_) => fixed("starting the kubelet", "the kubelet runs"),
        Goal::EtcdMember(_) => fixed("joining etcd", "etcd has its member here"),
        Goal::StaticPods(_) => {
            fixed("starting the control plane's pods", "the control plane's pods are in place")
        }
        Goal::ApiServerReady(_) => {
            fixed("bringing up the API server", "the API server here is ready")
        }
        Goal::KubeletCertificate(_) => {
            fixed("getting the kubelet its certificate", "the kubelet has its certificate")
        }
        Goal::ControlPlaneMarked(_) => {
            fixed("marking the node as control plane", "the node is marked as control plane")
        }
        Goal::AdminKubeconfig(_) => {
            fixed("writing root's kubeconfig", "root's kubeconfig is written")
        }
        Goal::ClusterConfig(_) => {
            fixed("storing the cluster's configuration", "the cluster's configuration is stored")
        }
        Goal::JoinAccess(_) => fixed("letting nodes join", "nodes may join"),
        Goal::Addons(_) => {
            fixed("installing CoreDNS and kube-proxy", "CoreDNS and kube-proxy are installed")
        }
        Goal::JoinOffered(_) => fixed("offering a join token", "a join token is offered"),
        Goal::JoinWithdrawn(_) => {
            fixed("withdrawing the join token", "no join token of ours is left")
        }
        Goal::Network(manifest) => {
            (format!("installing {}", manifest.name), format!("{} is installed", manifest.name))
        }
        Goal::NodeReady(node) => {
            (format!("waiting for node {node} to be Ready"), format!("node {node} is Ready"))
        }
        Goal::SystemPodsReady => {
            fixed("waiting for the system's pods", "all system pods are ready")
        }
        Goal::EtcdHealthy(_) => {
            fixed("waiting for etcd", "etcd has all its voters, healthy, with one leader")
        }
        Goal::EndpointReady(_) => {
            fixed("waiting for the endpoint", "the API answers through the endpoint")
        }
        Goal::BackendsUp(_) => {
            fixed("waiting for HAProxy's backends", "all of HAProxy's backends are up")
        }
        Goal::ClusterDns(_) => fixed("waiting for the cluster's DNS", "the cluster's DNS answers"),
        Goal::EtcdMemberRemoved(member) => {
            let label = format!("{} ({:x}, {})", member.node, member.id, member.peer_url);
            (format!("removing the etcd member {label}"), format!("etcd goes on without {label}"))
        }
        Goal::NodeRemoved(removal) => (
            format!("deleting node {} and its system pods", removal.node),
            format!("node {} and its system pods are gone", removal.node),
        ),
    }
}
