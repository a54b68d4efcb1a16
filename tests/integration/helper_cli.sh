# Sourced by the tests of the command line. VARVE is the program to test.
#
# A test says `promise SENTENCE`, then what must hold: `exits CODE COMMAND…` runs varve and keeps what it wrote in
# $scratch/out and $scratch/err; `json FILTER`, `says TEXT`, `quiet` look at that. Nothing is printed while all is well.

: "${VARVE:?path of the varve program}"
scratch=$(mktemp -d "${TMPDIR:-/tmp}/varve-cli.XXXXXX") || exit 1
failures=0
sentence=

finish() {
	cd /
	# A coordinator that is just ending may still write.
	for _ in 1 2 3 4 5; do
		rm -rf "$scratch" 2>/dev/null && break
		sleep 0.1
	done
	[ "$failures" = 0 ] || exit 1
}
trap finish EXIT
cd "$scratch" || exit 1

promise() {
	sentence=$1
}

failed() {
	failures=$((failures + 1))
	printf 'FAILED: %s: %s\n' "$sentence" "$*"
	[ ! -s out ] || sed 's/^/  out: /' out | cut -c -300 | head -n 20
	[ ! -s err ] || sed 's/^/  err: /' err | cut -c -300 | head -n 20
}

# exits CODE ARGUMENT…: run varve with the arguments.
exits() {
	local want=$1 code
	shift
	"$VARVE" "$@" >out 2>err </dev/null
	code=$?
	[ $code = "$want" ] || failed "exit code $code instead of $want: varve $*"
	# Messages are sentences of ours, on stderr only.
	! grep -v -q -E '^(varve( [a-z]+|-coordinator)?: |Try )' err || failed "a message without a name: varve $*"
	case $want in
	0 | 3) ;;
	*)
		[ ! -s out ] || failed "it failed, and wrote to stdout: varve $*"
		[ -s err ] || failed "it failed without a word: varve $*"
		;;
	esac
}

# says TEXT: stderr holds the text.
says() {
	grep -q -F -- "$1" err || failed "it does not say: $1"
}

# json FILTER: stdout is JSON for which the jq filter gives true.
json() {
	jq -e "$1" out >/dev/null 2>&1 || failed "not so in the JSON: $1"
}

# holds COMMAND…: the command succeeds.
holds() {
	"$@" >/dev/null 2>&1 || failed "does not hold: $*"
}

# id LETTER: a module's id, 64 times the hex digit.
id() {
	printf "%.0s$1" {1..64}
}

# image FILE SIZE SEED: an image with content of its own.
image() {
	yes "line of $3 $1" | head -c "$2" >"$1"
}

# poke FILE OFFSET TEXT: change a few bytes.
poke() {
	printf '%s' "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

sha256() {
	sha256sum <"$1" | cut -c -64
}

# recorded LETTER FILE: a module's entry in a manifest, true in all it says; FILE lies beneath recording/.
recorded() {
	printf '{"id":"%s","file":"%s","size":%d,"sha256":"%s"}' "$(id "$1")" "$2" \
		"$(stat -c %s "recording/$2")" "$(sha256 "recording/$2")"
}

# recording_make: five commits of two modules. The second module comes later, there is a commit without modules, and one
# in which the bytes did not change.
recording_make() {
	mkdir -p recording/a recording/b
	image recording/a/0 10000 one
	cp recording/a/0 recording/a/1
	poke recording/a/1 5000 changed
	image recording/b/0 4096 two
	cp recording/b/0 recording/b/1
	head -c 70001 recording/a/1 >recording/a/2
	head -c 60001 /dev/zero >>recording/a/2
	cat >recording/manifest.json <<-END
		{"format": "not looked at", "commits": [
		{"label": "genesis", "modules": [$(recorded a a/0)]},
		{"label": "second module", "modules": [$(recorded a a/1), $(recorded b b/0)]},
		{"modules": []},
		{"modules": [$(recorded b b/1)]},
		{"label": "grown", "extra": 1, "modules": [$(recorded a a/2)]}
		]}
	END
}

# wait_until COMMAND…: for at most ten seconds.
wait_until() {
	for _ in {1..200}; do
		! "$@" >/dev/null 2>&1 || return 0
		sleep 0.05
	done
	failed "waited in vain for: $*"
}
