# Sourced by tests/run, perf/run and .ci/run, from the project's root.

# Installs what tests/packages.txt names and is missing. Asks nothing of the network if all is there.
install_packages() {
	local package missing=() as=()
	command -v dpkg-query >/dev/null || return 0 # not Debian: the build says what it lacks
	while read -r package; do
		case $package in '' | '#'*) continue ;; esac
		dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
	done < <(cat tests/packages.txt; printf '%s\n' "$@")
	[ ${#missing[@]} -gt 0 ] || return 0
	if [ "$(id -u)" != 0 ]; then
		command -v sudo >/dev/null || {
			echo "${0##*/}: missing packages; as root: apt-get install ${missing[*]}" >&2
			return 1
		}
		as=(sudo)
	fi
	echo "installing: ${missing[*]}" >&2
	quietly "${as[@]}" apt-get update -qq
	quietly "${as[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}"
}

# Runs a command; what it prints is shown only if it fails.
quietly() {
	local out
	if ! out=$("$@" 2>&1 </dev/null); then
		printf '%s\n' "$out" >&2
		echo "${0##*/}: failed: $*" >&2
		return 1
	fi
}

# build_preset PRESET FOLDER JOBS VERBOSE TARGET OPTION...
build_preset() {
	local preset=$1 build=$2 jobs=$3 verbose=$4 target=$5 run=quietly
	shift 5
	[ -z "$verbose" ] || run=
	# A folder that was configured elsewhere (a copied work tree) can not be used again.
	if [ -f "$build/CMakeCache.txt" ] && ! grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$PWD" "$build/CMakeCache.txt"; then
		rm -rf "$build"
	fi
	if command -v ccache >/dev/null; then
		set -- -DCMAKE_C_COMPILER_LAUNCHER=ccache "$@"
	fi
	$run cmake --preset "$preset" "$@"
	$run cmake --build "$build" -j "$jobs" --target "$target"
}
