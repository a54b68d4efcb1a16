#!/bin/bash
# Damage is found, named, and never restored: exit code 3.
. "$(dirname "$0")/helper_cli.sh"

recording_make
A=$(id A)
promise 'there is a store to damage'
exits 0 --json import store recording
commit=$(jq -r '.commits[1]' out)
exits 0 --json show store @1
delta=$(jq -r '.modules[0] | .module + "_" + .module_commit + "_" + (.ordinal | tostring)' out)
holds test -f "store/$delta"
[ "$failures" = 0 ] || exit 1
cp -a store whole

promise 'a damaged delta is named, by people and by JSON, with exit code 3'
size=$(stat -c %s "store/$delta")
poke "store/$delta" $((size / 2)) X
cmp -s "store/$delta" "whole/$delta" && poke "store/$delta" $((size / 2)) Y
rm -rf store/.varve # tiers could stand in for it
exits 3 verify store
holds grep -q "^damaged: .*$delta" out
exits 3 --json verify store
json ".damaged >= 1 and (.findings | map(select(.damage and .file == \"$delta\")) | length >= 1)"
json '.findings | all(keys == ["damage","file","problem"])'

promise 'damage is counted as often as it is met, and that is said'
"$VARVE" serve store >serve.out 2>serve.err &
server=$!
trap 'kill $server; finish' EXIT
wait_until grep -q event=start serve.err
exits 3 verify store
exits 3 verify store
exits 0 --json status store
met=$(jq .damage_found out)
[ "$met" -ge 2 ] || failed "met $met times"
exits 0 status store
holds grep -q "^Damage       met $met times (one file counts each time); run varve verify$" out
kill $server
wait $server
trap finish EXIT

promise 'a damaged commit is not restored, and what was there stays'
exits 3 --json restore store "$commit"
holds test ! -s out
says "$delta"
holds cmp "store/$A" recording/a/2
exits 0 --json show store HEAD
json '.index == 4'

promise 'a damaged commit is not checked out'
exits 3 checkout store "$commit" dir "$A"
holds test -z "$(ls -A dir)"

promise 'other commits are not touched by it'
exits 0 restore store @0
holds cmp "store/$A" recording/a/0

promise 'a file that is missing is named'
rm -rf store
cp -a whole store
rm -rf store/.varve "store/$delta"
exits 3 verify store
holds grep -q "^damaged: .*$delta" out

promise 'a damaged commits file is named'
rm -rf store
cp -a whole store
poke store/commits 40 XXXXXXXX
exits 3 log store
says commits
says "$PWD/store: commits: at offset "
says 'restore it from a backup'
exits 3 serve store
says "$PWD/store: commits: at offset "

promise 'persisted commits that are cut off are damage, also at the second look'
rm -rf store
cp -a whole store
image one 10000 one
exits 0 commit store "$(id A)=one"
truncate -s -20 store/commits
for k in 1 2; do
	exits 0 log store
	says 'commits were persisted, only'
	exits 3 verify store
	holds grep -q '^damaged: commits: .* commits were persisted, only' out
done

promise 'what does not belong there is told, and is no damage'
rm -rf store
cp -a whole store
image "store/$(id A)_$(id B)_7" 10 x
exits 0 --json verify store
json '.damaged == 0 and (.findings | length >= 1 and all(.damage | not))'
