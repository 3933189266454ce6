# shellcheck shell=bash
# Where the package has no unit yet that enrols by the settings: one of the test's own does it.

UNIT=$CHECKOUT/packaging/quorate-agent-enrol.service

# Only the unit's own program removes what cloud-init has of the token.
the_token_may_stay() { [[ ! -e $UNIT ]]; }

# The token comes to the machine by our own hand.
token_options() { the_token_may_stay || echo --approve=auto; }

before_the_unit() {
    the_token_may_stay || return 0
    sed -i 's/^    enrol: .*/    logLevel: info/' "$VM/seed/user-data"
    cat >>"$VM/seed/vendor-data" <<YAML
bootcmd:
- |
  cat >/etc/systemd/system/quorate-agent-enrol.service <<UNIT
  [Unit]
  ConditionPathExists=/etc/quorate/enrol.token
  ConditionPathExists=!/var/lib/quorate-agent/identity/chain.pem
  [Service]
  Type=oneshot
  ExecStart=/usr/bin/quorate-agent enrol --coordinator $GATEWAY:7444 --token-file /etc/quorate/enrol.token
  ExecStartPost=systemctl start --no-block quorate-agent.service
  UNIT
YAML
}
