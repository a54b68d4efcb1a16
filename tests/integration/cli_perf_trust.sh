#!/bin/bash
# Figures are worth something only if a wrong image is noticed, and if the same can be measured again.
here=$(cd "$(dirname "$0")" && pwd)
. "$here/helper_cli.sh"
. "$here/helper_perf.sh"

promise 'the same seed makes the same history, another seed another'
for run in one two three; do
	mkdir $run
	seed=7
	[ $run != three ] || seed=8
	"$program" --dir $run --keep --only chain-5 --runs 3 --budget 0 --seed $seed >/dev/null 2>err || failed "run $run"
	rm -rf $run/*.store
done
holds diff -r one two
! diff -rq one three >/dev/null || failed 'another seed makes the same history'

promise 'one wrong byte ends the run without a report'
for n in 1 2 9; do
	VARVE_FAULT=perf.check:$n:EIO perf 1 --only chain-5
	says 'no figure of this run is worth anything'
	holds test ! -e out
	holds test ! -s table
done

promise 'a run that is ended leaves nothing, and no report'
"$program" --dir stores --json out --only modules-16 >table 2>err </dev/null &
pid=$!
for _ in $(seq 100); do
	[ ! -e stores/modules-16.copies ] || break
	sleep 0.02
done
kill -TERM $pid
wait $pid
holds test $? = 1
says 'without a report'
holds test ! -e out
holds rmdir stores
mkdir -p stores

promise 'what is not there to be measured is said'
perf 1 --only chain-7
says --list
perf 1 --only recordings --recording missing
says missing
perf 2 --runs none
perf 2 --budget -1
"$program" --list --quick >out 2>err && grep -q '^chain ' out || failed 'it does not list its cases'
