# shellcheck shell=bash
# Processes the lab started, remembered as "pid start-time" so that a reused pid is never taken for one of them.

process_started_at() {
    # The command's name may hold blanks and brackets; what follows its last bracket is fixed. Field 22 of the whole.
    sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d ' ' -f 20
}

remember_process() { printf '%s %s\n' "$1" "$(process_started_at "$1")" >"$2"; }

# Prints the pid kept in a file if that very process still runs.
remembered_process() {
    local pid started stat
    [[ -r $1 ]] && read -r pid started <"$1" || return 1
    # One look: between two the process may end.
    stat=$(sed 's/.*) //' "/proc/$pid/stat" 2>/dev/null) || return 1
    [[ -n $started && $(cut -d ' ' -f 20 <<<"$stat") == "$started" ]] || return 1
    # A zombie keeps its start time until its parent has waited for it.
    [[ $stat != Z* ]] || return 1
    printf '%s\n' "$pid"
}

# end_process FILE: SIGKILL to the process kept in the file, and waits until it is gone.
end_process() {
    local pid
    for _ in {1..100}; do
        pid=$(remembered_process "$1") || break
        kill -KILL "$pid" 2>/dev/null || true
        sleep 0.1
    done
    ! remembered_process "$1" >/dev/null || return 1
    rm -f "$1"
}
