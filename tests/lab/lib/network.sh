# shellcheck shell=bash
# The lab's network: one bridge, one web server on it, and each node's cable.

bridge_up() {
    ip link show "$BRIDGE" >/dev/null 2>&1 || ip link add "$BRIDGE" type bridge
    ip address replace "$GATEWAY/24" dev "$BRIDGE"
    ip link set "$BRIDGE" up
}

bridge_down() {
    if ip link show "$BRIDGE" >/dev/null 2>&1; then ip link delete "$BRIDGE"; fi
}

# A process of the lab's own at the nodes' service, in a session and a cgroup of its own: start_server NAME COMMAND...
start_server() {
    local name=$1
    shift
    if remembered_process "$QUORATE_LAB/$name.pid" >/dev/null; then return; fi
    (
        enter_cgroups "$name" "$BASHPID"
        exec setsid "$@"
    ) </dev/null >"$QUORATE_LAB/$name.log" 2>&1 9>&- &
    disown
    remember_process "$!" "$QUORATE_LAB/$name.pid"
}

stop_server() {
    end_process "$QUORATE_LAB/$1.pid" || fail "the lab's $1 server does not end; its pid is in $QUORATE_LAB/$1.pid"
    clear_cgroups "$1"
}

# Serves /apt/ and /images/ from the cache to the nodes, and to nobody else.
web_up() {
    local www=$QUORATE_LAB/www
    mkdir -p "$www"
    ln -sfn "$(cached apt)" "$www/apt"
    ln -sfn "$(cached images)" "$www/images"
    # Is there once `lab up` was given a package of the agent.
    ln -sfn "$QUORATE_LAB/agent/repository" "$www/agent"
    start_server web busybox httpd -f -p "$GATEWAY:$HTTP_PORT" -h "$www"
    for _ in {1..50}; do
        if curl -fsS -o /dev/null "http://$GATEWAY:$HTTP_PORT/apt/InRelease" 2>/dev/null; then return; fi
        sleep 0.1
    done
    fail "the lab's web server on $GATEWAY:$HTTP_PORT does not answer; see $QUORATE_LAB/web.log (is the port taken?)"
}

# Says at once that it knows no name, and asks nobody: without it every look-up in a node ends in a timeout.
names_up() {
    start_server names dnsmasq --keep-in-foreground --conf-file=/dev/null --pid-file= --log-facility=- --user=root \
        --no-resolv --no-hosts --bind-interfaces --listen-address="$GATEWAY" --except-interface=lo --address=/#/
}

servers_down() {
    stop_server web
    stop_server names
}

# Gives the node's end of the cable its address; from outside, so that the bare node needs no network service.
plug_in() {
    local name=$1 address
    address=$(node_address "$name")
    in_network "$name" ip link set lo up
    in_network "$name" ip address replace "$address/24" dev host0
    in_network "$name" ip link set host0 up
    # kubeadm and flannel take the interface of the default route. Nothing is forwarded there.
    in_network "$name" ip route replace default via "$GATEWAY"
}

in_network() {
    local pid
    pid=$(node_pid "$1") || fail "node $1 does not run; 'lab boot $1' starts it, 'lab logs $1' shows its console"
    shift
    nsenter --target "$pid" --net -- "$@"
}

# cut_node NODE [in|out]: nothing goes through its cable, or nothing comes in, or nothing goes out.
cut_node() {
    local name=$1
    case ${2:-both} in
    both) set_cable "$name" down ;;
    in) drop_frames "$name" 'type filter hook postrouting priority 0;' oifname ;;
    out) drop_frames "$name" 'type filter hook prerouting priority 0;' iifname ;;
    *) fail "a node is cut 'in' or 'out', or both ways where nothing is said; not '$2'" ;;
    esac
}

mend_node() {
    if nft list table bridge "$(cut_table "$1")" >/dev/null 2>&1; then nft delete table bridge "$(cut_table "$1")"; fi
    set_cable "$1" up
}

cut_table() { printf 'quorate-lab-%s\n' "$1"; }

drop_frames() {
    local name=$1 hook=$2 side=$3 table
    table=$(cut_table "$name")
    nft -f - <<RULES
table bridge $table {
    chain cut { $hook $side "vb-$name" drop; }
}
RULES
}

set_cable() {
    node_address "$1" >/dev/null
    ip link set "vb-$1" "$2" || fail "node $1 has no cable to set $2: it does not run; 'lab boot $1' starts it"
}
