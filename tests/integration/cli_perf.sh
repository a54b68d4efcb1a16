#!/bin/bash
# What varve-perf writes down: others make pages of it and compare it with later runs.
here=$(cd "$(dirname "$0")" && pwd)
. "$here/helper_cli.sh"
. "$here/helper_perf.sh"

promise 'each case has all samples, and stands beside a copy in the same rounds'
perf 0 --only chain-5,pattern-hot --commits 12
json '.format == "varve-perf 2" and .seed == 1 and .machine.cpus >= 1 and (.machine.io_method | length > 0)'
json '[.cases[].name] == ["chain-5", "pattern-hot"] and [.cases[].commits] == [5, 12] and [.cases[].modules] == [1, 8]'
json 'all(.cases[]; .state == "warm" and .left_out == "" and .disk.base_bytes > 0 and .commit_seconds > 0)'
json 'all(.cases[].rows[]; (.seconds | length) >= 3 and .min == (.seconds | min) and .max == (.seconds | max) and
	.min <= .median and .median <= .p95 and .p95 <= .max)'
json 'all(.cases[]; (.rows[] | select(.scheme == "copy") | .median) as $copy |
	all(.rows[]; (.ratio_to_copy - .median / $copy) | fabs < 0.01))'
json 'all(.cases[]; [.rows[].scheme] | contains(["copy", "restore", "restore nearly right", "naive walk"]))'
json 'all(.cases[].rows[] | select(.scheme | startswith("restore")); .workers >= 1 and .bytes_read > 0)'
json 'any(.cases[1].rows[]; .scheme == "back by eight" and .pages_dirtied > 0)'
json '.cases[1].disk | .delta_bytes > 0 and .tier_bytes > 0 and .undo_bytes > 0'
holds test "$(grep -c '^\[[12]/2\] ' err)" = 2
holds grep -q pattern-hot table

# One page in twenty is touched by the VM; what writes the whole image is no differential restore.
promise 'of files that are nearly right only the pages that are wrong are written'
json '.cases[1] as $c | $c.rows[] | select(.scheme == "restore nearly right") |
	.bytes_written > 0 and .bytes_written < $c.image_bytes / 8 and .pages_dirtied < $c.image_bytes / 4096 / 4'

promise 'every position of the chain is a case'
perf 0 --only position --commits 6
json '[.cases[].position] == [0, 1, 2, 3, 4, 5] and all(.cases[]; .group == "position" and .x == .position)'
json '.figures[0] | .target == 2 and (.reached == (.value <= .target))'

promise 'a target is judged by what was measured'
perf 0 --only chain-200 --no-cold
json '(.cases[0].rows | map({key: "\(.scheme) \(.workers)", value: .median}) | from_entries) as $median | .figures |
	length == 1 and (.[0] | .name | startswith("one module")) and
	(.[0].value - $median["restore 2"] / $median["copy null"] | fabs < 0.01) and .[0].reached == (.[0].value <= 3)'

promise 'a recording is measured warm and cold, and the last commit but one is restored'
recording_make
# In memory, where there is little to be written out: on a disk that is busy with others' files that takes seconds.
quick=$(mktemp -d /dev/shm/varve-perf.XXXXXX 2>/dev/null || mktemp -d)
perf 0 --dir "$quick" --only recordings --recording recording --workers 2
holds rmdir "$quick"
json '[.cases[] | [.name, .group, .state, .pattern, .commits, .modules]] == [
	["recording", "recordings", "warm", "recording", 5, 2], ["recording", "recordings", "cold", "recording", 5, 2]]'
json 'all(.cases[]; .image_bytes == 10000 + 4096)'
json 'all(.cases[]; [.rows[] | select(.scheme == "restore") | .workers] == [1, 2])'

promise 'other programs go to the same image; those that are not installed are named'
mv recording contract
perf 0 --only rivals --recording contract
json '.cases[0] | .commits == 3 and .image_bytes == 10000 and
	([.rows[] | select(.disk_bytes) | .scheme] | length) + (.left_out | [scan("not installed")] | length) >= 7'
mkdir bin
ln -s "$(command -v cp)" "$(command -v zstd)" bin/
path=$scratch/bin perf 0 --only rivals --recording contract
json '.cases[0] | (.left_out | contains("git cat-file, which is not installed") and contains("bsdiff")) and
	([.rows[].scheme] | contains(["zstd --patch-from", "copy"])) and ([.rows[].scheme] | index("bspatch") == null)'

promise 'a table that can not be written is a failure, and what was measured is kept'
if [ -w /dev/full ]; then
	rm -f out
	"$program" --dir stores --runs 3 --budget 0 --json out --only chain-1 --no-cold >/dev/full 2>err </dev/null
	code=$?
	[ $code = 1 ] || failed "exit code $code"
	says 'standard output can not be written: No space left on device'
	json '.cases | length == 1'
fi
