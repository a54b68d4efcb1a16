#!/bin/bash
# What a user meets before a store is opened: help, and exit code 2 for a wrong command line.
. "$(dirname "$0")/helper_cli.sh"

commands='import commit log show restore checkout verify status workers serve'

promise 'help is on stdout, names every command, and is no failure'
exits 0 --help
for command in $commands; do
	holds grep -q "^  $command " out
done
exits 0 help
exits 0 help help
holds grep -q '^  import ' out
exits 0 --version
holds grep -q -x -E 'varve [0-9]+\.[0-9]+\.[0-9]+' out

promise 'each command explains itself with an example, in two ways'
for command in $commands; do
	exits 0 "$command" --help
	holds grep -q "^Usage: varve $command " out
	holds grep -q '^Example:' out
	holds grep -q "varve .*$command" <(sed '1,/^Example:/d' out)
	mv out first
	exits 0 help "$command"
	holds cmp first out
done

promise 'a wrong command line is exit code 2, and makes no store'
exits 2
exits 2 frobnicate
says frobnicate
exits 2 help frobnicate
exits 2 help log show
exits 2 --frobnicate
exits 2 log --frobnicate store
for command in $commands; do
	exits 2 "$command"
done
exits 2 log store more
exits 2 show store
exits 2 restore store
exits 2 restore store @0 more
exits 2 restore store @0 --workers
exits 2 checkout store @0
exits 2 import store
exits 2 commit store
exits 2 workers store 1 2
exits 2 log ''
holds test ! -e store

promise 'a number is a number, in its range'
for number in 0 -1 1025 4x x 99999999999999999999 ' 4'; do
	exits 2 restore store @0 "--workers=$number"
	exits 2 serve store "--workers=$number"
done
exits 2 workers store 0
exits 2 workers store 1025
exits 2 workers store four
exits 2 log store --limit 0
exits 2 log store --limit ten
exits 2 log store --io smoke
exits 2 log store --sync sometimes
holds test ! -e store

promise 'an id that is not 64 hex digits is wrong usage'
image memory 100 x
for wrong in abc=memory "$(id g)=memory" "$(id a)a=memory" "$(id a)memory" "$(id a)=" "=memory"; do
	exits 2 commit store "$wrong"
done
exits 2 commit store "$(id a)=memory" "$(id A)=memory"
says twice
exits 2 checkout store @0 dir abc
exits 2 checkout store @0 dir "$(id g)"
exits 2 commit store "$(id a)=memory" --label $'\xff'
exits 2 commit store "$(id a)=memory" --label "$(printf '%.0sx' {1..4097})"
holds test ! -e store

promise 'a slip in the name of a store makes no store'
for command in log verify status workers; do
	exits 1 "$command" store
	says store
	exits 1 --json "$command" store
done
exits 1 show store @0
exits 1 restore store @0
exits 1 checkout store @0 dir
holds test ! -e store -a ! -e dir
mkdir empty
exits 1 log empty
holds test -z "$(ls -A empty)"
exits 1 commit store "$(id a)=missing"
says missing
mkfifo fifo
for file in fifo /dev/zero .; do
	exits 1 commit store "$(id a)=$file"
	says 'not a regular file'
done
holds test ! -e store

promise 'a help text that could not be written is a failure'
"$VARVE" --help >/dev/full 2>err
[ $? = 1 ] || failed 'exit code'
says 'standard output'
