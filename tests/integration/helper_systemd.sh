# Sourced by tests that need a real systemd: one of their own, process 1 of namespaces of its own, with a root that is an
# overlay over this system's (nothing that it does is seen outside), and no units but journald's, some empty targets, and
# those that were installed there, into the prefix that the build was configured for.
#
#   systemd_boot    it runs when this returns; or the test is skipped, with a sentence
#   inside COMMAND  run a command in there
#   systemd_end     all that is left of it goes; to be called at the test's end in any case

prefix=$(sed -n 's/^CMAKE_INSTALL_PREFIX:PATH=//p' "$VARVE_BUILD/CMakeCache.txt")
systemd=
systemd_pid=
systemd_cgroup=
systemd_top=

# no_systemd REASON: the test can not be run here. CTest knows by the exit code.
no_systemd() {
	[ ! -s "$systemd_top.log" ] || tail -n 5 "$systemd_top.log"
	echo "SKIPPED: no systemd can be started here: $*"
	systemd_end
	exit 77
}

# In the new namespaces, before systemd: all that it will see is put beneath $1/root.
systemd_root() {
	set -e
	local top=$1 root=$1/root node
	mount -t tmpfs -o mode=755 tmpfs "$top"
	mkdir "$top/upper" "$top/work" "$root"
	mount -t overlay -o "lowerdir=/,upperdir=$top/upper,workdir=$top/work" overlay "$root"
	mount -t proc proc "$root/proc"
	mount --bind "$root/proc/sys" "$root/proc/sys"
	mount -o remount,bind,ro "$root/proc/sys"
	mount -t sysfs -o ro sysfs "$root/sys"
	mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
	mount -t tmpfs -o mode=755 tmpfs "$root/run"
	mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
	mount -t tmpfs -o mode=755 tmpfs "$root/dev"
	for node in null zero full random urandom tty; do
		touch "$root/dev/$node"
		mount --bind "/dev/$node" "$root/dev/$node"
	done
	mkdir "$root/dev/shm" "$root/dev/pts" "$root/dev/mqueue"
	mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
	mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
	ln -s pts/ptmx "$root/dev/ptmx"
	ln -s /proc/self/fd "$root/dev/fd"
	DESTDIR=$root "$CMAKE" --install "$VARVE_BUILD" >/dev/null
	systemd_targets "$root"
	mkdir "$root/outside"
	cd "$root"
	pivot_root . outside
	umount -l outside
	mount --make-rshared /
	exec env -i container=other PATH="$PATH" SYSTEMD_UNIT_PATH="/units:$prefix/lib/systemd/system" SYSTEMD_LOG_TARGET=journal \
		"$systemd" --system --unit=multi-user.target --show-status=false
}

# Nothing of the system's is started but its journal: so it is up in a moment.
systemd_targets() {
	local root=$1 name directory
	mkdir "$root/units"
	for name in basic sysinit sockets multi-user shutdown; do
		printf '[Unit]\nDefaultDependencies=no\n' >"$root/units/$name.target"
	done
	printf 'Requires=sysinit.target\nAfter=sysinit.target\n' >>"$root/units/multi-user.target"
	printf 'Wants=systemd-journald.socket systemd-journald.service\n' >>"$root/units/sysinit.target"
	directory=$(dirname "$systemd")/system
	cp "$directory/systemd-journald.service" "$directory/systemd-journald.socket" "$root/units/"
}

inside() {
	nsenter --target "$systemd_pid" --mount --pid --cgroup --ipc --uts --net --root --wd -- "$@"
}

systemd_boot() {
	local directory unified
	for directory in /usr/lib/systemd /lib/systemd; do
		[ ! -x "$directory/systemd" ] || systemd=$directory/systemd
	done
	[ -n "$systemd" ] || no_systemd 'it is not installed'
	[ "$EUID" = 0 ] || no_systemd 'that takes root'
	[ -z "${SANITIZE:-}" ] || no_systemd 'the units forbid what a sanitizer needs'
	systemd_top=$(mktemp -d "${TMPDIR:-/tmp}/varve-systemd.XXXXXX")
	# Beneath the one that this process is in.
	unified=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)$(sed -n 's/^0:://p' /proc/self/cgroup)
	mkdir "$unified/varve-test-$$" 2>/dev/null || no_systemd 'no cgroup can be made'
	systemd_cgroup=$unified/varve-test-$$
	(
		echo "$BASHPID" >"$systemd_cgroup/cgroup.procs" || exit
		export -f systemd_root systemd_targets
		export systemd prefix
		exec unshare --mount --pid --cgroup --ipc --uts --net --fork --kill-child --propagation private \
			bash -c 'systemd_root "$1"' systemd_root "$systemd_top"
	) >"$systemd_top.log" 2>&1 </dev/null &
	unshare_pid=$!
	for _ in {1..200}; do
		read -r systemd_pid <"/proc/$unshare_pid/task/$unshare_pid/children" || true
		[ -d "/proc/$unshare_pid" ] || no_systemd 'namespaces, mounts or cgroups of its own are forbidden'
		[ -z "$systemd_pid" ] || [ "$(inside systemctl is-active multi-user.target 2>/dev/null)" != active ] || return 0
		sleep 0.05
	done
	no_systemd 'it does not come up'
}

systemd_end() {
	if [ -n "$systemd_pid" ]; then
		kill -KILL "$systemd_pid"
		wait "$unshare_pid"
	fi 2>/dev/null
	systemd_pid=
	if [ -n "$systemd_cgroup" ]; then
		for _ in {1..100}; do
			find "$systemd_cgroup" -depth -type d -exec rmdir {} + 2>/dev/null
			[ -d "$systemd_cgroup" ] || break
			sleep 0.02
		done
	fi
	[ -z "$systemd_top" ] || rm -rf "$systemd_top" "$systemd_top.log"
	systemd_cgroup= systemd_top=
}
