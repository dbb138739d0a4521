# Waits until the lab is gone, however it went, and takes down what would outlive it: containers and control groups.
# Arguments: the control group that all others are in, a directory that is there if containers ever were and goes after them, and
# the command that removes them all.
group=$1 run=$2
shift 2
cat >/dev/null
[ ! -d "$run" ] || "$@" >/dev/null

# What watches over a container looks after it once more when it has ended.
busy() { for process in /proc/[0-9]*; do
    read -r name 2>/dev/null <"$process/comm" || continue
    case $name in conmon | podman) ! grep -aqs -- "$run" "$process/cmdline" || echo "$process" ;; esac
done; }

left() { for hierarchy in /sys/fs/cgroup /sys/fs/cgroup/*; do
    [ ! -d "$hierarchy/$group" ] || find "$hierarchy/$group" -depth -type d
done; }

tries=100
while [ -n "$(busy)" ] && [ $tries -gt 0 ]; do tries=$((tries - 1)); sleep 0.1; done
rm -rf "$run"
# A group can be removed when its last process is quite gone.
while groups=$(left) && [ -n "$groups" ] && [ $tries -gt 0 ]; do
    # shellcheck disable=SC2086 # names of groups have no spaces
    rmdir $groups 2>/dev/null || { tries=$((tries - 1)); sleep 0.1; }
done
[ -z "$groups" ] || { echo "control groups are left:" $groups >&2; exit 1; }
