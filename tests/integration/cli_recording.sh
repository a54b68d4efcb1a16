#!/bin/bash
# A recording may come from anybody: what does not hold is refused before anything is made of it.
. "$(dirname "$0")/helper_cli.sh"

recording_make
cp recording/manifest.json good.json
image outside 10000 one

# manifest JSON: one commit with one module.
manifest() {
	printf '{"commits":[{"modules":[%s]}]}' "$1" >recording/manifest.json
}

# entry FILE SIZE SHA256
entry() {
	manifest "{\"id\":\"$(id a)\",\"file\":\"$1\",\"size\":$2,\"sha256\":\"$3\"}"
}

# refused: import fails, and no store comes of it.
refused() {
	exits 1 import store recording
	holds test ! -e store
}

promise 'an image outside the recording is not read, however it is named'
hash=$(sha256 outside)
for path in ../outside "$scratch/outside" a/../../outside /etc/passwd .. a/.. ''; do
	entry "$path" 10000 "$hash"
	refused
done
# Whether there is a file outside is not told either.
entry ../missing 0 "$hash"
refused
says 'not a path beneath'
ln -s ../outside recording/link
ln -s "$scratch/outside" recording/absolute
ln -s .. recording/up
ln -s /proc/self/cwd/outside recording/magic
for path in link absolute up/outside magic; do
	entry "$path" 10000 "$hash"
	refused
done
ln -s 0 recording/a/inside
entry a/inside 10000 "$(sha256 recording/a/0)"
exits 0 import inside-is-fine recording

promise 'a manifest that leads out of the recording is not read'
mkdir sly
cp -r recording/a recording/b sly
ln -s ../good.json sly/manifest.json
exits 1 import store sly

promise 'an image has the size that is stated'
entry a/0 9999 "$(sha256 recording/a/0)"
refused
says 10000
entry a/0 10001 "$(sha256 recording/a/0)"
refused

promise 'what is no file is no image'
mkfifo recording/fifo
mkdir recording/folder
for path in fifo folder missing a/0/x; do
	entry "$path" 0 "$(id 0)"
	refused
	says "$path"
	case $path in f*) says 'not a regular file' ;; esac
done

promise 'an image with another SHA-256 is not committed'
entry a/0 10000 "$(id 0)"
exits 1 import wrong recording
says SHA-256
exits 0 --json log wrong
json '. == []'
# What was good before it is kept.
sed "s/$(sha256 recording/a/1)/$(id 0)/" good.json >recording/manifest.json
exits 1 import partly recording
says '1 of 5 commits'
exits 0 --json log partly
json 'length == 1 and .[0].label == "genesis"'
exits 0 checkout partly HEAD partly-out
holds cmp partly-out/"$(id A)" recording/a/0

promise 'values of a wrong type or range are refused'
a=$(id a)
for module in '{}' '[]' '1' 'null' '"x"' \
	"{\"file\":\"a/0\",\"size\":10000}" \
	"{\"id\":\"abc\",\"file\":\"a/0\",\"size\":10000}" \
	"{\"id\":\"$(id g)\",\"file\":\"a/0\",\"size\":10000}" \
	"{\"id\":7,\"file\":\"a/0\",\"size\":10000}" \
	"{\"id\":\"$a\",\"size\":10000}" \
	"{\"id\":\"$a\",\"file\":[],\"size\":10000}" \
	"{\"id\":\"$a\",\"file\":\"a/0\"}" \
	"{\"id\":\"$a\",\"file\":\"a/0\",\"size\":-1}" \
	"{\"id\":\"$a\",\"file\":\"a/0\",\"size\":1e4}" \
	"{\"id\":\"$a\",\"file\":\"a/0\",\"size\":\"10000\"}" \
	"{\"id\":\"$a\",\"file\":\"a/0\",\"size\":99999999999999999999}" \
	"{\"id\":\"$a\",\"file\":\"a/0\",\"size\":10000,\"sha256\":\"ab\"}" \
	"{\"id\":\"$a\",\"file\":\"a/0\",\"size\":10000,\"sha256\":null}" \
	"$(recorded a a/0),$(recorded A a/1)"; do
	manifest "$module"
	refused
	says manifest.json
done

promise 'what is not a manifest is refused'
for text in '' 'not JSON' '[]' '{}' '7' '{"commits":7}' '{"commits":[7]}' '{"commits":[{}]}' \
	'{"commits":[{"modules":{}}]}' '{"commits":[{"modules":[],"label":7}]}' '{"commits":[]' \
	'{"commits":[],"commits":[]}' '{"commits":[{"modules":[],"label":"a\u0000b"}]}' \
	"{\"commits\":[{\"modules\":[],\"label\":\"$(printf '%.0sx' {1..4097})\"}]}" \
	"$(printf '%.0s[' {1..9999})"; do
	printf '%s' "$text" >recording/manifest.json
	refused
done
printf '{"commits":[{"modules":[],"label":"\xff"}]}' >recording/manifest.json
refused

promise 'a huge manifest is not read into memory'
truncate -s 1T recording/manifest.json 2>/dev/null || truncate -s 8G recording/manifest.json
refused
says larger
rm recording/manifest.json
refused
exits 1 import store missing
exits 1 import store good.json
holds test ! -e store

promise 'an import that can not make what makes restores fast says so, and has succeeded'
jq --argjson a "$(recorded a a/0)" --argjson b "$(recorded a a/1)" -n \
	'{commits: [range(10) | {modules: [if . % 2 == 0 then $a else $b end]}]}' >recording/manifest.json
VARVE_FAULT=tiers.write:1+:EIO VARVE_FAULT_ROLE=worker exits 0 --json import plain recording
json '.commits | length == 10'
says 'varve: note: what makes restores fast can not all be made: module '
exits 0 verify plain
