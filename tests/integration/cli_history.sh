#!/bin/bash
# One life of a store, by the command line alone: import, log, show, restore, checkout, commit.
. "$(dirname "$0")/helper_cli.sh"

recording_make
A=$(id A)
B=$(id B)

promise 'import makes the recorded commits, in their order, and persists them'
exits 0 --json import store recording
json 'keys == ["commits"] and (.commits | length == 5 and all(test("^[0-9A-F]{64}$")))'
mapfile -t commits < <(jq -r '.commits[]' out)
holds test -f store/commits

promise 'the log lists what each commit changed, under the promised keys, oldest first'
exits 0 --json log store
json 'map(.index) == [0,1,2,3,4]'
json "map(.commit) == $(printf '%s\n' "${commits[@]}" | jq -R . | jq -sc .)"
json 'all(keys == ["commit","current","index","label","modules","parent","time"])'
json 'map(.parent) == [null] + (map(.commit) | .[:-1])'
json 'map(.label) == ["genesis","second module",null,null,"grown"]'
json 'map(.current) == [false,false,false,false,true]'
json 'all(.time | test("^20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\\.[0-9]{9}Z$"))'
json "map(.modules | map(.module)) == [[\"$A\"],[\"$A\",\"$B\"],[],[],[\"$A\"]]"
json '[.[].modules[]] | all(keys == ["kind","module","module_commit","ordinal","size","stored_bytes"])'
json '[.[].modules[].kind] == ["base","delta","base","last"]'
json '[.[].modules[].size] == [10000,10000,4096,70001]'
json '[.[].modules[] | .ordinal] == [null,0,null,null]'
exits 0 log --json store --limit 2
json 'map(.index) == [3,4]'
exits 0 log store
holds test "$(wc -l <out)" = 5
holds grep -q '^\* *@4 ' <(head -n 1 out)

promise 'show lists all modules as they stood, and every form of a commit names it'
exits 0 --json show store @3
json "type == \"object\" and .index == 3 and (.modules | map(.module)) == [\"$A\",\"$B\"]"
exits 0 --json show store @0
json "(.modules | map(.module)) == [\"$A\"] and .label == \"genesis\""
first=${commits[0]}
for name in "$first" "${first,,}" "${first:0:12}" HEAD~4 @0; do
	exits 0 --json show store "$name"
	json ".commit == \"$first\""
done
exits 0 --json show store HEAD
json ".commit == \"${commits[4]}\" and .current"
exits 0 show store @1
holds grep -q 'second module' out
exits 1 show store @5
exits 1 show store HEAD~5
exits 1 show store "$(id 0)"
exits 2 show store abc
exits 2 show store HEAD~x
exits 2 show store HEAD^
exits 2 show store @

# state N: the images at commit N, under their modules' names.
state() {
	rm -rf want
	mkdir want
	cp recording/a/$((($1 > 0) + ($1 > 3))) "want/$A"
	[ "$1" = 0 ] || cp recording/b/0 "want/$B"
}

promise 'a checkout has the very bytes that were recorded, and touches no backing file'
for n in 0 1 2 3 4; do
	state $n
	exits 0 checkout store @$n out-$n
	holds diff -r want out-$n
done
holds cmp "store/$A" recording/a/2
holds test -z "$(find out-* -name '.*')"
exits 0 --json checkout store @1 out-0
json "keys == [\"commit\",\"modules\"] and .commit == \"${commits[1]}\""
json ".modules == [{module:\"$A\",file:\"out-0/$A\",size:10000},{module:\"$B\",file:\"out-0/$B\",size:4096}]"
holds cmp "out-0/$A" recording/a/1
exits 0 checkout store @4 some/ "$(id b)"
holds test "$(ls some)" = "$B"
exits 1 checkout store @0 none "$B"
holds test ! -e "none/$B"
holds test -z "$(ls -A none)"

promise 'a checkout does not write through a link, nor over the backing files of a store'
image precious 20 x
cp precious copy
mkdir linked
ln -s ../precious "linked/$A"
exits 0 checkout store @0 linked "$A"
holds cmp precious copy
holds test -f "linked/$A" -a ! -L "linked/$A"
exits 1 checkout store @0 store
says store
holds cmp "store/$A" recording/a/2
exits 1 checkout store @0 precious

promise 'a dry run says what a restore would do, and does nothing'
exits 0 --json restore store @1 --dry-run
json ".commit == \"${commits[1]}\" and .modules == 2"
holds cmp "store/$A" recording/a/2
exits 0 --json show store HEAD
json '.index == 4'

promise 'a restore brings all backing files to the commit, which stays the current one'
exits 0 --json restore store @1 --workers 2
json 'keys == ["bytes_read","bytes_written","commit","deltas_applied","modules","seconds","workers"]'
json ".commit == \"${commits[1]}\" and .modules == 2 and .seconds >= 0"
holds cmp "store/$A" recording/a/1
holds cmp "store/$B" recording/b/0
exits 0 --json log store
json 'map(.current) == [false,true,false,false,false]'
for n in 0 4 2 3 1; do
	state $n
	exits 0 restore store "${commits[n]}"
	for module in want/*; do
		holds cmp "$module" "store/${module#want/}"
	done
done
exits 1 restore store @9
# What is private to the store can be lost, and what has been persisted can not.
cp -a store bare
rm -rf bare/.varve
exits 0 --json show bare HEAD
json '.index == 1'

promise 'a commit comes after the current one, with modules of any size, old and new'
image memory 12345 new
: >nothing
exits 0 --json commit store "$(id a)=memory" "$(id C)=nothing" --label 'mine: ü'
json 'keys == ["commit"]'
made=$(jq -r .commit out)
exits 0 --json show store HEAD
json ".commit == \"$made\" and .index == 5 and .parent == \"${commits[1]}\" and .label == \"mine: ü\""
json "(.modules | map(.module)) == [\"$A\",\"$B\",\"$(id C)\"]"
exits 0 checkout store "$made" mine
holds cmp "mine/$A" memory
holds cmp "mine/$B" recording/b/0
holds test -f "mine/$(id C)" -a ! -s "mine/$(id C)"

promise 'importing into a store with a history goes on after its current commit'
exits 0 --json import store recording
exits 0 --json log store
json "length == 11 and .[6].parent == \"$made\" and .[10].current"
exits 0 checkout store HEAD again
holds cmp "again/$A" recording/a/2
holds cmp "again/$B" recording/b/1

promise 'a label can not play tricks on the terminal'
exits 0 commit store "$(id a)=nothing" --label $'\e[2J\ntrick'
exits 0 log store --limit 1
holds test "$(wc -l <out)" = 1
holds grep -q -v $'\e' out
exits 0 --json show store HEAD
json '.label == "\u001b[2J\ntrick"'

promise 'a result that could not be written is a failure'
"$VARVE" --json log store >/dev/full 2>err
[ $? = 1 ] || failed 'exit code'
says 'standard output'

promise 'a store that is whole is found to be whole'
exits 0 verify store
# Nobody has written to the copy.
cp -a store copied
exits 0 verify copied
holds grep -q 'or the store was copied' out
exits 0 --json verify store
json 'keys == ["bytes","damaged","files","findings","images","modules"]'
json '.modules == 3 and .damaged == 0 and (.findings | all(.damage | not))'

promise 'an empty recording, and an empty store, are nothing special'
printf '{"commits":[]}' >recording/manifest.json
exits 0 --json import fresh recording
json '.commits == []'
exits 0 --json log fresh
json '. == []'
exits 0 log fresh
exits 0 verify fresh
exits 0 status fresh
exits 0 --json status fresh
json '.current == null and .commits == 0'
json ".io_method == \"${VARVE_IO:-$(jq -r .io_method out)}\""
exits 1 restore fresh HEAD
