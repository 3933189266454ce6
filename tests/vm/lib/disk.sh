# shellcheck shell=bash
# The virtual machine's disk and kernel, of Debian's packages: what Debian's own cloud image has, as far as it matters here.

# Command and the Debian package that brings it, on this machine.
# shellcheck disable=SC2034  # first-boot has them installed
VM_TOOLS='qemu-system-x86_64 qemu-system-x86
xorriso xorriso
ssh openssh-client
mkfs.ext4 e2fsprogs
mkswap util-linux'
VM_PACKAGES=systemd,systemd-sysv,udev,dbus,linux-image-cloud-amd64,initramfs-tools,zstd,cloud-init,ifupdown,iproute2,iputils-ping,kmod,procps,ca-certificates,curl,openssh-server

# vm_disk OUT SUITE PACKAGES: OUT/root.img, OUT/vmlinuz and OUT/initrd.img.
vm_disk() {
    local out=$1 suite=$2 packages=$3
    mkdir -p "$out"
    mmdebstrap --mode=root --variant=minbase --include="$packages" "$suite" "$out/root"
    vm_settle "$out/root"
    cp "$out"/root/boot/vmlinuz-* "$out/vmlinuz"
    cp "$out"/root/boot/initrd.img-* "$out/initrd.img"
    truncate -s 10G "$out/root.img"
    mkfs.ext4 -q -L root -d "$out/root" "$out/root.img"
    rm -rf "$out/root"
}

vm_settle() {
    local root=$1
    # The only package sources are those that the machine is given.
    : >"$root/etc/apt/sources.list"
    rm -rf "$root"/etc/apt/sources.list.d/* "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/archives/*.deb
    : >"$root/etc/machine-id"
    rm -f "$root"/etc/ssh/ssh_host_*
    printf 'LABEL=root / ext4 defaults 0 1\nLABEL=swap none swap sw 0 0\n' >"$root/etc/fstab"
    # Both as in Debian's own cloud images. A language that was never made is what cloud-init would stumble over.
    echo 'manage_etc_hosts: true' >"$root/etc/cloud/cloud.cfg.d/01_debian_cloud.cfg"
    echo 'LANG=C.UTF-8' >"$root/etc/default/locale"
    # An emulated processor takes long to unpack the drivers of all machines.
    sed -i 's/^MODULES=.*/MODULES=list/' "$root/etc/initramfs-tools/initramfs.conf"
    printf '%s\n' virtio_pci virtio_blk virtio_net virtio_rng ext4 >>"$root/etc/initramfs-tools/modules"
    chroot "$root" update-initramfs -u
}

make_disk() {
    artefact "vm-$DEBIAN" vm_disk "$DEBIAN" "$VM_PACKAGES"
}
