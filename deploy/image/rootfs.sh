#!/bin/sh
# Assembles the root filesystem of one program's image: the program, the libraries it and its tools need, and nothing else; no shell.
#   rootfs.sh PROGRAM BINARY DIRECTORY       PROGRAM is culvert-node, culvert-agent or culvert-control; DIRECTORY must not exist
# The Dockerfile does it with static programs. It works with dynamic ones, too, and without docker.
set -eu

[ $# -eq 3 ] || { echo "usage: rootfs.sh PROGRAM BINARY DIRECTORY" >&2; exit 2; }
program=$1 binary=$2 root=$3

# The packet tools of the agent, by what they are called; each is a link to one program for all.
tools() {
    for family in iptables ip6tables; do
        for backend in nft legacy; do
            for purpose in "" -save -restore; do
                echo "/usr/sbin/$family-$backend$purpose"
            done
        done
    done
    echo /usr/sbin/ipset
}

# A file at its own place, what it links to and the libraries it loads included.
take() {
    [ -e "$1" ] || { echo "rootfs.sh: $1 is missing; install the packages iptables, ipset and ca-certificates" >&2; exit 1; }
    [ ! -e "$root$1" ] || return 0
    mkdir -p "$root$(dirname "$1")"
    if [ -L "$1" ]; then
        cp -P "$1" "$root$1"
        target=$(readlink "$1")
        case $target in
            /*) take "$target" ;;
            *) take "$(realpath -s "$(dirname "$1")/$target")" ;;
        esac
    else
        cp "$1" "$root$1"
        libraries "$1"
    fi
}

# Libraries are found by their paths alone: a link of /lib to /usr/lib is made for whoever asks for one of the two.
libraries() {
    { ldd "$1" 2>/dev/null || true; } | sed -n 's/^\t\(.* => \)\{0,1\}\(\/[^ ]*\) (0x.*/\2/p' | while read -r library; do
        copy=$root$(realpath "$(dirname "$library")")/$(basename "$library")
        [ -e "$copy" ] || { mkdir -p "$(dirname "$copy")"; cp -L "$library" "$copy"; }
    done
}

mkdir "$root"
for link in lib lib64; do
    if [ -L "/$link" ]; then
        mkdir -p "$root$(realpath "/$link")"
        ln -s "usr/$link" "$root/$link"
    fi
done
mkdir -p "$root/usr/local/bin" "$root/etc/ssl/certs" "$root/proc" "$root/sys" "$root/dev" "$root/tmp" "$root/run" \
    "$root/var/lib" "$root/var/run"
chmod 1777 "$root/tmp"
printf 'root:x:0:0:root:/:\nnonroot:x:65532:65532:nonroot:/:\n' >"$root/etc/passwd"
printf 'root:x:0:\nnonroot:x:65532:\n' >"$root/etc/group"
# Names are looked up in files and in DNS, whatever the machine that builds this does.
printf 'hosts: files dns\n' >"$root/etc/nsswitch.conf"
cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"

cp "$binary" "$root/usr/local/bin/$program"
chmod 0755 "$root/usr/local/bin/$program"
libraries "$binary"
case $program in
    culvert-agent)
        for tool in $(tools); do take "$tool"; done
        for extension in /usr/lib/*/xtables/lib*.so; do take "$extension"; done
        ;;
    culvert-node | culvert-control) ;;
    *) echo "rootfs.sh: there is no image for $program" >&2; exit 2 ;;
esac
