# shellcheck shell=bash
# A cgroup for each node, so that it outlives the session that started it and its systemd has a tree of its own.
# Tested on a cgroup v1 host. The cgroup v2 branch is the plain thing to do there, and is untested here.

cgroup_v2() { [[ -e /sys/fs/cgroup/cgroup.controllers ]]; }

# The node's folder in every hierarchy of this machine.
node_cgroups() {
    local hierarchy
    if cgroup_v2; then
        printf '/sys/fs/cgroup/quorate-lab/%s\n' "$1"
        return
    fi
    for hierarchy in /sys/fs/cgroup/*/; do
        if [[ ! -L ${hierarchy%/} && -e $hierarchy/cgroup.procs ]]; then printf '%squorate-lab-%s\n' "$hierarchy" "$1"; fi
    done
}

# Moves the calling shell into the node's cgroups.
enter_cgroups() {
    local folder setting
    node_cgroups "$1" | while read -r folder; do
        mkdir -p "$folder"
        # A new cpuset has no processors and no memory, and takes no process until it has.
        for setting in cpuset.cpus cpuset.mems; do
            if ! cgroup_v2 && [[ -e $folder/$setting ]]; then cat "${folder%/*}/$setting" >"$folder/$setting"; fi
        done
        echo "$2" >"$folder/cgroup.procs"
    done
}

# Ends what still runs in the node's cgroups (a crash may have lost its pid) and removes them.
clear_cgroups() {
    local folder pid
    node_cgroups "$1" | while read -r folder; do
        [[ -d $folder ]] || continue
        for _ in {1..50}; do
            find "$folder" -name cgroup.procs -exec cat {} + 2>/dev/null | while read -r pid; do
                kill -KILL "$pid" 2>/dev/null || true
            done
            find "$folder" -depth -type d -exec rmdir {} + 2>/dev/null || true
            [[ -d $folder ]] || break
            sleep 0.1
        done
        [[ ! -d $folder ]] || fail "node $1 still has processes in $folder; see cgroup.procs there, end them and try again"
    done
}

# Names of all cgroups the lab has made here, also those whose record a crash has lost.
cgroup_names() {
    local folder
    for folder in /sys/fs/cgroup/quorate-lab/*/ /sys/fs/cgroup/*/quorate-lab-*/; do
        if [[ -d $folder ]]; then basename "$folder" | sed 's/^quorate-lab-//'; fi
    done | sort -u
}

# On cgroup v1 nspawn mounts the controllers read-only; the kubelet and containerd need them writable.
open_cgroups() {
    if cgroup_v2; then return; fi
    # shellcheck disable=SC2016  # the node's shell expands it
    in_node "$1" sh -c 'for c in /sys/fs/cgroup/*/; do
        if [ ! -L "${c%/}" ] && mountpoint -q "$c"; then mount -o remount,bind,rw "$c"; fi
    done
    mount -o remount,bind,rw /sys/fs/cgroup 2>/dev/null || true'
}
