#!/bin/bash
# What varve-perf makes of a result: whoever reads the page must be able to trust it, whoever wrote the result.
. "$(dirname "$0")/helper_cli.sh"
program=${VARVE_BUILD:?the build directory}/bin/varve-perf

[ -x "$program" ] || exit 0 # built without the perf suite

# report CODE ARGUMENT…: like exits, for `varve-perf report`. With `path` set that is its PATH.
report() {
	local want=$1 code
	shift
	env "PATH=${path:-$PATH}" "$program" report "$@" >out 2>err </dev/null
	code=$?
	[ $code = "$want" ] || failed "exit code $code instead of $want: report $*"
	! grep -v -q '^varve-perf report: ' err || [ "$want" = 2 ] || failed "a message without a name: report $*"
}

has() {
	grep -q -F -- "$2" "$1" || failed "$1 does not have: $2"
}

lacks() {
	! grep -q -i -E -- "$2" "$1" || failed "$1 has: $2"
}

# row SCHEME WORKERS SECONDS…
row() {
	printf '{"scheme":"%s","workers":%s,"seconds":[%s],"bytes_read":8192}' "$1" "$2" "$3"
}

# chain COMMITS STATE COPY RESTORE: a case; times in microseconds.
chain() {
	printf '{"name":"chain-%d","group":"chain","title":"How long?","x":%d,"x_name":"commits","x_unit":"",
		"commits":%d,"modules":1,"image_bytes":589824,"state":"%s","position":null,"left_out":"the walk of %d",
		"disk":{"base_bytes":589824,"delta_bytes":40960,"last_bytes":589824,"tier_bytes":20480,"undo_bytes":1024},
		"rows":[%s,%s,%s]}' "$1" "$1" "$1" "$2" "$1" \
		"$(row copy null "${3}e-6,${3}.5e-6,${3}.9e-6")" "$(row restore 1 "${4}e-6,${4}.7e-6,${4}.8e-6")" \
		"$(row restore 2 "${4}.1e-6,${4}.2e-6,2e-3")"
}

# result CASES [FIGURES]
result() {
	printf '{"format":"varve-perf 2","varve":"0.1","time":"2026-01-01T00:00:00Z","seed":1,"machine":{"cpu":"A <b>&\\"CPU\\"",
		"cpus":2,"memory_bytes":8589934592,"architecture":"x86_64","kernel":"6.1","filesystem":"ext4","io_method":"pread",
		"io_reason":"io_uring is forbidden"},"cases":[%s],"figures":[%s]}' "$1" "${2:-}"
}

target() {
	printf '{"name":"%s","target":%s,"value":%s,"unit":"x copy","better":"%s","reached":true,"remark":"%s"}' "$@"
}

result "$(chain 1 warm 100 200),$(chain 10 warm 100 300),$(chain 200 warm 100 400),$(chain 200 cold 500 900)" \
	"$(target 'any commit' 3 4.1 less 'decoding'),$(target 'against the walk' 50 60 more ''),$(target 'no value' 2 null less '')" >good.json

promise 'the terminal shows medians, ratios to the copy, and which targets were reached, whatever the result claims'
report 0 good.json
has out '400 µs (3.98)'
has out '901 µs (1.80)'
has out '1 of 3 reached.'
holds grep -q -E '^ +NOT REACHED +any commit +≤ 3.00 +4.10 x copy' out
holds grep -q -E '^ +reached +against the walk +≥ 50.0 +60.0 x copy' out
holds grep -q -E '^ +not measured +no value' out
has out 'io_uring is forbidden'
holds test ! -s err

promise 'the page is one file that needs neither network nor scripts, with plots where gnuplot is installed'
report 0 -q good.json --html page.html --markdown page.md
has out "As a page with plots: $scratch/page.html"
has page.html '400 µs (3.98)'
has page.html 'NOT REACHED'
has page.html 'prefers-color-scheme:dark'
lacks page.html '<script|<link|<img|<iframe|@import|https?:|src=|href=.[^#]|url\('
has page.html 'A &lt;b&gt;&amp;&quot;CPU&quot;'
if command -v gnuplot >/dev/null; then
	has page.html '</svg>'
	has page.html 'Time over the length of the chain'
	holds test ! -s err
	# Names in a page may be there once.
	holds test -z "$(grep -o -E "id=['\"][^'\"]*" page.html | sort | uniq -d)"
fi

promise 'Markdown has the same tables'
has page.md '| **not reached** | any commit | ≤ 3.00 | 4.10 x copy | decoding |'
has page.md '| chain-200 | cold | 500 µs | 901 µs (1.80) |'
has page.md 'A &lt;b\>&amp;"CPU"'

promise 'plots are files of their own as well, on white'
if command -v gnuplot >/dev/null; then
	report 0 -q good.json --plots plots
	holds test -s plots/chain-warm.svg
	has plots/chain-warm.svg '100 µs'
	has plots/chain-warm.svg '#ffffff'
	has plots/disk-chain.svg 'undo deltas'
fi

promise 'without gnuplot there is a sentence and a page without plots; but plots alone can not be had'
path=$scratch report 0 -q good.json --html none.html
says 'gnuplot is not installed (Debian package gnuplot-nox)'
has none.html 'gnuplot is not installed'
has none.html '400 µs (3.98)'
lacks none.html '<svg'
path=$scratch report 1 -q good.json --plots none
holds test ! -e none

promise 'text of a result is text, on the terminal, in Markdown, in HTML and for gnuplot'
mark=$scratch/owned
hostile=$(printf '%s' "</td><script>alert(1)</script>'; system('touch $mark'); set out '| \`touch $mark\` [a](b) \$(touch $mark)" | jq -Rs .)
jq --argjson h "$hostile" '.machine.cpu = $h | .machine.io_reason = $h | .cases |= map(.title = $h | .left_out = $h |
	.pattern = $h | .x_name = $h | .group = "workers" | .name = $h + .name | .rows[2].scheme = $h) | .figures |= map(.name = $h |
	.unit = $h | .remark = $h) | .cases[0].rows[1].scheme = "restore\u001b[31m\u009b" | .cases += [(.cases[0] |
	.group = "rivals" | .rows[2].disk_bytes = 1e6), (.cases[0] | .group = "pattern"), (.cases[1] | .group = $h)]' \
	good.json >hostile.json
report 0 hostile.json --html hostile.html --markdown hostile.md --plots hostile
holds test ! -e "$mark"
lacks hostile.html '<script'
has hostile.html '&lt;script&gt;'
lacks hostile.md '<script|[^\\]\[a\]|[^\\]`touch'
for file in out hostile.html hostile.md; do
	holds test "$(LC_ALL=C tr -d '\n\t\040-\176\200-\377' <"$file" | wc -c)" = 0
	! LC_ALL=C grep -q $'\xc2[\x80-\x9f]' "$file" || failed "$file has control characters"
done

promise 'a damaged result is refused with the place of the damage, and leaves no page'
# refused FILTER TEXT: the result, changed by jq, is refused.
refused() {
	jq -c "$1" good.json >bad.json
	report 1 bad.json --html bad.html
	says "bad.json: $2"
	holds test ! -e bad.html
	holds test ! -s out
}
refused 'del(.format)' 'it is no result of varve-perf'
refused '.format = "varve-perf 9"' 'its format is not'
refused '.cases = 3' 'cases: it must be an array'
refused '.cases[1] = null' 'cases: it must be an array of objects'
refused '.cases[1].name = 7' 'cases[1].name: it must be a text'
refused 'del(.cases[1].name)' 'cases[1].name: it is missing'
refused '.cases[1].state = "hot"' 'cases[1].state: '
refused '.cases[2].x = "many"' 'cases[2].x: it must be a number'
refused '.cases[2].disk = []' 'cases[2].disk: it must be an object'
refused '.cases[2].disk.tier_bytes = -1' 'cases[2].tier_bytes: it must be a number from 0 to'
refused '.cases[2].rows[1].seconds = []' 'cases[2].rows[1].seconds: '
refused '.cases[2].rows[1].seconds[1] = "1"' 'cases[2].rows[1].seconds: each sample must be a time'
refused '.cases[2].rows[1].seconds[1] = 0' 'cases[2].rows[1].seconds: each sample must be a time'
refused '.cases[2].rows[1].seconds[1] = 1e300' 'cases[2].rows[1].seconds: each sample must be a time'
refused '.cases[2].rows[1].seconds[1] = 1e-300' 'cases[2].rows[1].seconds: each sample must be a time'
refused '.cases[2].rows[1].workers = 1e9' 'cases[2].rows[1].workers: '
refused 'del(.cases[2].rows[1].scheme)' 'cases[2].rows[1].scheme: it is missing'
refused '.figures[0].target = []' 'figures[0].target: it must be a number'
refused '.figures[0].better = "best"' 'figures[0].better: '
refused '.machine = "mine"' 'machine: it must be an object'
head -c 300 good.json >cut.json
report 1 cut.json
says 'cut.json: line 3'
report 1 missing.json
says 'missing.json: No such file'
report 1 good.json --html missing/page.html
says 'missing/page.html: No such file'

promise 'nothing measured, little measured, and extremes give a report'
result '' >empty.json
report 0 empty.json --html empty.html --markdown empty.md
jq -c '.cases |= map({name, rows})' good.json >little.json
report 0 little.json --html little.html
jq -c '.cases[0].rows[1].seconds = [1e-12] | .cases[1].rows[1].seconds = [3e9] | .cases[1].image_bytes = 9e18 |
	.cases[0].x = 1e-300 | .cases[2].x = 9e18' good.json >extreme.json
report 0 extreme.json --html extreme.html

promise 'a wrong command line is exit code 2'
report 2
report 2 good.json good.json
report 2 good.json --frobnicate
