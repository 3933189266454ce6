# shellcheck shell=bash
# Container images as docker-archive files, named and laid out like the published ones, from the programs built here.

IMAGE_TOOLS=coreutils,dash,iptables,nftables,conntrack,kmod,iproute2

# Deterministic: the same content gives the same bytes, so SHA256SUMS changes only when an image does.
image_tar() {
    tar --create --format=gnu --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --file "$1" -C "$2" .
}

# image_tools OUT SUITE PACKAGES: a layer of Debian tools for kube-proxy and flannel.
image_tools() {
    local out=$1 tree link
    tree=$(mktemp -d)
    mmdebstrap --mode=root --variant=extract --include="$3" "$2" "$tree"
    # `extract` runs no maintainer scripts, and with them no alternatives.
    for link in iptables ip6tables iptables-save ip6tables-save iptables-restore ip6tables-restore; do
        ln -sf xtables-nft-multi "$tree/usr/sbin/$link"
    done
    rm -rf "$tree"/usr/share/{doc,man,locale,info} "$tree"/var/{lib/apt,cache,lib/dpkg,log} "${tree:?}/dev"
    chmod 755 "$tree"
    image_tar "$out" "$tree"
    rm -rf "$tree"
}

# image_archive OUT NAME:TAG ENTRYPOINT BASE-LAYER PATH=FILE...: an image of one layer with the files, over the base unless
# that is empty. An empty entry point leaves the command to the pod.
image_archive() {
    local out=$1 name=$2 entry=$3 base=$4 work file layers
    shift 4
    work=$(mktemp -d)
    mkdir "$work/files" "$work/image"
    for file; do install -D -m 755 "${file#*=}" "$work/files${file%%=*}"; done
    image_tar "$work/image/top.tar" "$work/files"
    layers=(top.tar)
    if [[ -n $base ]]; then
        cp "$base" "$work/image/base.tar"
        layers=(base.tar top.tar)
    fi
    image_metadata "$work/image" "$name" "$entry" "${layers[@]}"
    image_tar "$out" "$work/image"
    rm -rf "$work"
}

image_metadata() {
    local folder=$1 name=$2 entry=$3 layer digests='' list='' config
    shift 3
    for layer; do
        digests+=",\"sha256:$(sha256sum <"$folder/$layer" | cut -d ' ' -f 1)\""
        list+=",\"$layer\""
    done
    config="{\"architecture\":\"amd64\",\"os\":\"linux\",\"created\":\"1970-01-01T00:00:00Z\",\"config\":{"
    config+="\"Env\":[\"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\"]"
    if [[ -n $entry ]]; then config+=",\"Entrypoint\":[\"$entry\"]"; fi
    config+="},\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[${digests#,}]}}"
    printf '%s' "$config" >"$folder/config.json"
    printf '[{"Config":"config.json","RepoTags":["%s"],"Layers":[%s]}]' "$name" "${list#,}" >"$folder/manifest.json"
}

# folder_images OUT KUBEADM VERSION URL ARCHIVE...: all archives in one folder with SHA256SUMS and images.yaml, the list
# that a specification names; refuses when kubeadm would ask for an image that is not among them.
folder_images() {
    local out=$1 kubeadm=$2 version=$3 url=$4 archive name wanted
    shift 4
    mkdir "$out"
    for archive; do
        name=${archive##*/image-}
        ln "$archive" "$out/${name%.tar-*}.tar"
    done
    # shellcheck disable=SC2164  # recipes run under set -e
    cd "$out"
    "$kubeadm" config images list --kubernetes-version "$version" | while read -r wanted; do
        wanted=${wanted##*/}
        [[ -e ${wanted/:/-}.tar ]] || { echo "kubeadm asks for $wanted, which the lab does not make"; exit 1; }
    done
    sha256sum -- *.tar >SHA256SUMS
    folder_list "$url" >images.yaml
    chmod -R a+rX .
}

# One line for each line of SHA256SUMS, with the names that the archive itself gives its images.
folder_list() {
    local digest archive
    while read -r digest archive; do
        printf -- '- {url: "%s/%s", sha256: %s, names: %s}\n' "$1" "$archive" "$digest" \
            "$(tar --extract --to-stdout --file "$archive" ./manifest.json | grep -o '"RepoTags":[^]]*]' | cut -d : -f 2-)"
    done <SHA256SUMS
}

# make_image NAME:TAG ENTRYPOINT BASE PATH=FILE...; the archive is called after the image: kube-proxy-v1.35.4.tar
make_image() {
    local file=${1##*/}
    file=image-${file/:/-}.tar
    artefact "$file" image_archive "$@"
    IMAGE_ARCHIVES+=("$(cached "$file")")
}

make_images() {
    local IMAGE_ARCHIVES=() program tools bin=/usr/local/bin
    artefact "image-tools-$DEBIAN" image_tools "$DEBIAN" "$IMAGE_TOOLS"
    tools=$(cached "image-tools-$DEBIAN")
    for program in kube-apiserver kube-controller-manager kube-scheduler; do
        make_image "registry.k8s.io/$program:$KUBERNETES" '' '' "$bin/$program=$(cached "$program-$KUBERNETES")"
    done
    make_image "registry.k8s.io/kube-proxy:$KUBERNETES" '' "$tools" "$bin/kube-proxy=$(cached "kube-proxy-$KUBERNETES")"
    make_image "registry.k8s.io/coredns/coredns:$COREDNS" /coredns '' "/coredns=$(cached "coredns-$COREDNS")"
    make_image "registry.k8s.io/pause:$PAUSE_TAG" /pause '' "/pause=$(cached "pause-$PAUSE_TAG")"
    make_image "registry.k8s.io/etcd:$ETCD_TAG" '' '' "$bin/etcd=$(cached "etcd-$ETCD")" \
        "$bin/etcdctl=$(cached "etcdctl-$ETCD")" "$bin/etcdutl=$(cached "etcdutl-$ETCD")"
    make_image "ghcr.io/flannel-io/flannel:$FLANNEL" /opt/bin/flanneld "$tools" "/opt/bin/flanneld=$(cached "flanneld-$FLANNEL")"
    # Its init container copies the plugin with cp, so this image has tools too.
    make_image "ghcr.io/flannel-io/flannel-cni-plugin:$FLANNEL_CNI_TAG" '' "$tools" "/flannel=$(cached "flannel-cni-$FLANNEL_CNI")"
    artefact images folder_images "$(cached "kubeadm-$KUBERNETES")" "$KUBERNETES" \
        "http://$GATEWAY:$HTTP_PORT/images" "${IMAGE_ARCHIVES[@]}"
}
