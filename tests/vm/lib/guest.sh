# shellcheck shell=bash
# The virtual machine: booted by qemu without hardware's help, spoken to over its serial console and ssh.

# The processor is emulated, so that this runs where there is no nested virtualization; QUORATE_VM_ACCEL=kvm is ten times faster.
ACCEL=${QUORATE_VM_ACCEL:-tcg,thread=multi}
CONSOLE=$VM/console.log

# Disks of its own, a medium that cloud-init finds, and a key for ssh.
guest_make() {
    local disk
    disk=$(cached "vm-$DEBIAN")
    cp --sparse=always --reflink=auto "$disk/root.img" "$VM/root.img"
    truncate -s 256M "$VM/swap.img"
    mkswap -q -L swap "$VM/swap.img"
    ssh-keygen -q -t ed25519 -N '' -C 'quorate vm test' -f "$VM/key"
}

# guest_medium INSTANCE-ID: the medium of cloud-init's NoCloud, with the user-data in $VM/seed.
guest_medium() {
    printf 'instance-id: %s\nlocal-hostname: %s\n' "$1" "$NODE" >"$VM/seed/meta-data"
    cat >"$VM/seed/network-config" <<YAML
version: 2
ethernets:
  eth0: {addresses: [$ADDRESS/24], gateway4: $GATEWAY, nameservers: {addresses: [$GATEWAY]}}
YAML
    # What is the test's own and no part of the sample.
    cat >"$VM/seed/vendor-data" <<YAML
#cloud-config
disable_root: false
users: []
ssh_authorized_keys: ["$(cat "$VM/key.pub")"]
ssh_genkeytypes: [ed25519]
ssh_deletekeys: false
YAML
    rm -f "$VM/seed.iso"
    xorriso -as mkisofs -quiet -volid CIDATA -joliet -rock -output "$VM/seed.iso" "$VM/seed" 2>"$VM/xorriso.log"
}

guest_boot() {
    local disk patience='systemd.default_timeout_start_sec=900 systemd.default_device_timeout_sec=900'
    disk=$(cached "vm-$DEBIAN")
    qemu-system-x86_64 -accel "$ACCEL" -machine q35 -cpu Nehalem -smp 2 -m 2560 -nodefaults -display none -monitor none \
        -kernel "$disk/vmlinuz" -initrd "$disk/initrd.img" \
        -append "root=LABEL=root rw console=ttyS0 net.ifnames=0 panic=10 $patience" \
        -serial "file:$CONSOLE" -device virtio-rng-pci \
        -drive "file=$VM/root.img,format=raw,if=virtio,cache=unsafe" \
        -drive "file=$VM/swap.img,format=raw,if=virtio" \
        -drive "file=$VM/seed.iso,format=raw,if=virtio,readonly=on" \
        -netdev tap,id=net,ifname=tap0,script=no,downscript=no -device virtio-net-pci,netdev=net \
        </dev/null >"$VM/qemu.log" 2>&1 &
    QEMU=$!
}

# in_guest COMMAND: a line for root's shell there.
in_guest() {
    ssh -i "$VM/key" -o UserKnownHostsFile="$VM/known_hosts" -o StrictHostKeyChecking=accept-new -o BatchMode=yes \
        -o LogLevel=ERROR -o ConnectTimeout=20 -o ServerAliveInterval=20 "root@$ADDRESS" "$@" </dev/null
}

# to_guest FILE PATH
to_guest() {
    scp -q -i "$VM/key" -o UserKnownHostsFile="$VM/known_hosts" -o BatchMode=yes "$1" "root@$ADDRESS:$2"
}

# eventually SECONDS WHAT COMMAND...: until the command succeeds, with the machine running all the while. The times are ten times
# what an idle computer needs, since an emulated processor is the first to suffer from a busy one.
eventually() {
    local deadline=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        kill -0 "$QEMU" 2>/dev/null || fail "qemu has ended while waiting: $what ($(tail -n 3 "$VM/qemu.log"))"
        ((SECONDS < deadline)) || fail "not within its time: $what"
        sleep 1
    done
    step "$what"
}

boot_id() { in_guest cat /proc/sys/kernel/random/boot_id; }

# Restarts the machine's system, which comes up by its disk alone.
guest_reboot() {
    local before
    before=$(boot_id)
    in_guest systemctl reboot || true
    eventually 600 'restarted' another_boot_than "$before"
}

another_boot_than() {
    local now
    now=$(boot_id) && [[ $now != "$1" ]]
}
