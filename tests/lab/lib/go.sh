# shellcheck shell=bash
# Programs built from Go modules: no package registry serves the binaries of Kubernetes, etcd, CoreDNS or flannel.

# go_kubernetes_module OUT VERSION: a module of our own that requires Kubernetes, ready to build its commands.
go_kubernetes_module() {
    local out=$1 version=$2 mod package
    mkdir -p "$out"
    mod=$(go_file_of GoMod k8s.io/kubernetes "$version")
    {
        printf 'module quorate.dev/lab\n\n'
        grep '^go ' "$mod"
        printf '\nrequire k8s.io/kubernetes %s\n\nreplace (\n' "$version"
        # Kubernetes replaces its staging modules by folders of its own repository; they are published too, as v0.
        sed -n 's|^\s*\(k8s.io/\S*\) => ./staging/src/.*|\1|p' "$mod" | sort -u |
            while read -r package; do printf '\t%s => %s v0.%s\n' "$package" "$package" "${version#v1.}"; done
        printf ')\n'
    } >"$out/go.mod"
    {
        printf '//go:build tools\n\npackage lab\n\nimport (\n'
        printf '\t_ "k8s.io/kubernetes/cmd/%s"\n' kubeadm kubelet kube-apiserver kube-controller-manager kube-scheduler \
            kube-proxy kubectl
        printf ')\n'
    } >"$out/tools.go"
    go mod -C "$out" tidy
}

go_file_of() {
    go mod download -json "$2@$3" | sed -n "s/^\t\"$1\": \"\(.*\)\",\?$/\1/p"
}

# go_kubernetes_program OUT MODULE-FOLDER VERSION PROGRAM
go_kubernetes_program() {
    local out=$1 module=$2 version=$3 program=$4 number info date flags package
    number=${version#v}
    info=$(go_file_of Info k8s.io/kubernetes "$version")
    date=$(sed -n 's/.*"Time":"\([^"]*\)".*/\1/p' "$info")
    flags='-s -w'
    for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
        flags+=" -X $package.gitVersion=$version -X $package.gitMajor=1 -X $package.gitTreeState=clean"
        flags+=" -X $package.gitMinor=$(cut -d . -f 2 <<<"$number") -X $package.buildDate=$date"
        flags+=" -X $package.gitCommit=0000000000000000000000000000000000000000"
    done
    CGO_ENABLED=0 nice -n 5 go build -C "$module" -trimpath -ldflags "$flags" -o "$out" "k8s.io/kubernetes/cmd/$program"
}

# go_program OUT CGO LDFLAGS PACKAGE MODULE@VERSION...: builds PACKAGE of a module that requires all of the given ones.
go_program() {
    local out=$1 cgo=$2 flags=$3 package=$4 build
    shift 4
    build=$(mktemp -d)
    (
        # shellcheck disable=SC2164  # recipes run under set -e
        cd "$build"
        go mod init quorate.dev/lab
        go get "$@"
        CGO_ENABLED=$cgo nice -n 5 go build -mod=mod -trimpath -ldflags "$flags" -o "$out" "$package"
    )
    rm -rf "$build"
}

# go_pause OUT: what holds a pod's namespaces; it sleeps and reaps.
go_pause() {
    local source
    source=$(mktemp --suffix=.c)
    cat >"$source" <<'C'
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
static void stop(int s) { (void)s; exit(0); }
static void reap(int s) { (void)s; while (waitpid(-1, NULL, WNOHANG) > 0) {} }
int main(void) {
    signal(SIGINT, stop); signal(SIGTERM, stop); signal(SIGCHLD, reap);
    for (;;) pause();
}
C
    gcc -O2 -static -s -o "$1" "$source"
    rm "$source"
}
