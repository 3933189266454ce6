# shellcheck shell=bash
# The cache: each artefact is built once, under a key made of everything that defines it, and appears whole or not at all.

# Prints the folder or file of an artefact built before.
cached() {
    readlink -e "$QUORATE_CACHE/$1" || fail "the cache has no $1: run 'lab prepare' first"
}

# The key of an artefact: the functions of its topic (go_build belongs to go_*), and the arguments. Paths of
# other artefacts contain their keys, so what is built from them is built again when they change.
artefact_key() {
    local recipe=$1 topic
    topic=${recipe%%_*}
    {
        # shellcheck disable=SC2046  # function names have no blanks
        declare -f $(compgen -A function "${topic}_")
        printf '%s\n' "${@//$QUORATE_CACHE/}"
    } | sha256sum | cut -c 1-12
}

# artefact NAME RECIPE [ARG...]: builds $QUORATE_CACHE/NAME unless it is there. The recipe is called with the path to
# make, then the arguments, in a subshell.
artefact() {
    local name=$1 recipe=$2 key stored began
    shift 2
    key=$(artefact_key "$recipe" "$@")
    stored=$QUORATE_CACHE/store/$name-$key
    if [[ ! -e $stored ]]; then
        began=$SECONDS
        progress "$name ..."
        artefact_build "$name" "$stored" "$recipe" "$@"
        progress_end "$((SECONDS - began)) s"
    fi
    ln -sfn "store/$name-$key" "$QUORATE_CACHE/$name"
}

artefact_build() {
    local name=$1 stored=$2 recipe=$3 log=$QUORATE_CACHE/log/$1.log status=0
    shift 3
    mkdir -p "$QUORATE_CACHE/store" "$QUORATE_CACHE/log"
    rm -rf "$stored.new"
    # Not `( ... ) || ...`: inside such a list `set -e` would be off and a recipe would go on after its first error.
    set +e
    (set -e; "$recipe" "$stored.new" "$@") >"$log" 2>&1 </dev/null
    status=$?
    set -e
    if ((status != 0)); then
        tail -n 15 "$log" >&2
        fail "building $name failed (all of its output: $log); mend the cause and run 'lab prepare' again"
    fi
    mv -T "$stored.new" "$stored"
}

# Removes what no name points at any more: artefacts of older keys and builds that were cut off.
prune_cache() {
    local entry link
    # Running nodes stand on an artefact, perhaps on an older one.
    if grep -q "=$QUORATE_CACHE/store/" /proc/mounts; then return; fi
    declare -A wanted=()
    for link in "$QUORATE_CACHE"/*; do
        if [[ -L $link ]]; then wanted[$(readlink "$link")]=1; fi
    done
    for entry in "$QUORATE_CACHE"/store/*; do
        [[ -n ${wanted[store/${entry##*/}]:-} ]] || rm -rf "$entry"
    done
}
