# shellcheck shell=bash
# The package's life on a machine whose systemd runs.

apt_in_guest() { in_guest "DEBIAN_FRONTEND=noninteractive apt-get --yes --quiet $*" >>"$VM/apt.log" 2>&1 || fail "apt-get $*: $(tail -n 5 "$VM/apt.log")"; }

agent_is() { [[ $(in_guest systemctl is-active quorate-agent.service) == "$1" ]] || fail "$2 the agent is not $1"; }

agent_pid() { in_guest systemctl show --property MainPID --value quorate-agent.service; }

package_life() {
    local before known
    known=$(identity)
    deb_newer "$QUORATE_AGENT" "$(dpkg-deb --field "$QUORATE_AGENT" Version)+1" "$VM/newer.deb"
    to_guest "$VM/newer.deb" /run/newer.deb
    before=$(agent_pid)
    apt_in_guest install /run/newer.deb
    agent_is active 'After the upgrade'
    [[ $(agent_pid) != "$before" ]] || fail 'the upgrade has left the old agent running'
    step 'apt has upgraded the agent, and the new one runs'

    apt_in_guest remove quorate-agent
    agent_is inactive 'After the removal'
    [[ $(identity) == "$known" ]] || fail 'the removal has taken the identity'
    apt_in_guest install /run/newer.deb
    agent_is active 'Installed again, with its identity,'
    step 'removed and installed again, the agent runs as the node that it was'

    apt_in_guest purge quorate-agent
    agent_is inactive 'After the purge'
    [[ -z $(identity || true) ]] || fail 'the purge has left the identity'
    step 'purged, the identity is gone'
}
