#!/bin/bash
# The commands that show and change the processes behind a store, and being interrupted.
. "$(dirname "$0")/helper_cli.sh"

recording_make
promise 'there is a store to look at'
exits 0 import store recording
[ "$failures" = 0 ] || exit 1

promise 'status tells all there is, under keys that stay'
exits 0 --json status store
json 'keys == ["background","backing_bytes","checkouts","clients","commits","commits_made","coordinator_pid","current",
	"damage_found","disk_bytes","history_bytes","io_method","io_reason","jobs","jobs_running","jobs_waiting","latency","modules","operations","persisted","restores",
	"sandbox","sandbox_reason",
	"session_pid","store","uptime","worker_deaths","workers"]'
json '.commits == 5 and .persisted == 5 and .clients >= 1 and .session_pid == null'
json ".store == \"$(realpath store)\""
json '.sandbox == "on" or (.sandbox_reason | length > 20)'
json '.io_method | . == "io_uring" or . == "pread"'
json '.workers | length >= 1 and all(keys == ["busy","busy_seconds","busy_share","bytes_read","bytes_written","job",
	"jobs","module","pid","restarts","state"])'
json '.modules | length == 2 and all(keys == ["base_bytes","commits","deltas_bytes","last_bytes","module",
	"private_bytes","size","tiers_bytes","undo_bytes"])'
json '.modules | map(.commits) == [3,1]'
exits 0 status store
holds grep -q '^Coordinator ' out

promise 'a change that ends with the command says so, and what to do instead'
exits 0 workers store 5
holds grep -q -x '5 workers' out
says 'nothing has changed; set VARVE_WORKERS'
exits 0 workers store
[ ! -s err ] || failed 'a look has changed nothing either'

promise 'serve runs the coordinator under the number of the process that was started'
"$VARVE" serve store --workers 2 --io pread >serve.out 2>serve.err &
server=$!
trap 'kill $server 2>/dev/null; finish' EXIT
served() {
	[ "$("$VARVE" --json status store | jq .coordinator_pid)" = $server ]
}
wait_until served

promise 'workers shows the number, and changes it while the coordinator runs'
exits 0 --json workers store
json '.workers == 2 and keys == ["idle_timeout","min","running","workers"]'
exits 0 --json workers store 3
json '.workers == 3'
[ ! -s err ] || failed 'it has changed'
three() {
	[ "$("$VARVE" --json status store | jq '.workers | length')" = 3 ]
}
wait_until three
exits 0 workers store
holds grep -q -x '3 workers' out
exits 0 --json status store
json '.io_method == "pread"'

promise 'a second coordinator is refused'
exits 1 serve store
says store

promise 'serve ends at SIGTERM, with exit code 0'
kill -TERM $server
wait $server || failed "exit code $?"
trap finish EXIT

promise 'an import that is interrupted keeps what is done, and says so'
odd=$(recorded a a/1)
even=$(recorded a a/2)
printf '{"modules":[%s]},{"modules":[%s]}' "$odd" "$even" >entries
for _ in {1..199}; do
	printf ',{"modules":[%s]},{"modules":[%s]}' "$odd" "$even"
done >>entries
printf '{"commits":[%s]}' "$(cat entries)" >recording/manifest.json
"$VARVE" --json import long recording >out 2>err &
importer=$!
begun() {
	[ -n "$(find long -maxdepth 1 -name '*_*' 2>/dev/null)" ]
}
wait_until begun
# Stopped first, so that what it had done when the signal came can be looked at.
kill -STOP $importer
files=$(find long -maxdepth 1 -name '*_*' | wc -l)
kill -TERM $importer # SIGINT is ignored in what a script puts into the background
kill -CONT $importer
wait $importer
code=$?
# On a busy machine it may have been done before it was seen to begin.
if [ "$files" -lt 390 ]; then
	[ $code = 1 ] || failed "exit code $code"
	holds test ! -s out
	says interrupted
	exits 0 --json log long
	json 'length >= 1 and length < 400'
	exits 0 verify long
fi
