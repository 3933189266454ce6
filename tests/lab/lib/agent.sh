# shellcheck shell=bash
# How the agent comes into a node: as a .deb by apt from a repository of the lab's, as people install it, or as a bare
# program put in its place, for development. Enabling it is left to the test.

# agent_given FILE: what `lab up` is to install from now on.
agent_given() {
    local folder=$QUORATE_LAB/agent status=0
    [[ -f $1 ]] || fail "there is no $1: 'make build' makes the program, 'packaging/build dev' its package"
    rm -rf "$folder"
    case $1 in
    *.deb)
        rm -f "$QUORATE_LAB/quorate-agent"
        install -D -m 644 "$1" "$folder/debs/quorate-agent.deb"
        # Not `( ... ) || ...`: `set -e` would be off inside.
        set +e
        (set -e; deb_repository "$folder/repository" "$(cached key)" "$folder") >"$folder/log" 2>&1
        status=$?
        set -e
        ((status == 0)) || fail "no repository could be made of $1: see $folder/log"
        ;;
    *)
        install -m 755 "$1" "$QUORATE_LAB/quorate-agent.new"
        mv "$QUORATE_LAB/quorate-agent.new" "$QUORATE_LAB/quorate-agent"
        ;;
    esac
}

# agent_package NAME: has apt install, in the running node, the package given to `lab up`, unless it is there.
agent_package() {
    local name=$1 index=$QUORATE_LAB/agent/repository/Packages installed log version
    [[ -e $index ]] || return 0
    installed=$(node_folder "$name")/agent-package
    log=$(node_folder "$name")/agent-package.log
    if cmp -s "$index" "$installed"; then return; fi
    version=$(dpkg-deb --field "$QUORATE_LAB/agent/debs/quorate-agent.deb" Version)
    in_node "$name" sh -eu -s -- "http://$GATEWAY:$HTTP_PORT" "$version" >"$log" 2>&1 <<'SCRIPT' ||
list=/etc/apt/sources.list.d/quorate.list
key=/etc/apt/keyrings/quorate.asc
# For this one installation: the only source of a node is else the one that quorate gives it.
trap 'rm -f "$list" "$key"' EXIT
mkdir -p /etc/apt/keyrings
curl -fsSo "$key" "$1/agent/key.asc"
echo "deb [signed-by=$key] $1/agent/ /" >"$list"
apt-get update -o Dir::Etc::SourceList="$list" -o Dir::Etc::SourceParts=- -o APT::Get::List-Cleanup=0
# Whatever is there: an older version may be wanted, or another build of the same one.
DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends --reinstall --allow-downgrades \
    -o DPkg::Lock::Timeout=300 "quorate-agent=$2"
SCRIPT
        fail "node $name: apt does not install the agent (see $log)"
    cp "$index" "$installed"
}

# agent_upgrade NAME: apt installs the package given to `lab up` as a newer version than the one there. It waits for dpkg's lock.
agent_upgrade() {
    local name=$1 deb=$QUORATE_LAB/agent/debs/quorate-agent.deb folder version
    folder=$(node_folder "$name")
    [[ -e $deb ]] || fail "only a .deb can be upgraded; give one to 'lab up --agent'"
    node_pid "$name" >/dev/null || fail "node $name is down; 'lab boot $name' starts it"
    # shellcheck disable=SC2016  # dpkg-query expands it
    version=$(in_node "$name" dpkg-query --show --showformat '${Version}' quorate-agent)+1
    deb_newer "$deb" "$version" "$folder/root/var/tmp/quorate-agent.deb"
    in_node "$name" apt-get install --yes --no-install-recommends -o DPkg::Lock::Timeout=300 /var/tmp/quorate-agent.deb \
        >"$folder/agent-upgrade.log" 2>&1 || fail "node $name: apt does not upgrade the agent (see $folder/agent-upgrade.log)"
}
