# shellcheck shell=bash
# The host's side: a network of its own with the lab's package server in it, and the site that the machine enrols with.

SPEC=$VM/site/cluster.yaml

# The cable, and the addresses of the lab, whose list of images names them.
network_up() {
    ip link set lo up
    ip tuntap add dev tap0 mode tap
    ip address add "$GATEWAY/24" dev tap0
    ip link set tap0 up
}

# Serves the lab's repository and images, and a signed repository with the agent's package.
web_up() {
    local www=$VM/www
    mkdir -p "$www" "$VM/agent/debs"
    cp "$QUORATE_AGENT" "$VM/agent/debs/quorate-agent.deb"
    (deb_repository "$VM/agent/repository" "$(cached key)" "$VM/agent") >"$VM/repository.log" 2>&1
    ln -s "$(cached apt)" "$www/apt"
    ln -s "$(cached images)" "$www/images"
    ln -s "$VM/agent/repository" "$www/agent"
    busybox httpd -f -p "$GATEWAY:$HTTP_PORT" -h "$www" &
}

make_site() {
    "$QUORATE_BIN/quorate" init --state "$VM/site" >/dev/null
    install -m 644 "$(cached key)/key.asc" "$(cached images)/images.yaml" "$VM/site"
    cat >"$SPEC" <<YAML
apiVersion: quorate.dev/v1alpha1
kind: Cluster
metadata: {name: vm}
spec:
  kubernetes: {version: $KUBERNETES}
  endpoint: {host: $ADDRESS, port: 6443}
  network: {plugin: {flannel: {}}}
  nodes:
  - {name: $NODE, address: $ADDRESS, roles: [control-plane]}
  packages:
    repository: {url: "http://$GATEWAY:$HTTP_PORT/apt/", suite: /, keyFile: key.asc}
  images: {archivesFile: images.yaml}
YAML
}

# Listens where the machine will look, and ends when it is enrolled.
serve() {
    "$QUORATE_BIN/quorate" serve --state "$VM/site" --listen "$GATEWAY:7444" --until-enrolled "$NODE" >"$VM/serve.log" 2>&1 &
}

# The sample of packaging/cloud-init with what is this site's. The token is no argument of anything.
user_data() {
    mkdir -p "$VM/seed"
    (umask 077; "$QUORATE_BIN/quorate" node token "$NODE" --approve auto --state "$VM/site" 2>/dev/null >"$VM/token")
    awk -v key="$(cached key)/key.asc" -v token="$VM/token" -v name="$NODE" -v coordinator="$GATEWAY:7444" \
        -v url="http://$GATEWAY:$HTTP_PORT/agent/" '
        BEGIN { getline secret <token }
        /BEGIN PGP PUBLIC KEY BLOCK/ { while ((getline line <key) > 0) print "    " line; skip = 1 }
        !skip { sub("qrt1_OF_THIS_NODE", secret); sub("192.0.2.1:7444", coordinator); sub("^hostname: cp-1$", "hostname: " name)
                sub("https://packages.example.org/quorate/", url); print }
        /END PGP PUBLIC KEY BLOCK/ { skip = 0 }
    ' "$CHECKOUT/packaging/cloud-init/user-data.yaml" >"$VM/seed/user-data"
    ! grep -nE 'packages[.]example|192\.0\.2\.|OF_THIS' "$VM/seed/user-data" || fail 'the sample has more to fill in than this test knows'
}
