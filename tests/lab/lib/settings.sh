# shellcheck shell=bash
# What the lab is made of: versions, addresses and folders. Nothing is done here.
# shellcheck disable=SC2034  # the other files use these

QUORATE_CACHE=${QUORATE_CACHE:-/var/cache/quorate}
QUORATE_LAB=${QUORATE_LAB:-/var/lib/quorate-lab}

KUBERNETES=v1.35.4
ETCD=v3.6.8
# kubeadm v1.35.4 asks for this tag. The program in the lab's image is the one of $ETCD, the nearest that is served.
ETCD_TAG=3.6.6-0
COREDNS=v1.13.1
PAUSE_TAG=3.10.1
FLANNEL=v0.28.4
FLANNEL_CNI=v0.9.1
FLANNEL_CNI_TAG=v1.8.0-flannel1
# flannel's go.mod leaves out what its build needs from this repository.
TENCENT_COMMON=v1.3.103
PACKAGE_REVISION=1.1
CNI_PACKAGE=1.8.0-1.1

DEBIAN=bookworm
KUBE_PROGRAMS=(kubeadm kubelet kubectl kube-apiserver kube-controller-manager kube-scheduler kube-proxy)

BRIDGE=qlab0
GATEWAY=10.77.0.1
HTTP_PORT=8080
ENDPOINT=10.77.0.10:6443
POD_SUBNET=10.244.0.0/16

# One node a line: name, address, role. The spare takes the place of a control plane that is gone for ever.
NODE_TABLE='lb-1 10.77.0.10 load-balancer
cp-1 10.77.0.11 control-plane
cp-2 10.77.0.12 control-plane
cp-3 10.77.0.13 control-plane
cp-4 10.77.0.14 spare
worker-1 10.77.0.21 worker
worker-2 10.77.0.22 worker'
