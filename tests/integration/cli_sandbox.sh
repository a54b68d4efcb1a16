#!/bin/bash
# The workers' sandbox as an operator sees it: what it is, what is missing, and that requiring it means it. What it keeps
# a worker from is in tests/unit/workers_sandbox_*.c.
. "$(dirname "$0")/helper_cli.sh"
unset VARVE_SANDBOX VARVE_SANDBOX_DENY
export VARVE_INLINE=0

promise 'there is a store'
image a 10000 one
image b 10000 two
exits 0 commit store "$(id a)=a"
exits 0 commit store "$(id a)=b"
exits 0 commit store "$(id a)=a"

promise 'status says how workers are confined, before the first of them has been started, too'
exits 0 --json status store
json '.sandbox == "on" and .sandbox_reason == "" or (.sandbox_reason | length > 20)'
whole=$(jq -r '.sandbox == "on"' out)

promise 'switched off it is off, and all is restored the same'
export VARVE_SANDBOX=off
exits 0 --json status store
json '.sandbox == "off" and (.sandbox_reason | length > 0)'
exits 0 restore store @1
holds cmp b "store/$(id A)"
unset VARVE_SANDBOX

promise 'what the system lacks is said, with what repairs it, and nothing else changes'
export VARVE_SANDBOX_DENY=landlock,seccomp
exits 0 --json status store
json '.sandbox == "partial" and (.sandbox_reason | contains("Landlock") and contains("seccomp") and contains("use Linux"))
	or (.sandbox_reason | contains("sanitizer"))'
VARVE_LOG=stderr "$VARVE" restore store @0 >out 2>err
holds grep -q 'the sandbox of the workers is' err
holds cmp a "store/$(id A)"

promise 'it is logged once, also if both pools have workers'
"$VARVE" serve store >serve.out 2>serve.err &
server=$!
wait_until grep -q event=start serve.err
for k in 1 2 3; do
	image a 10000 "again $k"
	exits 0 commit store "$(id a)=a"
done
low_done() {
	"$VARVE" --json status store | jq -e '.background[0].jobs > 0'
}
wait_until low_done
kill $server
wait $server
[ "$(grep -c 'the sandbox of the workers is' serve.err)" = 1 ] || failed "$(grep -c 'the sandbox of' serve.err) times"

unset VARVE_SANDBOX_DENY
for version in 1 2 3 4 5 6; do
	promise "with Landlock as it was in version $version commits, restores and verification are as ever"
	export VARVE_LANDLOCK_ABI=$version
	image "v$version" 10000 "version $version"
	exits 0 commit store "$(id a)=v$version" "$(id b)=a"
	exits 0 restore store @1
	holds cmp b "store/$(id A)"
	exits 0 restore store @$((5 + version))
	holds cmp "v$version" "store/$(id A)"
	exits 0 verify store
	exits 0 --json status store
	json "(.sandbox_reason | contains(\"ABI $version\")) == ($version < 3 and \"$whole\" == \"true\")"
done
unset VARVE_LANDLOCK_ABI
export VARVE_SANDBOX_DENY=landlock,seccomp

promise 'where it is required and can not be had no store is served'
VARVE_SANDBOX=require exits 1 log store
says 'the sandbox of the workers is required, but'
exits 1 serve store --sandbox require
says 'the sandbox of the workers is required, but'
exits 2 serve store --sandbox perhaps
says 'it must be on, off or require'
unset VARVE_SANDBOX_DENY

if [ "$whole" = true ]; then
	promise 'where it is required the coordinator runs no job itself'
	unset VARVE_INLINE
	export VARVE_SANDBOX=require
	exits 0 --json restore store @1
	json '.workers == 1'
	holds cmp b "store/$(id A)"
	exits 0 verify store
fi
