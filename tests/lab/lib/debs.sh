# shellcheck shell=bash
# The lab's apt repository: Kubernetes packages of our own making, shaped like the community's, beside Debian's.

# deb_control TREE NAME VERSION SUMMARY [FIELD...]
deb_control() {
    local tree=$1 name=$2 version=$3 summary=$4
    shift 4
    mkdir -p "$tree/DEBIAN"
    # The package's top folder is / of the node.
    chmod 755 "$tree"
    {
        printf 'Package: %s\nVersion: %s\nArchitecture: amd64\nSection: net\nPriority: optional\n' "$name" "$version"
        printf 'Maintainer: quorate lab <lab@quorate.invalid>\nDescription: %s\n' "$summary"
        (($# == 0)) || printf '%s\n' "$@"
    } >"$tree/DEBIAN/control"
}

# Level 1: most of the bytes are Go programs, and apt unpacks them on six nodes at once.
deb_pack() { dpkg-deb --root-owner-group -Zgzip -z1 --build "$1" "$2"; }

# deb_newer DEB VERSION OUT: the same package as another version.
deb_newer() {
    local tree
    tree=$(mktemp -d)
    dpkg-deb --raw-extract "$1" "$tree"
    chmod 755 "$tree"
    sed -i "s/^Version: .*/Version: $2/" "$tree/DEBIAN/control"
    deb_pack "$tree" "$3" >/dev/null
    rm -rf "$tree"
}

# deb_tool OUT VERSION PROGRAM-FILE NAME: a package of one program, kubeadm (with the kubelet's drop-in) or kubectl. The
# community's kubeadm also depends on cri-tools, which no registry serves as source; kubeadm works without.
deb_tool() {
    local out=$1 version=$2 program=$3 name=$4 tree
    tree=$(mktemp -d)
    install -D -m 755 "$program" "$tree/usr/bin/$name"
    if [[ $name == kubeadm ]]; then deb_kubelet_drop_in "$tree"; fi
    deb_control "$tree" "$name" "$version" "Command-line utility of Kubernetes"
    deb_pack "$tree" "$out"
    rm -rf "$tree"
}

deb_kubelet_drop_in() {
    mkdir -p "$1/usr/lib/systemd/system/kubelet.service.d"
    cat >"$1/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf" <<'UNIT'
# Note: This dropin only works with kubeadm and kubelet v1.11+
[Service]
Environment="KUBELET_KUBECONFIG_ARGS=--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf --kubeconfig=/etc/kubernetes/kubelet.conf"
Environment="KUBELET_CONFIG_ARGS=--config=/var/lib/kubelet/config.yaml"
# "kubeadm init" and "kubeadm join" write this file
EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env
# The last resort of an operator
EnvironmentFile=-/etc/default/kubelet
ExecStart=
ExecStart=/usr/bin/kubelet $KUBELET_KUBECONFIG_ARGS $KUBELET_CONFIG_ARGS $KUBELET_KUBEADM_ARGS $KUBELET_EXTRA_ARGS
UNIT
}

# deb_kubelet OUT VERSION PROGRAM-FILE. The service is neither enabled nor started: the documentation has the user do that.
# What the community's package only recommends (iptables) or leaves to the user (conntrack) is left so here too.
deb_kubelet() {
    local out=$1 version=$2 program=$3 tree
    tree=$(mktemp -d)
    install -D -m 755 "$program" "$tree/usr/bin/kubelet"
    mkdir -p "$tree/usr/lib/systemd/system" "$tree/etc/default" "$tree/etc/kubernetes/manifests" "$tree/var/lib/kubelet"
    cat >"$tree/usr/lib/systemd/system/kubelet.service" <<'UNIT'
[Unit]
Description=kubelet: The Kubernetes Node Agent
Documentation=https://kubernetes.io/docs/
Wants=network-online.target
After=network-online.target

[Service]
ExecStart=/usr/bin/kubelet
Restart=always
StartLimitInterval=0
RestartSec=10

[Install]
WantedBy=multi-user.target
UNIT
    chmod 600 "$tree/usr/lib/systemd/system/kubelet.service"
    echo 'KUBELET_EXTRA_ARGS=' >"$tree/etc/default/kubelet"
    touch "$tree/etc/kubernetes/manifests/.kubelet-keep" "$tree/var/lib/kubelet/.kubelet-keep"
    deb_control "$tree" kubelet "$version" 'Node agent for Kubernetes clusters' \
        'Depends: kubernetes-cni (>= 1.2.0), mount, util-linux' 'Recommends: iptables (>= 1.8.4)'
    echo /etc/default/kubelet >"$tree/DEBIAN/conffiles"
    printf '#!/bin/sh\nif [ -d /run/systemd/system ]; then systemctl --system daemon-reload || true; fi\n' >"$tree/DEBIAN/postinst"
    chmod 755 "$tree/DEBIAN/postinst"
    deb_pack "$tree" "$out"
    rm -rf "$tree"
}

# deb_kubernetes_cni OUT VERSION CLOSURE: the plugins of Debian's package, where Kubernetes looks for them. Like the
# community's package it has no flannel plugin; flannel's own image brings that.
deb_kubernetes_cni() {
    local out=$1 version=$2 closure=$3 tree plugins
    tree=$(mktemp -d)
    plugins=$(mktemp -d)
    dpkg-deb -x "$closure"/debs/containernetworking-plugins_*.deb "$plugins"
    mkdir -p "$tree/opt/cni" "$tree/etc/cni/net.d"
    cp -a "$plugins/usr/lib/cni" "$tree/opt/cni/bin"
    rm -f "$tree/opt/cni/bin/flannel"
    touch "$tree/etc/cni/net.d/.kubernetes-cni-keep"
    deb_control "$tree" kubernetes-cni "$version" 'Binaries required to provision kubernetes container networking'
    deb_pack "$tree" "$out"
    rm -rf "$tree" "$plugins"
}

# deb_repository OUT KEY-FOLDER CLOSURE DEB...: a flat repository, as pkgs.k8s.io has: deb [signed-by=KEY] URL /
deb_repository() {
    local out=$1 key=$2 closure=$3 deb field
    shift 3
    mkdir -p "$out"
    cp -l "$closure"/debs/*.deb "$out" 2>/dev/null || cp "$closure"/debs/*.deb "$out"
    for deb; do
        # shellcheck disable=SC2016  # dpkg-deb expands it
        field=$(dpkg-deb --show --showformat '${Package}_${Version}_${Architecture}' "$deb")
        cp "$deb" "$out/$field.deb"
    done
    # shellcheck disable=SC2164  # recipes run under set -e
    cd "$out"
    apt-ftparchive packages . >Packages
    gzip -9nk Packages
    apt-ftparchive -o APT::FTPArchive::Release::Origin=quorate-lab -o APT::FTPArchive::Release::Suite=lab release . >Release.new
    mv Release.new Release
    gpg --homedir "$key" --batch --clearsign -o InRelease Release
    gpg --homedir "$key" --batch --armor --detach-sign -o Release.gpg Release
    gpgconf --homedir "$key" --kill all
    cp "$key/key.asc" .
    chmod -R a+rX .
}

make_debs() {
    local version=${KUBERNETES#v}-$PACKAGE_REVISION name
    artefact "kubelet-$KUBERNETES.deb" deb_kubelet "$version" "$(cached "kubelet-$KUBERNETES")"
    for name in kubeadm kubectl; do
        artefact "$name-$KUBERNETES.deb" deb_tool "$version" "$(cached "$name-$KUBERNETES")" "$name"
    done
    artefact "kubernetes-cni-$CNI_PACKAGE.deb" deb_kubernetes_cni "$CNI_PACKAGE" "$(cached "debian-$DEBIAN")"
}

# key_make OUT: the key pair that signs the repository, and key.asc, which nodes trust.
key_make() {
    local out=$1
    install -d -m 700 "$out"
    gpg --homedir "$out" --batch --passphrase '' --quick-generate-key 'quorate lab <lab@quorate.invalid>' rsa3072 sign never
    gpg --homedir "$out" --armor --export >"$out/key.asc"
    gpgconf --homedir "$out" --kill all
}

make_repository() {
    artefact key key_make
    artefact apt deb_repository "$(cached key)" "$(cached "debian-$DEBIAN")" "$(cached "kubelet-$KUBERNETES.deb")" \
        "$(cached "kubeadm-$KUBERNETES.deb")" "$(cached "kubectl-$KUBERNETES.deb")" "$(cached "kubernetes-cni-$CNI_PACKAGE.deb")"
}
