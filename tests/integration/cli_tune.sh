#!/bin/bash
# varve tune: what it says, and that the store is what it was.
. "$(dirname "$0")/helper_cli.sh"

recording_make
promise 'there is a store to look at'
exits 0 import store recording
[ "$failures" = 0 ] || exit 1

# looks_like STORE: all that can be seen of it: names, sizes, times, numbers of names, content.
looks_like() {
	find "$1" -printf '%P %s %T@ %n %m\n' | sort
	find "$1" -type f -print0 | sort -z | xargs -0 sha256sum
}

promise 'tune leaves a store as it was, .varve/ too: each byte, each time, each name'
looks_like store >before
exits 0 tune store --seconds 1 --rounds 2 --max 2
looks_like store >after
holds cmp before after
holds grep -q '^Use [12] workers\? with ' out
holds grep -q '<- use this$' out

promise 'in JSON there is each way that was tried, and the one to use is one of them'
exits 0 --json tune store --seconds 1 --rounds 1 --max 3
json 'keys == ["cold","commits","default","fastest","io_reason","modules","restores","rounds","tried","use","why"]'
json '.commits == 5 and .modules == 2 and .rounds == 1 and .cold == false'
json '.tried | group_by(.io) | all(map(.workers) == [1,2,3])'
json '.tried | map(.io) | unique | . == ["pread"] or . == ["pread","uring"]'
json '.tried | all(keys == ["io","quartile_1","quartile_3","seconds","workers"] and .seconds > 0)'
json '.use as $use | .tried | any(. == $use)'

promise 'where io_uring is forbidden tune says so, and tries the other method'
VARVE_IO_DENY=EPERM exits 0 --json tune store --seconds 1 --rounds 1 --max 1
json '(.tried | map(.io)) == ["pread"] and (.io_reason | contains("EPERM")) and (.why | contains("io_uring can not"))'

promise 'a method that was asked for is the only one, and a setting of the environment is not taken for the default'
exits 0 --json tune store --seconds 1 --rounds 1 --max 1
methods=$(jq -r '.tried[].io' out)
for method in $methods; do
	exits 0 --json tune store --seconds 1 --rounds 1 --max 1 --io "$method"
	json "(.tried | map(.io)) == [\"$method\"]"
done
VARVE_WORKERS=1000 VARVE_IO=pread exits 0 --json tune store --seconds 1 --rounds 1
json '.default.workers * 2 == (.tried | map(.workers) | max) and .default.workers < 1000'
[ "$(jq -r '[.tried[].io] | unique | sort | reverse | .[]' out)" = "$methods" ] || failed "not these: $methods"

promise 'bars are made of what the terminal can show'
LC_ALL=C exits 0 tune store --seconds 1 --rounds 1 --max 1
holds grep -q '#' out
fails_to_match() {
	! grep -q -P '[^\x00-\x7f]' out
}
holds fails_to_match
LC_ALL=C.UTF-8 exits 0 tune store --seconds 1 --rounds 1 --max 1
holds grep -q '█' out

promise 'cold files are measured where that was asked for'
exits 0 --json tune store --seconds 1 --rounds 1 --max 1 --cold
json .cold

promise 'a store without .varve/, or another directory, is tuned without writing to the store'
cp -r store bare
rm -r bare/.varve
mkdir temporary
looks_like bare >before
TMPDIR=$PWD/temporary exits 0 tune bare --seconds 1 --rounds 1 --max 1
exits 0 tune bare --seconds 1 --rounds 1 --max 1 --scratch temporary
if [ -w /dev/shm ]; then
	exits 0 tune bare --seconds 1 --rounds 1 --max 1 --scratch /dev/shm
fi
looks_like bare >after
holds cmp before after
cp -r store sealed
chmod -R a-w sealed # root may write all the same
looks_like sealed >before
exits 0 tune sealed --seconds 1 --rounds 1 --max 1 --scratch temporary
TMPDIR=$PWD/temporary exits 0 tune sealed --seconds 1 --rounds 1 --max 1
looks_like sealed >after
chmod -R u+w sealed
holds cmp before after
holds rmdir temporary

promise 'where there is nothing to restore tune says what is missing'
exits 1 tune nowhere
says 'there is no store here'
holds test ! -e nowhere
mkdir -m 700 -p fresh/.varve
exits 1 tune fresh
says 'no commit yet'
holds test ! -e fresh/.varve/tune
exits 0 commit plain "$(id C)=recording/a/0"
exits 1 tune plain
says 'one commit only'
exits 0 commit plain "$(id C)=recording/a/1"
exits 0 --json tune plain --seconds 1 --rounds 1 --max 1
json '.commits == 2'

promise 'a wrong command line is told before anything is opened'
exits 2 tune store --max 0
exits 2 tune store --seconds 0
exits 2 tune store --rounds x
exits 2 tune store --io none
exits 2 tune
exits 2 tune store again

promise 'damage ends tune with exit code 3, names the file, and is not mended'
cp -r store damaged
# The first image and the newest: one of them alone leaves a way to the others.
for file in damaged/"$(id A)"_*; do
	case $file in
	*_*_*) ;;
	*) poke "$file" 100 damage ;;
	esac
done
looks_like damaged >before
exits 3 tune damaged --seconds 1 --rounds 3 --max 1
says "$(id A)_"
looks_like damaged >after
holds cmp before after
