# shellcheck shell=bash
# Which programs the lab builds, in an order that lets the long ones share what Go has compiled already.

make_kubernetes_module() { artefact "kubernetes-module-$1" go_kubernetes_module "$1"; }

# make_kubernetes PROGRAM VERSION
make_kubernetes() {
    artefact "$1-$2" go_kubernetes_program "$(cached "kubernetes-module-$2")" "$2" "$1"
}

make_etcd() {
    local name=$1 module=go.etcd.io/etcd/$1/v3
    if [[ $name == etcd ]]; then module=go.etcd.io/etcd/server/v3; fi
    artefact "$name-$ETCD" go_program 0 '-s -w' "$module" "$module@$ETCD"
}

make_coredns() {
    artefact "coredns-$COREDNS" go_program 0 '-s -w' github.com/coredns/coredns "github.com/coredns/coredns@$COREDNS"
}

make_flanneld() {
    artefact "flanneld-$FLANNEL" go_program 1 "-s -w -X github.com/flannel-io/flannel/pkg/version.Version=$FLANNEL" \
        github.com/flannel-io/flannel "github.com/flannel-io/flannel@$FLANNEL" \
        "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common@$TENCENT_COMMON"
}

make_flannel_cni() {
    artefact "flannel-cni-$FLANNEL_CNI" go_program 0 '-s -w' github.com/containernetworking/plugins/plugins/meta/flannel \
        "github.com/containernetworking/plugins@$FLANNEL_CNI"
}

make_pause() { artefact "pause-$PAUSE_TAG" go_pause; }

# Everything `lab prepare` makes. Each line of output is one step, so the steps are listed, then done.
prepare_all() {
    local program step steps=("make_kubernetes_module $KUBERNETES")
    for program in "${KUBE_PROGRAMS[@]}"; do steps+=("make_kubernetes $program $KUBERNETES"); done
    for program in etcd etcdctl etcdutl; do steps+=("make_etcd $program"); done
    steps+=(make_coredns make_flanneld make_flannel_cni make_pause make_root make_debs make_repository make_images)
    STEPS=${#steps[@]}
    for step in "${steps[@]}"; do
        STEP=$((STEP + 1))
        # shellcheck disable=SC2086  # a function and its arguments
        $step
    done
    # shellcheck disable=SC2034  # the progress lines count by it
    STEPS=0
}
