#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# What the guest of tests/e2e/test_guest.c boots: Debian's kernel, and an initramfs of this machine's own programs and libraries.
#
#   initramfs.sh BUILD-FOLDER FOLDER    makes FOLDER/kernel and FOLDER/initramfs
#
# The kernel's package is fetched and taken apart, not installed: its scripts would set up a boot loader. It stays in BUILD-FOLDER/guest.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
programs=$1
store=$1/guest
out=$2
# with all that they need
modules="virtio virtio_ring virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci failover net_failover virtio_net irqbypass vfio
	vfio_virqfd vfio_iommu_type1 vfio-pci-core vfio-pci"
# net_tap, and what the kernel does for its rte_flow; they are loaded on demand
modules="$modules tun sch_multiq sch_ingress cls_flower act_gact"
pmds=$(ls -d "$(pkg-config --variable=libdir libdpdk)"/dpdk/pmds-*)
mkdir -p "$store"

# ---- the kernel: newest of the mirror's linux-image-amd64

download() { # into the folder where we are
	package=$(apt-cache depends linux-image-amd64 | awk '$1 == "Depends:" { print $2; exit }')
	[ -n "$package" ] && apt-get -qq -o APT::Sandbox::User=root download "$package"
}

fetch_kernel() {
	work=$(mktemp -d /tmp/rookery-kernel-XXXXXX)
	trap 'rm -rf "$work"' EXIT
	# Lists that are missing or too old are renewed.
	(cd "$work" && { download 2>/dev/null || { apt-get -qq update && download; }; })
	mkdir "$work/x"
	dpkg-deb --fsys-tarfile "$work"/*.deb | tar -x -C "$work/x" --wildcards './boot/vmlinuz-*' './lib/modules/*/modules.*' \
		'*/virtio*.ko' '*/vfio*.ko' '*/*failover.ko' '*/irqbypass.ko' '*/tun.ko' '*/net/sched/*.ko'
	rm -rf "$store/modules"
	mv "$work/x/lib/modules" "$store/modules"
	mv "$work"/x/boot/vmlinuz-* "$store/kernel"
	rm -rf "$work"
}

find "$store/modules" -name cls_flower.ko 2>/dev/null | grep -q . || fetch_kernel

# ---- files, as they lie on this machine

tree=$out/initramfs.tree
mkdir -p "$tree/bin" "$tree/proc" "$tree/sys" "$tree/dev" "$tree/run" "$tree/tmp" "$tree/etc" "$tree/root" "$tree/var/lib"

# At its place; a link as a link: a library that is there twice is loaded twice.
add_file() {
	real=$(readlink -f "$1")
	mkdir -p "$tree$(dirname "$1")" "$tree$(dirname "$real")"
	cp -n "$real" "$tree$real"
	[ "$real" = "$1" ] || [ -e "$tree$1" ] || ln -s "$real" "$tree$1"
}

add_libraries() {
	ldd "$@" 2>/dev/null | awk '$2 == "=>" && $3 ~ /^\// { print $3 } $1 ~ /^\/.*ld-linux/ { print $1 }' | sort -u |
		while read -r library; do add_file "$library"; done
}

for program in rookery rookery-control rookery-dataplane rookctl; do
	cp "$programs/$program" "$tree/bin/$program"
done
cp "$(command -v busybox)" "$tree/bin/busybox"
add_libraries "$programs"/rookery "$programs"/rookery-control "$programs"/rookery-dataplane "$programs"/rookctl
# EAL opens what lies in this folder
for name in bus_pci bus_vdev mempool_ring net_virtio net_tap; do
	for pmd in "$pmds/librte_$name.so."*; do
		add_file "$pmd"
		add_libraries "$pmd"
	done
done

# ---- modules

kernel=$(ls "$store/modules")
for module in $modules; do
	(cd "$store/modules" && find "$kernel" -name "$module.ko") | while read -r path; do
		mkdir -p "$tree/lib/modules/$(dirname "$path")"
		cp "$store/modules/$path" "$tree/lib/modules/$path"
	done
done
cp "$store/modules/$kernel"/modules.builtin* "$store/modules/$kernel/modules.order" "$tree/lib/modules/$kernel/"
busybox depmod -b "$tree" "$kernel"

printf 'root:x:0:0:root:/root:/bin/sh\nrookery:x:900:900::/var/lib/rookery:/bin/false\n' >"$tree/etc/passwd"
printf 'root:x:0:\nrookery:x:900:\n' >"$tree/etc/group"
cp "$here/init" "$tree/init"
chmod 755 "$tree/init"
(cd "$tree" && find . | cpio --quiet -o -H newc | gzip -1) >"$out/initramfs"
rm -rf "$tree"
cp "$store/kernel" "$out/kernel"
