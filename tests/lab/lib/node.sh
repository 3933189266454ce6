# shellcheck shell=bash
# One node: an overlay over the bare root, booted by systemd-nspawn, entered by its PID 1.

node_folder() { printf '%s/nodes/%s\n' "$QUORATE_LAB" "$1"; }
node_pid() { remembered_process "$(node_folder "$1")/init.pid"; }

# in_node NAME COMMAND...: as root in all namespaces of the node's PID 1; standard input and exit status are passed on.
in_node() {
    local name=$1 pid
    pid=$(node_pid "$name") || fail "node $name does not run; 'lab boot $name' starts it, 'lab logs $name' shows its console"
    shift
    nsenter --target "$pid" --mount --uts --ipc --net --pid --cgroup -- env --ignore-environment HOME=/root \
        LANG=C.UTF-8 TERM="${TERM:-dumb}" PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        --chdir=/root "$@"
}

# Makes the node's folders on the first boot, and mounts its root unless it is mounted.
node_prepare() {
    local name=$1 folder lower
    folder=$(node_folder "$name")
    lower=$(cached "debian-$DEBIAN")/root
    if [[ ! -d $folder/upper ]]; then
        mkdir -p "$folder"/{upper,work,root,containerd,etcd,kubelet}
        chmod 755 "$folder/upper"
        mkdir -p "$folder/upper/etc"
        tr -d - </proc/sys/kernel/random/uuid >"$folder/upper/etc/machine-id"
        echo "$name" >"$folder/upper/etc/hostname"
        echo '127.0.0.1 localhost' >"$folder/upper/etc/hosts"
    fi
    mountpoint -q "$folder/root" || mount -t overlay "quorate-lab-$name" \
        -o "lowerdir=$lower,upperdir=$folder/upper,workdir=$folder/work" "$folder/root"
}

# node_agent NAME: puts the program given to `lab up`, if it was one, with its units and its user into the node; see agent.sh. Enabling
# it is left to the test.
node_agent() {
    local root packaging=$LAB/../../packaging
    root=$(node_folder "$1")/root
    [[ -e $QUORATE_LAB/quorate-agent ]] || return 0
    # By rename, since the old one may be running.
    cp "$QUORATE_LAB/quorate-agent" "$root/usr/bin/quorate-agent.new"
    mv "$root/usr/bin/quorate-agent.new" "$root/usr/bin/quorate-agent"
    install -D -m 644 -t "$root/usr/lib/systemd/system" "$packaging"/quorate-{agent,executor}.service \
        "$packaging/quorate-executor.socket"
    install -D -m 644 "$packaging/quorate-agent.sysusers" "$root/usr/lib/sysusers.d/quorate-agent.conf"
    install -D -m 644 "$packaging/quorate-agent.tmpfiles" "$root/usr/lib/tmpfiles.d/quorate-agent.conf"
    # Their own boot does this for nodes that do not run yet.
    if node_pid "$1" >/dev/null; then
        in_node "$1" systemd-sysusers quorate-agent.conf
        in_node "$1" systemd-tmpfiles --create quorate-agent.conf
    fi
}

# Starts nspawn in a session and a cgroup of its own. It is not waited for.
node_launch() {
    local name=$1 folder
    folder=$(node_folder "$name")
    clear_cgroups "$name"
    (
        enter_cgroups "$name" "$BASHPID"
        # Containers may make keyrings, load BPF programs and mount: nodes run containers of their own.
        SYSTEMD_NSPAWN_API_VFS_WRITABLE=1 exec setsid systemd-nspawn --quiet --register=no --keep-unit \
            --directory="$folder/root" --machine="$name" --hostname="$name" --network-bridge="$BRIDGE" \
            --capability=all --system-call-filter='@keyring bpf perf_event_open @mount @module' \
            --bind=/dev/kmsg --bind="$folder/containerd:/var/lib/containerd" --bind="$folder/etcd:/var/lib/etcd" \
            --bind="$folder/kubelet:/var/lib/kubelet" --resolv-conf=off --timezone=off --link-journal=no \
            --boot --console=pipe
    ) </dev/null >>"$folder/console.log" 2>&1 9>&- &
    disown
    remember_process "$!" "$folder/nspawn.pid"
}

# The node's PID 1 is the descendant of nspawn whose pid inside is 1.
node_find_init() {
    local name=$1 folder launcher child
    folder=$(node_folder "$name")
    for _ in {1..100}; do
        launcher=$(remembered_process "$folder/nspawn.pid") || break
        # shellcheck disable=SC2013  # one line of words
        for child in $(cat "/proc/$launcher/task/$launcher/children" 2>/dev/null); do
            if grep -qs "^NSpid:.*[[:space:]]1$" "/proc/$child/status" && [[ $(cat "/proc/$child/comm") == systemd ]]; then
                remember_process "$child" "$folder/init.pid"
                return
            fi
        done
        sleep 0.1
    done
    tail -n 5 "$folder/console.log" >&2
    fail "node $name does not boot (its console: $folder/console.log); 'lab wipe $name' makes it anew"
}

# Waits until the node's systemd has started everything it wants to start.
node_settle() {
    local name=$1 state=none
    node_find_init "$name"
    plug_in "$name"
    open_cgroups "$name"
    for _ in {1..300}; do
        state=$(in_node "$name" systemctl is-system-running 2>/dev/null) || true
        case $state in running | degraded) return ;; esac
        sleep 0.2
    done
    fail "node $name is '$state' a minute after its boot; 'lab logs $name' shows its console"
}

node_boot() {
    node_address "$1" >/dev/null
    if node_pid "$1" >/dev/null; then
        node_agent "$1"
    else
        node_prepare "$1"
        node_agent "$1"
        node_launch "$1"
        node_settle "$1"
    fi
    agent_package "$1"
}

# Pulls the plug: SIGKILL to PID 1, which takes every process of the node along. Its state stays.
node_kill() {
    local name=$1 folder
    folder=$(node_folder "$name")
    node_address "$name" >/dev/null
    end_process "$folder/init.pid" || fail "node $name: PID 1 does not die; see $folder/init.pid"
    for _ in {1..50}; do
        remembered_process "$folder/nspawn.pid" >/dev/null || break
        sleep 0.1
    done
    end_process "$folder/nspawn.pid" || fail "node $name: its systemd-nspawn does not die; see $folder/nspawn.pid"
    clear_cgroups "$name"
}

node_remove() {
    local name=$1 folder
    folder=$(node_folder "$name")
    node_kill "$name"
    while mountpoint -q "$folder/root"; do
        umount "$folder/root" || fail "node $name: cannot unmount $folder/root; see who uses it with: fuser -vm $folder/root"
    done
    rm -rf --one-file-system "$folder"
}
