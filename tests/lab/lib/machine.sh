# shellcheck shell=bash
# What this machine must be and have, to run the lab.

# Command and the Debian package that brings it.
TOOLS='systemd-nspawn systemd-container
mmdebstrap mmdebstrap
ip iproute2
nsenter util-linux
curl curl
busybox busybox
dnsmasq dnsmasq-base
apt-ftparchive apt-utils
dpkg-deb dpkg
gpg gpg
jq jq
nft nftables
socat socat
gcc gcc'

missing_packages() {
    local tool package
    while read -r tool package; do
        command -v "$tool" >/dev/null || printf '%s\n' "$package"
    done <<<"$TOOLS"
}

install_missing() {
    local missing
    mapfile -t missing < <(missing_packages)
    ((${#missing[@]} > 0)) || return 0
    say "installing the Debian packages ${missing[*]}"
    # A new machine may have no lists yet.
    apt-get update >"$QUORATE_CACHE/log/tools.log" 2>&1 || true
    DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "${missing[@]}" >>"$QUORATE_CACHE/log/tools.log" 2>&1 ||
        fail "apt-get install ${missing[*]} failed (see $QUORATE_CACHE/log/tools.log); see that apt has Debian's packages"
}

# Prints why this machine cannot run the lab, or nothing.
obstacle() {
    if [[ $(id -u) != 0 ]]; then echo 'not root'; return; fi
    if [[ $(uname -m) != x86_64 ]]; then echo "the lab builds for x86_64, this is $(uname -m)"; return; fi
    command -v apt-get >/dev/null || { echo 'not a Debian machine: no apt-get'; return; }
    command -v go >/dev/null || { echo 'no Go toolchain: the lab builds Kubernetes from its Go modules'; return; }
    grep -qw overlay /proc/filesystems || modprobe overlay 2>/dev/null || { echo 'the kernel has no overlay file system'; return; }
    unshare --mount --net --pid --fork true 2>/dev/null || { echo 'making namespaces is not allowed here (a container?)'; return; }
    obstacle_of_network
}

obstacle_of_network() {
    # In a network namespace of its own: nothing is left behind.
    command -v ip >/dev/null || return 0
    unshare --net sh -c 'ip link add name qlab-b type bridge && ip link add name qlab-v type veth &&
            ip link add name qlab-x type vxlan id 1 dstport 4789' \
        >/dev/null 2>&1 || echo 'the kernel makes no bridge, veth or vxlan interface'
}

why_not() {
    local why
    why=$(obstacle)
    [[ -z $why ]] || fail "this machine cannot run the lab: $why"
}

# Six nodes, with a systemd, a containerd and a kubelet each, share this kernel's inotify instances; the default is 128.
raise_limits() {
    local setting=/proc/sys/fs/inotify/max_user_instances
    if (($(cat "$setting") < 1024)); then
        say "raising fs.inotify.max_user_instances of this machine from $(cat "$setting") to 1024"
        echo 1024 >"$setting"
    fi
}
