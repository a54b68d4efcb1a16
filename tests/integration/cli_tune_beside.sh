#!/bin/bash
# varve tune beside others: a coordinator whose store is committed to, a second tune, and signals.
. "$(dirname "$0")/helper_cli.sh"

recording_make
promise 'there is a store to look at'
exits 0 import store recording
[ "$failures" = 0 ] || exit 1

# scratch_used: the scratch store has been opened, so all is in it.
scratch_used() {
	[ -S store/.varve/tune/.varve/socket ]
}

promise 'a coordinator that has the store goes on: commits are made, and none of its settings change'
"$VARVE" serve store --workers 3 --io pread >serve.out 2>serve.err &
server=$!
trap 'kill $server 2>/dev/null; finish' EXIT
served() {
	[ "$("$VARVE" --json status store | jq .coordinator_pid)" = $server ]
}
wait_until served
"$VARVE" --json tune store --seconds 1 --rounds 20 --max 2 >tune.out 2>tune.err &
tuner=$!
made=0
while kill -0 $tuner 2>/dev/null; do
	image "recording/a/3" $((9000 + made * 100)) "commit $made"
	exits 0 commit store "$(id A)=recording/a/3"
	made=$((made + 1))
done
wait $tuner || failed "exit code $?: $(cat tune.err)"
holds jq -e '.commits >= 5' tune.out
exits 0 --json log store
json "length == 5 + $made and (.[-1].current)"
exits 0 --json status store
json ".coordinator_pid == $server and .restores == 0 and .checkouts == 0 and (.workers | length) == 3"
exits 0 verify store
holds cmp "store/$(id A)" recording/a/3
kill -TERM $server
wait $server || failed "exit code $?"
trap finish EXIT

promise 'commits that were not persisted count as well'
odd=$(recorded A a/1)
even=$(recorded A a/2)
printf '{"modules":[%s]},{"modules":[%s]}' "$odd" "$even" >entries
for _ in {1..199}; do
	printf ',{"modules":[%s]},{"modules":[%s]}' "$odd" "$even"
done >>entries
printf '{"commits":[%s]}' "$(cat entries)" >recording/manifest.json
"$VARVE" import long recording >import.out 2>import.err &
importer=$!
begun() {
	[ "$(find long -maxdepth 1 -name '*_*' 2>/dev/null | wc -l)" -gt 4 ]
}
wait_until begun
{
	kill -KILL $importer
	wait $importer
} 2>/dev/null
# On a busy machine it may have been done before it was seen to begin.
if [ ! -e long/commits ]; then
	exits 0 --json tune long --seconds 1 --rounds 1 --max 1
	json '.commits >= 2 and .commits < 400'
	holds test ! -e long/commits
fi

promise 'only files that nobody writes to again are shared with the store'
"$VARVE" tune store --seconds 60 --max 1 --io pread >tune.out 2>tune.err &
tuner=$!
trap 'kill -KILL $tuner 2>/dev/null; finish' EXIT
wait_until scratch_used
shared=$(find store -maxdepth 1 -type f -links +1 -printf '%f\n' | sort)
deltas=$(find store -maxdepth 1 -type f -name '*_*_*' -printf '%f\n' | sort)
[ -n "$deltas" ] && [ "$shared" = "$deltas" ] || failed "shared: $shared"

promise 'what is tried is what it says'
tried() {
	"$VARVE" --json status store/.varve/tune >status 2>/dev/null &&
		jq -e '.io_method == "pread" and (.workers | length) == 1 and .restores > 0' status
}
wait_until tried

promise 'a second tune of the store at the same time is refused'
exits 1 tune store
says 'being tuned by another process'

promise 'what a tune that was killed leaves harms nobody, and is swept by the next'
{
	kill -KILL $tuner
	wait $tuner
} 2>/dev/null
trap finish EXIT
touch store/.varve/tune/left
exits 0 verify store
exits 0 commit store "$(id B)=recording/a/0"
exits 0 tune store --seconds 1 --rounds 1 --max 1
holds test ! -e store/.varve/tune
exits 0 verify store
[ -z "$(find store -maxdepth 1 -type f -links +1)" ] || failed 'a file of the store has two names still'

promise 'tune that is interrupted tidies up, and ends with exit code 1'
"$VARVE" tune store --seconds 60 >tune.out 2>tune.err &
tuner=$!
wait_until scratch_used
kill -TERM $tuner # SIGINT is ignored in what a script puts into the background
wait $tuner
code=$?
[ $code = 1 ] || failed "exit code $code"
holds grep -q 'interrupted' tune.err
holds test ! -s tune.out
holds test ! -e store/.varve/tune
