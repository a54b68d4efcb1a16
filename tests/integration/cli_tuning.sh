#!/bin/bash
# Each setting of a coordinator does something: one without effect looks like any other until somebody needs it.
. "$(dirname "$0")/helper_cli.sh"
unset VARVE_WORKERS VARVE_MIN_WORKERS VARVE_IDLE_TIMEOUT VARVE_IO VARVE_QUEUE_DEPTH VARVE_BACKGROUND_NICE \
	VARVE_BACKGROUND_IO VARVE_MEMORY_LIMIT VARVE_INLINE VARVE_LOG_LEVEL

server=
# serve ARGUMENT…: a coordinator of `store`, that runs when this returns.
serve() {
	"$VARVE" serve store "$@" >serve.out 2>serve.err &
	server=$!
	# A client that came before would start a coordinator of its own.
	wait_until grep -q event=start serve.err
}
stop() {
	[ -z "$server" ] || { kill "$server" && wait "$server"; } || failed "exit code $?"
	server=
}
trap 'kill $server 2>/dev/null; finish' EXIT

# worker NAME: the number of the server's process that is called that.
worker() {
	local stat
	for stat in /proc/[0-9]*/stat; do
		read -r line <"$stat" || continue
		set -- "${1}" ${line#*(}
		[ "$2" = "$1)" ] && [ "$4" = "$server" ] && basename "$(dirname "$stat")"
	done 2>/dev/null
	return 0
}
# restore COMMIT: with worker processes.
restore() {
	exits 0 restore store "$1"
}
is_there() {
	[ -n "$(worker "$1")" ]
}
is_gone() {
	[ -z "$(worker "$1")" ]
}

promise 'there is a store of several modules'
for k in 1 2 3; do
	for module in a b c; do
		image "$module" 300000 "$module$k"
	done
	exits 0 commit store "$(id a)=a" "$(id b)=b" "$(id c)=c"
done
[ "$failures" = 0 ] || exit 1

promise 'min-workers: so many are there without work; workers: no more than that with work'
export VARVE_INLINE=0
serve --workers 2 --min-workers 1 --io pread --queue-depth 8
exits 0 --json workers store
json '. == {workers: 2, min: 1, running: 0, idle_timeout: 60}'
restore @0
exits 0 --json workers store
json '.running == 2'
holds is_there varve-worker-1
holds is_gone varve-worker-2

promise 'io: pread'
exits 0 --json status store
json '.io_method == "pread"'

promise 'workers STORE, on a running coordinator: up, down, the minimum, the time-out'
exits 0 --json workers store 3
json '.workers == 3 and .min == 1'
restore @1
is_three() {
	[ "$("$VARVE" --json workers store | jq .running)" = 3 ]
}
holds is_three
exits 0 --json workers store --min 4
json '.workers == 4 and .min == 4 and .running == 4'
exits 0 --json workers store --max 1
json '.workers == 1 and .min == 1'
wait_until is_gone varve-worker-1
exits 0 --json workers store --min 0 --idle-timeout 0.05
json '.min == 0 and .idle_timeout == 0.05'
wait_until is_gone varve-worker-0
exits 0 workers store
holds grep -q -x '1 worker' out
exits 2 workers store 3 --max 4
exits 2 workers store --min 5 --max 4
exits 2 workers store --min 1025
exits 2 workers store --max 0
exits 2 workers store --idle-timeout never
restore @2

promise 'an idle store costs nothing: its processes do not even wake up'
wait_until is_gone varve-worker-0
wait_until is_gone varve-bg-0
slept() {
	awk '/ctxt_switches/ { n += $2 } END { print n }' "/proc/$server/status"
}
before=$(slept)
sleep 1.1
after=$(slept)
[ "$before" = "$after" ] || failed "the coordinator was woken $((after - before)) times"

promise 'background-nice and background-io: for background work, and for no other'
stop
serve --background-nice 7 --background-io idle --workers 1
image a 300000 again
for k in 1 2 3 4 5; do
	image a 300000 "again $k"
	exits 0 commit store "$(id a)=a"
done
wait_until is_there varve-bg-0
nice_of() {
	sed 's/.*) //' "/proc/$1/stat" | cut -d ' ' -f 17
}
own=$(nice_of $$)
background=$(worker varve-bg-0)
other=$(worker varve-worker-0)
[ "$(nice_of "$background")" = $((own + 7 > 19 ? 19 : own + 7)) ] || failed "nice value $(nice_of "$background")"
[ "$(nice_of "$other")" = "$own" ] || failed "a worker is nice: $(nice_of "$other")"
[ "$(ionice -p "$background")" = idle ] || failed "I/O class $(ionice -p "$background")"
[ "$(ionice -p "$other")" != idle ] || failed 'a worker is I/O idle'
wait_until test -n "$(find store/.varve -name '*.undo*')"

promise 'queue-depth: the rings of the workers have room for so many files'
stop
serve --queue-depth 8 --workers 1 --min-workers 1
restore @0
exits 0 --json status store
if jq -e '.io_method == "io_uring"' out >/dev/null; then
	ring=$(find "/proc/$(worker varve-worker-0)/fd" -lname '*io_uring*' | sed 's/fd/fdinfo/')
	holds grep -q -x -E 'UserFiles:[[:space:]]*8' "$ring"
	holds grep -q -x -E 'SqMask:[[:space:]]*0xf' "$ring"
fi
promise 'io: uring where it works by default; uring is a demand'
json '.io_method == "io_uring" or .io_reason != ""'
stop
VARVE_IO_DENY=EPERM exits 1 serve store --io uring
says io_uring

promise 'sync: none syncs nothing, where persist does'
image a 300000 synced
export VARVE_FAULT=file.sync:1+:EIO
serve --sync none
exits 0 commit store "$(id a)=a"
stop
image a 300000 'not synced'
serve --sync persist
exits 1 commit store "$(id a)=a"
unset VARVE_FAULT
stop
trap finish EXIT
