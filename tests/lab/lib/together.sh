# shellcheck shell=bash
# Work on several nodes at once.

# side_by_side FUNCTION NODE...: runs FUNCTION NODE for all of them together and waits for all; fails if one failed, after
# showing what that one printed.
side_by_side() {
    local function=$1 logs name failed=()
    shift
    logs=$(mktemp -d)
    declare -A pids=()
    for name; do
        (set -e; "$function" "$name") >"$logs/$name" 2>&1 </dev/null &
        pids[$name]=$!
    done
    for name; do
        if ! wait "${pids[$name]}"; then
            failed+=("$name")
            sed "s/^/$name: /" "$logs/$name" | tail -n 20 >&2
        fi
    done
    rm -rf "$logs"
    ((${#failed[@]} == 0)) || fail "$function failed on ${failed[*]} (above: the end of what it printed); the other nodes are done"
}
