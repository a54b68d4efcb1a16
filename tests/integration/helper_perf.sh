# Sourced by the tests of varve-perf, behind helper_cli.sh.
#
# `perf CODE ARGUMENT…` runs varve-perf on a small scale; its JSON is in $scratch/out, its table in $scratch/table. With
# `path` set that is its PATH.

program=${VARVE_BUILD:?the build directory}/bin/varve-perf
[ -x "$program" ] || exit 0 # built without the perf suite
mkdir stores

perf() {
	local want=$1 code
	shift
	rm -f out
	env "PATH=${path:-$PATH}" "$program" --dir stores --runs 3 --budget 0 --json out "$@" >table 2>err </dev/null
	code=$?
	[ $code = "$want" ] || failed "exit code $code instead of $want: varve-perf $*"
	# Nothing is left of the stores.
	holds rmdir stores
	mkdir -p stores
}
