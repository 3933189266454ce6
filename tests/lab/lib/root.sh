# shellcheck shell=bash
# The bare root file system every node starts from, and the Debian packages that nodes install later.

# What a small server has before anyone prepares it for Kubernetes.
ROOT_PACKAGES=systemd,systemd-sysv,dbus,iproute2,kmod,procps,ca-certificates,curl,iputils-ping
# What quorate or the baseline install through apt; the lab's repository carries these and all they depend on.
NODE_PACKAGES=(containerd runc conntrack socat ethtool iptables nftables haproxy keepalived nginx libnginx-mod-stream jq
    containernetworking-plugins)

# root_debian OUT SUITE BASE-PACKAGES PACKAGE...: OUT/root, a tree, and OUT/debs, what installing the packages there takes.
# Both at once, so that they come from one state of Debian's archive. Without a mirror mmdebstrap takes Debian's own,
# with updates and security.
root_debian() {
    local out=$1 suite=$2 base=$3
    shift 3
    mkdir -p "$out/debs"
    # shellcheck disable=SC2016  # mmdebstrap's shell expands the last hook
    mmdebstrap --mode=root --variant=minbase --include="$base" \
        --customize-hook="APT_CONFIG=\"\$MMDEBSTRAP_APT_CONFIG\" apt-get install --yes --no-install-recommends \
            --download-only -o Dir::Cache::Archives=$out/debs/ $*" \
        --customize-hook='rm -f "$1"/var/cache/apt/archives/*.deb' \
        "$suite" "$out/root"
    rm -rf "$out/debs/lock" "$out/debs/partial"
    root_settle "$out/root"
}

# What makes the tree a node's, and nobody's in particular.
root_settle() {
    local root=$1 unit
    # The only package source of a node is the one quorate gives it.
    : >"$root/etc/apt/sources.list"
    rm -rf "$root"/etc/apt/sources.list.d/* "$root"/var/lib/apt/lists/*
    # CoreDNS forwards to what this file names, and crash-loops when it names none.
    echo 'nameserver 10.77.0.1' >"$root/etc/resolv.conf"
    : >"$root/etc/machine-id"
    # Nothing to mount, to check or to log in at in a container; these would make `is-system-running` say degraded.
    for unit in console-getty.service getty.target systemd-resolved.service systemd-networkd-wait-online.service \
        systemd-timesyncd.service apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
        fstrim.timer systemd-journald-audit.socket; do
        ln -sfn /dev/null "$root/etc/systemd/system/$unit"
    done
    mkdir -p "$root/etc/systemd/journald.conf.d"
    printf '[Journal]\nStorage=volatile\nRuntimeMaxUse=32M\n' >"$root/etc/systemd/journald.conf.d/lab.conf"
}
make_root() {
    artefact "debian-$DEBIAN" root_debian "$DEBIAN" "$ROOT_PACKAGES" "${NODE_PACKAGES[@]}"
}
