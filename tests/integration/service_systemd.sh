#!/bin/bash
# The units as installed, under a real systemd: what they forbid must not take away anything that a store needs.
. "$(dirname "$0")/helper_systemd.sh"
. "$(dirname "$0")/helper_cli.sh"
trap 'systemd_end; finish' EXIT

store=/var/lib/varve/main
unit=varve@var-lib-varve-main.service
socket=${unit%.service}.socket
varve=$prefix/bin/varve

# as_user COMMAND…: as the user whose store it is. Every client is to find the coordinator that the unit started.
as_user() {
	inside setpriv --reuid varve --regid varve --clear-groups env -i PATH="$PATH" VARVE_COORDINATOR=/nowhere "$@"
}
# shown PROPERTY: of the service, as systemd sees it.
shown() {
	inside systemctl show "$unit" --property "$1" --value
}
is_active() {
	[ "$(inside systemctl is-active "$unit")" = active ]
}
# status FILTER: of `varve status`.
status() {
	as_user "$varve" --json status $store | jq -c "$1"
}
commit() {
	inside bash -c "seq 100000 | sed 's/777/$1/' >/tmp/image; chmod a+r /tmp/image"
	as_user "$varve" commit $store "$(id a)=/tmp/image"
}
# processes: how many of the service's there are.
processes() {
	inside cat "/sys/fs/cgroup/$cgroup/cgroup.procs" 2>/dev/null | wc -l
}
logged() {
	inside journalctl --quiet --unit "$unit" --output json | jq -s -e "$1"
}

systemd_boot

promise 'the unit has the name that systemd-escape makes of the path'
[ "$(inside systemd-escape --path --template=varve@.service $store)" = $unit ] || failed "not $unit"

promise 'sysusers makes the user whom the service runs as'
inside systemd-sysusers 2>/dev/null
holds inside id varve
inside install -d -o varve -g varve -m 700 /var/lib/varve $store

promise 'what the workers can do, and may not do, is the same without the unit and under it'
inside mkdir -p "/units/$unit.d"
printf '[Service]\nEnvironment=VARVE_INLINE=0 VARVE_WORKERS=2 VARVE_MIN_WORKERS=2\nWatchdogSec=400ms\n' |
	inside tee "/units/$unit.d/test.conf" >/dev/null
as_user VARVE_COORDINATOR="$prefix/libexec/varve/varve-coordinator" "$varve" commit $store "$(id b)=/bin/true" >/dev/null
what='[.io_method,.io_reason,.sandbox,.sandbox_reason]'
without=$(as_user VARVE_COORDINATOR="$prefix/libexec/varve/varve-coordinator" "$varve" --json status $store | jq -c "$what")
wait_until inside test ! -e $store/.varve/socket
inside systemctl daemon-reload
inside systemctl start "$unit" || failed 'it does not start'
holds is_active
cgroup=$(shown ControlGroup)
for k in 1 2 3 4 5; do
	commit "$k" >/dev/null
done
[ "$(status "$what")" = "$without" ] || failed "$(status "$what") instead of $without"
[ "$(status '[.coordinator_pid, (.workers | length)]')" = "[$(shown MainPID),2]" ] ||
	failed "another coordinator than the service's: $(status .coordinator_pid)"

promise 'commits, restores, checkouts, verification, background work under the unit'
for commit in @0 @5 @2; do
	holds as_user "$varve" restore $store "$commit"
done
holds as_user "$varve" verify $store
holds inside install -d -o varve /tmp/out
holds as_user "$varve" checkout $store @3 /tmp/out/3
inside bash -c 'seq 100000 | sed s/777/3/ | cmp - /tmp/out/3/A*' || failed 'another image than was committed'
[ "$(status '[.worker_deaths, .damage_found]')" = '[0,0]' ] || failed "$(status '[.worker_deaths, .damage_found]')"
wait_until inside bash -c "ls $store/.varve/modules/*.undo*"

promise 'systemctl status says what it does, the journal has its lines with their priorities'
says_status() {
	shown StatusText | grep -q '^Serving 6 commits'
}
wait_until says_status
holds logged 'map(select(.MESSAGE | tostring | test("^level=info event=restore commit="))) | length == 3 and all(.PRIORITY == "6")'
holds logged 'map(select(.PRIORITY | tonumber < 6)) == []'

promise 'metrics are served where the unit says'
metrics=/run/varve/$(basename "${unit#varve@}" .service).metrics
[ "$(inside stat -c '%U %a' "$metrics")" = 'varve 660' ] || failed "$(inside stat -c '%U %a' "$metrics")"

promise 'one that is killed, and one that hangs, is started again: no commit is lost, and no process is left'
restarted() {
	is_active && [ "$(shown NRestarts)" = "$1" ]
}
for k in 1 2; do
	[ $k = 1 ] && signal=KILL || signal=STOP # the second one is the watchdog's to notice
	inside kill -$signal "$(shown MainPID)"
	wait_until restarted $k
	holds as_user "$varve" restore $store @$k
	[ "$(status .commits)" = 6 ] || failed "$(status .commits) commits after SIG$signal"
	[ "$(processes)" -le 4 ] || failed "$(processes) processes"
done
holds logged 'map(select(.MESSAGE | tostring | test("Watchdog timeout"))) | length == 1'

promise 'a program that was quicker with a coordinator of its own does not keep it from coming back'
watch() {
	as_user VARVE_COORDINATOR="$prefix/libexec/varve/varve-coordinator" \
		timeout 2 "$varve" status $store --watch --interval 0.05
}
watch >/tmp/watched.$$ &
watcher=$!
wait_until test -s /tmp/watched.$$
inside kill -KILL "$(shown MainPID)"
wait_until restarted 3
[ "$(status .coordinator_pid)" = "$(shown MainPID)" ] || failed "another coordinator than the service's: $(status .coordinator_pid)"
wait $watcher
rm /tmp/watched.$$

promise 'it stops in order'
inside systemctl stop "$unit"
[ "$(shown Result)" = success ] || failed "$(shown Result)"
[ "$(processes)" = 0 ] || failed "$(processes) processes are left"
inside test -e $store/.varve/clean || failed 'the store was not closed in order'
inside test ! -e "$metrics" || failed 'the socket of the metrics is left'

promise 'the socket unit starts it with the first client, and outlives it'
inside systemctl start "$socket"
[ "$(shown ActiveState)" = inactive ] || failed 'it is started before anybody connects'
for k in 1 2; do
	[ "$(status '[.commits, .coordinator_pid]')" = "[6,$(shown MainPID)]" ] || failed "$(status .)"
	holds is_active
	inside systemctl stop "$unit" 2>/dev/null
	inside test -S $store/.varve/socket || failed 'the socket went with the service'
done
inside systemctl stop "$socket"

promise 'a configuration file with a mistake: the service fails and the journal names file and line'
printf 'workers = 2\nworkerz = 4\n' | inside tee /etc/varve.conf >/dev/null
inside systemctl start "$unit" 2>/dev/null && failed 'it starts'
holds logged 'map(select(.MESSAGE | tostring | test("/etc/varve.conf.*2"))) | length >= 1'
