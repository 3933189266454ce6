# shellcheck shell=bash
# A site of quorate over the lab: its state, its enrolled agents and its specification. Read by other scripts.

BIN=${QUORATE_BIN:?QUORATE_BIN must name the folder of quorate and quorate-agent; make sets it}
# What nodes install: the .deb that `make` has packed, or the bare program.
# shellcheck disable=SC2034  # the scripts that read this file use it
AGENT=${QUORATE_AGENT:-$BIN/quorate-agent}
SITE=$QUORATE_LAB/site
# shellcheck disable=SC2034  # the scripts that read this file use it
SPEC=$SITE/cluster.yaml
CHECKOUT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
LAB_COMMAND=$CHECKOUT/tests/lab/lab
# shellcheck source=tests/lab/lib/nodes.sh
. "$CHECKOUT/tests/lab/lib/nodes.sh"

make_site() {
    [[ -d $SITE ]] || "$BIN/quorate" init --state "$SITE"
}

# Of these nodes those whose agent has no identity yet.
strangers() {
    local name
    for name; do
        "$LAB_COMMAND" exec "$name" -- test -e /var/lib/quorate-agent/identity || printf '%s\n' "$name"
    done
}

# A token goes through a file that only root reads. Whoever runs the lab takes it there himself, so that no
# code need be compared.
hand_token() {
    "$BIN/quorate" node token "$1" --approve auto --state "$SITE" 2>/dev/null |
        "$LAB_COMMAND" exec "$1" -- install -m 600 /dev/stdin /run/quorate-join-token
}

# One node trades its token for a certificate.
enrol() {
    "$LAB_COMMAND" exec "$1" -- quorate-agent enrol \
        --coordinator "$GATEWAY:7444" --token-file /run/quorate-join-token
}

# Enrols these nodes where that is needed, and starts their agents.
enrol_all() {
    local new name server
    mapfile -t new < <(strangers "$@")
    if ((${#new[@]} > 0)); then
        echo "enrolling ${new[*]}"
        # Before it serves: a node that was enrolled once is awaited only by a newer token.
        for name in "${new[@]}"; do hand_token "$name"; done
        coproc SERVER { "$BIN/quorate" serve --state "$SITE" --listen "$GATEWAY:7444" \
            --until-enrolled "$(IFS=,; echo "${new[*]}")"; }
        server=$SERVER_PID
        # Its first line says that it listens.
        read -r <&"${SERVER[0]}"
        for name in "${new[@]}"; do enrol "$name"; done
        wait "$server"
    fi
    for name; do start_agent "$name"; done
}

# Starts the agent, both roles of it anew if their program was replaced since.
start_agent() {
    "$LAB_COMMAND" exec "$1" -- bash -euo pipefail -s <<'SCRIPT'
systemctl daemon-reload
systemctl enable --quiet --now quorate-agent
pid=$(systemctl show --property MainPID --value quorate-agent)
if [[ $(readlink "/proc/$pid/exe") != /usr/bin/quorate-agent ]]; then
    systemctl try-restart quorate-executor
    systemctl restart quorate-agent
fi
SCRIPT
}

# HAProxy's own word on its backends.
backends() {
    local pid
    pid=$("$LAB_COMMAND" list | awk '$1 == "lb-1" { print $3 }')
    echo 'show stat' | socat stdio "UNIX-CONNECT:/proc/$pid/root/run/haproxy/admin.sock" |
        awk -F , '$2 ~ /^cp-/ { print $2, $18 }'
}

# packaging's sample specification, beside the files that it names.
make_spec() {
    install -m 644 "$CHECKOUT/packaging/cluster.yaml" "$SPEC"
    install -m 644 "$("$LAB_COMMAND" key)" "$SITE/key.asc"
    install -m 644 "$("$LAB_COMMAND" images-list)" "$SITE/images.yaml"
}
