#!/bin/bash
# The settings of a coordinator: where they may come from, which wins, and what is said of a wrong one. That each does
# something is in cli_tuning.sh.
. "$(dirname "$0")/helper_cli.sh"
unset VARVE_WORKERS VARVE_MIN_WORKERS VARVE_IDLE_TIMEOUT VARVE_IO VARVE_QUEUE_DEPTH VARVE_BACKGROUND_NICE \
	VARVE_BACKGROUND_IO VARVE_MEMORY_LIMIT VARVE_INLINE


promise 'there is a store'
image a 10000 one
exits 0 commit store "$(id a)=a"

promise 'check-config shows each setting, and where it comes from; the stronger one wins; no store is made'
cat >varve.conf <<END
workers = 3
idle-timeout = 7
io = "pread"
queue-depth = 9
stores = ( { path = "$PWD/fresh", workers = 5, queue-depth = 10 } )
END
export VARVE_QUEUE_DEPTH=11 VARVE_IDLE_TIMEOUT=8
exits 0 --json serve fresh --config varve.conf --check-config --idle-timeout 9
json '.workers == {value: 5, origin: "varve.conf:5"}'
json '.["queue-depth"] == {value: 11, origin: "VARVE_QUEUE_DEPTH"}'
json '.["idle-timeout"] == {value: 9, origin: "--idle-timeout"}'
json '.io == {value: "pread", origin: "varve.conf:3"}'
json '.["background-nice"] == {value: 10, origin: "default"}'
json '.["memory-limit"].value == 0 and .sync.value == "persist"'
unset VARVE_QUEUE_DEPTH VARVE_IDLE_TIMEOUT
exits 0 serve other --config varve.conf --check-config
holds grep -q -E '^workers +3 +varve.conf:1$' out
holds grep -q -E '^queue-depth +9 +varve.conf:4$' out
holds grep -q -E '^background-io +low +default$' out
holds test ! -e fresh -a ! -e other

promise 'what is wrong is told with its place before anything is served: 2 on the command line, else 1'
exits 2 serve fresh --queue-depth 0
says '--queue-depth is "0"; it must be a number from 1 to 256'
exits 2 serve fresh --memory-limit lots
exits 2 serve fresh --workers 2 --min-workers 3,io=pread
echo 'wrokers = 3' >wrong.conf
exits 1 serve fresh --config wrong.conf
says 'wrong.conf:1: wrokers: there is no such setting'
exits 1 serve fresh --config missing.conf
says missing.conf
chmod go+w varve.conf
exits 1 serve fresh --config varve.conf --check-config
says 'chmod go-w'
chmod go-w varve.conf
VARVE_IDLE_TIMEOUT=soon exits 1 serve fresh
says 'VARVE_IDLE_TIMEOUT is "soon"'
VARVE_HANG_MS=0 exits 1 serve fresh
says 'VARVE_HANG_MS is "0"; it must be'
VARVE_LOG=x exits 1 log store
says 'VARVE_LOG is "x"; it must be stderr'
VARVE_MEMORY_LIMIT=1 exits 1 log store
says 'VARVE_MEMORY_LIMIT is "1"; it must be'
holds test ! -e fresh
