#!/bin/bash
# What varve status shows beside its first lines: metrics in a file, and looking again and again.
checker=$(realpath "$(dirname "$0")")/helper_openmetrics.awk
. "$(dirname "$0")/helper_cli.sh"

recording_make
# A label's value may hold anything that a path can.
store=$'st"o\\re \n\xff'
promise 'there is a store to look at'
exits 0 import "$store" recording
[ "$failures" = 0 ] || exit 1

# openmetrics FILE: it is as the specification has it.
openmetrics() {
	local said
	said=$(LC_ALL=C.UTF-8 awk -f "$checker" "$1") || failed "$said"
	iconv -f UTF-8 -t UTF-8 "$1" >/dev/null || failed "not UTF-8: $1"
}

promise 'the metrics are OpenMetrics text, whatever the store is called'
exits 0 status "$store" --openmetrics
openmetrics out
holds grep -q -x -F 'varve_commits{store="'"${PWD//\\/\\\\}"'/st\"o\\re \n'$'\xef\xbf\xbd''"} 5' out
holds grep -q '^varve_disk_bytes{.*,kind="tiers"} ' out
holds grep -q '^# UNIT varve_worker_busy_seconds seconds$' out
server=
serve() {
	"$VARVE" serve "$store" >serve.out 2>serve.err &
	server=$!
	trap 'kill -CONT $server; kill $server; finish' EXIT
	wait_until grep -q event=start serve.err
}
stop() {
	kill $server
	wait $server
	trap finish EXIT
}
serve
exits 0 restore "$store" @1
exits 0 --json status "$store"
json '.restores == 1'
exits 0 status "$store" --openmetrics
openmetrics out
holds grep -q '^varve_operation_latency_seconds{.*,operation="restore",quantile="0.99"} ' out
holds grep -q '^varve_worker_state{.*,worker="0",state="[a-z]*"} 1$' out

promise 'disk use is that of the disk: all of it, as du has it'
as_du_has_it() {
	[ "$("$VARVE" --json status "$store" | jq .disk_bytes)" = "$(cd "$store" && du -s --block-size=1 . | cut -f 1)" ]
}
wait_until as_du_has_it # what is made in the background may come in between
exits 0 --json status "$store"
json '.disk_bytes >= ([.modules[] | .base_bytes + .deltas_bytes + .last_bytes + .private_bytes] | add) +
	.backing_bytes + .history_bytes and .backing_bytes > 0 and .history_bytes > 0'
exits 0 status "$store" --openmetrics
disk=$(sed -n 's/^varve_store_bytes{.*} //p' out)
[ "$(awk '/^varve_disk_bytes/ { n += $NF } END { print n }' out)" = "$disk" ] || failed "not the sum: $disk"
exits 0 status "$store"
holds grep -q '^Disk         [0-9.]* [KM]iB; [0-9.]* KiB backing files, [0-9.]* KiB commits and journal$' out
stop

promise 'a file is replaced whole, readable as any other, and nothing else is left beside it'
mkdir collected
echo old >collected/varve.prom
(umask 022 && exits 0 status "$store" --openmetrics collected/varve.prom)
[ ! -s out ] || failed "something on stdout"
openmetrics collected/varve.prom
[ "$(stat -c %a collected/varve.prom)" = 644 ] || failed "mode $(stat -c %a collected/varve.prom)"
[ "$(ls collected)" = varve.prom ] || failed "left: $(ls collected)"
exits 1 status "$store" --openmetrics nowhere/varve.prom
says 'nowhere/varve.prom can not be written'

promise 'a link stays, and what it leads to is replaced'
mkdir links
ln -s ../collected/varve.prom links/old
ln -s ../collected/new.prom links/new
before=$(stat -c %i collected/varve.prom)
exits 0 status "$store" --openmetrics links/old
exits 0 status "$store" --openmetrics links/new
[ -L links/old ] && [ -L links/new ] || failed "a link was replaced"
[ "$(stat -c %i collected/varve.prom)" != "$before" ] || failed "the file was overwritten, not replaced"
openmetrics collected/varve.prom
openmetrics collected/new.prom
[ "$(ls collected links | xargs)" = 'collected: new.prom varve.prom links: new old' ] || failed "$(ls collected links)"
ln -s loop links/loop
exits 1 status "$store" --openmetrics links/loop
[ -L links/loop ] || failed "a link was replaced"

promise 'what is no file is written to, and stays what it is'
mkfifo fifo
ln -s ../fifo links/fifo
for to in fifo links/fifo; do
	cat fifo >out2 &
	exits 0 status "$store" --openmetrics $to
	wait $!
	openmetrics out2
	[ -p fifo ] || failed "the FIFO is a file now"
done
exits 0 status "$store" --openmetrics /proc/self/fd/1
openmetrics out
echo before >appended
"$VARVE" status "$store" --openmetrics /proc/self/fd/1 >>appended 2>err || failed "exit code $?"
[ "$(head -n 1 appended)" = before ] || failed "$(head -n 1 appended)"
[ "$(tail -n 1 appended)" = '# EOF' ] || failed "$(tail -n 1 appended)"
exits 1 status "$store" --openmetrics collected
says 'collected can not be written'

promise 'what does not go together is refused'
exits 2 status "$store" some-file
exits 2 status "$store" --openmetrics --watch
exits 2 --json status "$store" --openmetrics
exits 2 status "$store" --watch --interval 0
exits 2 status "$store" --watch --interval soon
exits 2 status "$store" --interval 5
says 'how often --watch looks'

promise 'without a terminal, watching writes a line for each look, until a signal'
"$VARVE" status "$store" --watch --interval 0.05 >lines 2>err &
watcher=$!
three_lines() {
	[ "$(wc -l <lines)" -ge 3 ]
}
for _ in {1..200}; do
	three_lines && break
	sleep 0.05
done
holds three_lines
kill -TERM $watcher
wait $watcher || failed "exit code $?"
[ "$(grep -c -E '^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:]{8}  5 commits, ' lines)" = "$(wc -l <lines)" ] || failed "$(head -n 3 lines)"

promise 'with --json, each line is an object'
"$VARVE" --json status "$store" --watch --interval 0.05 2>err | head -n 2 >out
[ "$(jq -s 'length == 2 and all(.commits == 5 and (.latency | keys == ["checkout","commit","restore"]))' out)" = true ] ||
	failed "$(head -c 300 out)"

promise 'on a terminal, watching draws a screen that fits, and q ends it'
# on_screen ROWS COLUMNS [KEYS TEXT]...: what is drawn, the cursor's ways as line feeds. When there is something it types
# KEYS ("stop": it stops the server), waits until TEXT is drawn for that, and so on; then q.
on_screen() {
	mkfifo keys
	TERM=xterm script -q -f -e -c "stty rows $1 cols $2; '$VARVE' status \"\$STORE\" --watch --interval 0.1" screen \
		<keys >/dev/null 2>err &
	local drawer=$!
	exec 7>keys
	shift 2
	wait_until grep -q 'q: quit' screen
	while [ $# -gt 0 ]; do
		cp screen drawn
		: >screen
		if [ "$1" = stop ]; then kill -STOP $server; else printf "$1" >&7; fi
		wait_until grep -q -a "$2" screen
		shift 2
	done
	printf q >&7
	wait $drawer || failed "exit code $?"
	exec 7>&-
	rm keys
}
STORE=$PWD/$store
export STORE
on_screen 24 80
holds grep -q 'Coordinator' screen
holds grep -q 'WORKER' screen
! grep -q 'lines 1-' screen || failed "two modules do not fit"
on_screen 8 40
holds grep -q 'lines 1-7 of ' screen
! grep -q 'WORKER' screen || failed "a line that has no room was drawn"
# The terminal is given back as it was: the other screen is left.
grep -q -F $'\x1b[?1049l' screen || failed "the terminal was left on the wrong screen"

promise 'what does not fit is scrolled to, and not beyond its end'
on_screen 8 40 '\033[6~' OPERATION '\033[5~' Coordinator '\033OF' MODULE '\033OH' Coordinator jjjjjj OPERATION \
	kkkkkk Coordinator '\033OB\033OB\033OB\033OB\033OB\033OB' OPERATION '\033OA\033OA\033OA\033OA\033OA\033OA' Coordinator

promise 'a terminal that is unknown, or on which nothing can be placed, gets lines'
for kind in no-such-terminal dumb; do
	TERM=$kind script -q -f -c "timeout --foreground 0.3 '$VARVE' status \"\$STORE\" --watch --interval 0.05" screen \
		</dev/null >/dev/null
	holds grep -q '  5 commits, ' screen
done

promise 'where the coordinator stands still, that is said, and who looks can go; figures go on with it'
serve
"$VARVE" status "$store" --watch --interval 0.05 >lines 2>notes &
watcher=$!
wait_until grep -q commits lines
kill -STOP $server
wait_until grep -q "^varve: note: the coordinator, process $server, has not answered for " notes
: >lines
kill -CONT $server
wait_until grep -q commits lines
kill -STOP $server
two_notes() {
	[ "$(wc -l <notes)" = 2 ]
}
wait_until two_notes
kill -TERM $watcher
wait $watcher || failed "exit code $?"
kill -CONT $server
on_screen 24 90 stop 'has not answered for '
kill -CONT $server
stop
