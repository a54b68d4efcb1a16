#!/bin/bash
# What got slower? A comparison that cries wolf is switched off, one that misses what matters is of no use.
. "$(dirname "$0")/helper_cli.sh"
program=${VARVE_BUILD:?the build directory}/bin/varve-perf
[ -x "$program" ] || exit 0 # built without the perf suite

# compare CODE ARGUMENT…: like exits, for `varve-perf compare`.
compare() {
	local want=$1 code
	shift
	"$program" compare "$@" >out 2>err </dev/null
	code=$?
	[ $code = "$want" ] || failed "exit code $code instead of $want: compare $*"
	[ "$want" != 2 ] || [ ! -s out ] || failed "trouble, and it wrote to stdout: compare $*"
}

# result SEED MACHINE [CASE SCHEME FACTOR]: a run of 32 cases on a machine that takes MACHINE times as long; samples are
# 8 % apart by chance, and now and then one takes three times as long; and each row has its luck for the whole run. One scheme of one case takes FACTOR times as long.
result() {
	# awks differ in their rand().
	awk -v seed="$1" -v machine="$2" -v which="${3:--1}" -v what="${4:-}" -v factor="${5:-1}" 'function chance() {
		state = state * 16807 % 2147483647
		return state / 2147483647
	}
	BEGIN {
		state = seed * 7919
		for (i = 0; i < 10; i++)
			chance()
		n = split("copy,null,100;restore,1,800;restore,2,500;back by one,2,150;naive walk,null,9000", rows, ";")
		printf "{\"format\":\"varve-perf 2\",\"machine\":{\"cpu\":\"one\",\"cpus\":2},\"cases\":["
		for (c = 0; c < 32; c++) {
			printf "%s{\"name\":\"case-%d\",\"group\":\"chain\",\"state\":\"%s\",\"rows\":[", c ? "," : "", c,
				c % 2 ? "cold" : "warm"
			for (i = 1; i <= n; i++) {
				split(rows[i], row, ",")
				name = row[1] row[2]
				slow = c == which && name == what ? factor : 1
				slow *= 1 + 0.2 * (chance() - 0.5)
				printf "%s{\"scheme\":\"%s\",\"workers\":%s,\"seconds\":[", (i > 1 ? "," : ""), row[1], row[2]
				for (s = 0; s < 15; s++)
					printf "%s%.9f", s ? "," : "", 1e-6 * row[3] * machine * slow * (1 + 0.08 * chance()) * \
						(chance() < 0.04 ? 3 : 1)
				printf "]}"
			}
			printf "]}"
		}
		printf "]}\n"
	}'
}

result 1 1 >before.json

promise 'runs of the same thing do not differ, whatever the noise'
compare 0 before.json before.json
for seed in 2 3 4; do
	result $seed 1 >after.json
	compare 0 before.json after.json
	holds grep -q '^0 slower, 0 faster, 96 without' out
done

promise 'what got slower is found, named and exit code 1, and nothing else is'
result 7 1 4 restore2 2.5 >slower.json
compare 1 before.json slower.json
holds grep -q '^Slower: 1$' out
holds grep -q -E '^  case-4 +warm +restore +2 ' out
holds grep -q '^1 slower, 0 faster' out
compare 1 --json before.json slower.json
json '.slower == 1 and .faster == 0'
json '.rows[0] | .case == "case-4" and .scheme == "restore" and .workers == 2 and .verdict == "slower"'
json '.rows[0] | .ratio > 2 and .ratio < 3.2 and .low < .ratio and .high > .ratio and .q < 0.05'

promise 'what got faster is no failure'
compare 0 slower.json before.json
holds grep -q '^Faster: 1$' out

promise 'what is less than --least is no difference'
compare 0 --least 300 before.json slower.json

promise 'a slower machine makes nothing slower, and hides nothing'
result 8 1.7 >machine.json
compare 0 before.json machine.json
holds grep -q 'Ratios to the copy of the same case are compared, as the copies differ' out
result 9 1.7 4 restore2 2.5 >both.json
compare 1 --json before.json both.json
json '.by == "copy" and .slower == 1 and .rows[0].case == "case-4" and .copies > 1.6 and .copies < 1.8'
# If asked to, it compares times.
compare 1 --by time --json before.json machine.json
json '.by == "time" and .slower > 48'
jq -c '.machine.cpu = "another"' before.json >other.json
compare 0 before.json other.json
holds grep -q 'as the machines differ' out

promise 'a case without a copy beside it is compared by what all copies say of the machine'
jq -c '.cases[3].rows |= map(select(.scheme != "copy"))' before.json >b.json
jq -c '.cases[3].rows |= map(select(.scheme != "copy"))' machine.json >a.json
compare 0 b.json a.json
jq -c '.cases[3].rows |= map(if .workers == 1 then .seconds |= map(. * 3) else . end)' a.json >slow.json
compare 1 --json b.json slow.json
json '.slower == 1 and .rows[0].case == "case-3" and .rows[0].ratio > 2.2 and .rows[0].ratio < 4'

promise 'copies, walks and other programs are not ours: they never got slower on our account'
result 10 1 5 'naive walknull' 3 >walk.json
compare 0 before.json walk.json
holds grep -q '^The machine, or other programs: slower: ' out
compare 0 --json before.json walk.json
json '.slower == 0 and any(.rows[]; .control and .verdict == "slower" and .case == "case-5" and .scheme == "naive walk")'

# samples NAME LIST: one case, one row.
samples() {
	printf '{"format":"varve-perf 2","cases":[{"name":"one","state":"warm","rows":[{"scheme":"restore","workers":1,
		"seconds":[%s]}]}]}' "$2" >"$1"
}

promise 'p is what the textbook says: Mann-Whitney, exact, and Welch on logarithms, the smaller, doubled'
samples a.json 1,2,3,4,5
samples b.json 6,7,8,9,10.5
compare 1 --json a.json b.json
# Five below five others: 2 of 252 orders are as far apart.
json '.rows[0].p - 4 / 252 | fabs < 1e-5'
samples b.json 1.5,3.3,4.4,9,11,12
compare 0 --json a.json b.json
# By Welch 0.12719, by ranks 0.17749.
json '.rows[0].p - 0.254383 | fabs < 1e-5'
samples b.json 1,2,3,4,5
compare 0 --json a.json b.json
json '.rows[0].p == 1 and .rows[0].ratio == 1'

promise 'two samples say nothing, however far apart'
samples a.json 1,1.01
samples b.json 9,9.01
compare 0 --json a.json b.json
json '.rows[0].verdict == "too few samples"'

promise 'every position of a chain is one row, so that many cases with few samples say something together'
# positions FACTOR
positions() {
	awk -v f="$1" 'BEGIN {
		printf "{\"format\":\"varve-perf 2\",\"cases\":["
		for (k = 0; k < 40; k++)
			printf "%s{\"name\":\"position-%d\",\"group\":\"position\",\"position\":%d,\"state\":\"warm\",\"rows\":[" \
				"{\"scheme\":\"restore\",\"workers\":2,\"seconds\":[%.6f,%.6f]}]}", k ? "," : "", k, k,
				f * (500 + k) * 1e-6, f * (501 + k * 37 % 11) * 1e-6
		printf "]}\n"
	}'
}
positions 1 >a.json
positions 1.3 >b.json
compare 1 --json a.json b.json
json '.rows | length == 1'
json '.rows[0].samples_before == 40 and .rows[0].verdict == "slower"'

promise 'a result that can not be read, nothing in common, or a wrong command line is exit code 2, not 1'
compare 2 before.json missing.json
says 'varve-perf compare: missing.json: No such file'
jq -c '.cases[3].rows[1].seconds[2] = -1' before.json >bad.json
compare 2 before.json bad.json
says 'bad.json: cases[3].rows[1].seconds: '
compare 2 a.json before.json
says 'no case in common'
compare 2 before.json
compare 2 before.json before.json before.json
compare 2 before.json before.json --by weight
compare 2 before.json before.json --least much
