# shellcheck shell=bash
# What the hand-made baseline and `lab unjoin` do to the nodes' cluster.

cluster_nodes() { names_of_role control-plane; names_of_role worker; }

# in_node with a script on standard input; the node's shell stops at the first error.
script_in_node() { in_node "$1" bash -euo pipefail -s; }

# Back to prepared, without a cluster. `kubeadm reset` leaves the network plugin's and kube-proxy's traces by design.
unjoin_node() {
    script_in_node "$1" <<'SCRIPT'
if command -v kubeadm >/dev/null; then
    # Nobody leaves the etcd cluster in good order: all go at once, and the last ones would wait for a quorum.
    kubeadm reset --force --skip-phases remove-etcd-member --cri-socket unix:///run/containerd/containerd.sock
    systemctl stop kubelet
fi
# The pod logs too: the next static pods count their restarts from them.
rm -rf /etc/cni/net.d/* /var/lib/cni /run/flannel /root/.kube /root/kubeadm.yaml /var/log/pods/* /var/log/containers/*
for folder in /etc/kubernetes /var/lib/etcd; do
    if [[ -d $folder ]]; then find "$folder" -mindepth 1 -delete; fi
done
if [[ -d /etc/kubernetes ]]; then mkdir /etc/kubernetes/manifests; fi
for link in flannel.1 cni0; do
    if ip link show "$link" >/dev/null 2>&1; then ip link delete "$link"; fi
done
for namespace in $(ip netns list | sed -n 's/^\(cni-[^ ]*\).*/\1/p'); do ip netns delete "$namespace"; done
# Nothing else on these nodes has rules.
if command -v nft >/dev/null; then nft flush ruleset; fi
SCRIPT
}

# unjoin [NODE...]: these nodes, or all of the sample specification's cluster.
unjoin() {
    local nodes=("$@")
    if (($# == 0)); then mapfile -t nodes < <(cluster_nodes); fi
    side_by_side unjoin_node "${nodes[@]}"
}
