# shellcheck shell=bash
# What is done with the machine, and what must then be true.

quorate() { "$QUORATE_BIN/quorate" "$@" --state "$VM/site" -f "$SPEC"; }

enrolled() { grep -q "^$NODE is enrolled" "$VM/serve.log"; }

# A first connection to an emulated machine takes longer than quorate waits for one.
agent_answers() { eventually 600 'its agent answers' quorate plan; }

# Tells this identity from any other; fails where there is none.
identity() { in_guest 'find /var/lib/quorate-agent -name chain.pem -exec sha256sum {} + 2>/dev/null | grep .'; }

cloud_init_ended() { [[ $(in_guest cloud-init status) == 'status: '@(done|error) ]]; }

# cloud_init_is_done WHAT
cloud_init_is_done() {
    eventually 600 "$1" cloud_init_ended
    [[ $(in_guest cloud-init status) == 'status: done' ]] || fail "cloud-init complains: $(in_guest cloud-init status --long)"
}

# By the schema of the machine's own cloud-init.
samples_are_valid() {
    local sample
    for sample in "$CHECKOUT"/packaging/cloud-init/user-data*.yaml; do
        to_guest "$sample" /run/sample.yaml
        in_guest cloud-init schema --config-file /run/sample.yaml >"$VM/schema.log" 2>&1 || fail "$sample: $(cat "$VM/schema.log")"
    done
    step 'cloud-init takes the samples'
}

# A container's kernel is its host's, and has these for long.
bare() {
    in_guest 'grep -qE "^(overlay|br_netfilter) " /proc/modules' && fail 'the machine is not bare: the modules are loaded already'
    in_guest 'swapon --show --noheadings | grep -q .' || fail 'the machine is not bare: its swap is off'
    step 'overlay and br_netfilter are not loaded, and swap is on'
}

# prepared WHEN
prepared() {
    in_guest "set -e
        for module in overlay br_netfilter; do grep -q \"^\$module \" /proc/modules; done
        test -z \"\$(swapon --show --noheadings)\"
        for name in bridge/bridge-nf-call-iptables bridge/bridge-nf-call-ip6tables ipv4/ip_forward; do test \"\$(cat /proc/sys/net/\$name)\" = 1; done
        grep -q '^$ADDRESS.*$NODE' /etc/hosts
        systemctl --quiet is-active quorate-agent containerd" || fail "$1 the machine is not prepared"
    step "$1 modules are loaded, sysctls set, swap is off, /etc/hosts knows the node, agent and containerd run"
}

# apply_until GOAL SECONDS: shows each order, and presses Ctrl-C at the one for GOAL; without one, it must end well.
apply_until() {
    local until=$1 deadline=$((SECONDS + $2)) applying goal doing status=0
    # Its own session's job: `&` alone would have it ignore Ctrl-C.
    exec {events}< <(trap - INT; exec "$QUORATE_BIN/quorate" apply --state "$VM/site" -f "$SPEC" --output json 2>"$VM/apply.err")
    applying=$!
    while ((SECONDS < deadline)) && read -r -t $((deadline - SECONDS)) goal doing; do
        step "quorate: $doing"
        if [[ $goal == "$until" ]]; then kill -INT "$applying"; fi
    done < <(tee "$VM/apply.json" <&"$events" |
        jq --unbuffered --raw-output 'select(.event.kind == "dispatched") | .event | .step.goal + " " + .doing')
    ((SECONDS < deadline)) || fail "quorate apply has not ended within $2 s: $(tail -n 1 "$VM/apply.json")"
    exec {events}<&-
    wait "$applying" || status=$?
    if [[ $status != 130 || -z $until ]] && [[ $status != 0 || -n $until ]]; then
        fail "quorate apply has ended with $status: $(cat "$VM/apply.err"; tail -n 1 "$VM/apply.json")"
    fi
}

# nothing_left_of PATTERN: no step of these goals is in a plan.
nothing_left_of() {
    local left
    quorate plan --output json >"$VM/plan.json" || fail 'quorate plan fails'
    left=$(jq --raw-output '.plan.steps[].step.id.goal' "$VM/plan.json")
    [[ -n $left ]] || fail 'the plan is empty'
    ! grep -xE "$1" <<<"$left" || fail 'these steps were done, and are left again'
    step "nothing to prepare is left; next: $(head -n 1 <<<"$left")"
}

# Gives a thief on the machine the token of the medium.
steal_token() {
    # The agent keeps an identity as its own user.
    in_guest 'set -e; umask 077; install -d -o quorate-agent /run/thief; echo "identityFolder: /run/thief/identity" >/run/thief/agent.yaml; chmod 644 /run/thief/agent.yaml
        mount -o ro LABEL=CIDATA /mnt; grep -o "qrt1_.*" /mnt/user-data >/run/thief/token; umount /mnt; test -s /run/thief/token'
}

# Once it has served, nothing of it is on the machine's own disk: until the next start with the medium, of which cloud-init then
# makes its copies anew.
token_is_gone() {
    local copies
    steal_token
    in_guest test ! -e /etc/quorate/enrol.token || fail 'the token is still in /etc/quorate/enrol.token'
    copies=$(in_guest 'grep -rlFf /run/thief/token /etc /run/cloud-init /var/lib /var/log /tmp || true')
    [[ -z $copies ]] || fail "the token is still in $copies"
    in_guest rm -r /run/thief
    step 'the token is gone from the machine'
}

# The medium keeps it. It must be worth nothing.
token_is_spent() {
    local told server
    steal_token
    "$QUORATE_BIN/quorate" serve --state "$VM/site" --listen "$GATEWAY:7444" >"$VM/serve-again.log" 2>&1 &
    server=$!
    eventually 60 'quorate serves again' grep -q . "$VM/serve-again.log"
    told=$(in_guest "quorate-agent --settings /run/thief/agent.yaml enrol --coordinator $GATEWAY:7444 --token-file /run/thief/token" 2>&1) &&
        fail 'the token of the medium has served twice'
    [[ $told == *refused* ]] || fail "the token of the medium was not refused: $told"
    kill -INT "$server"
    in_guest rm -r /run/thief
    step "the token of the medium: $told"
}
