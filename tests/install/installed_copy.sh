#!/usr/bin/env bash
# The installed copy works for somebody who has nothing of this folder: found by pkg-config and by CMake, and the
# library finds its coordinator by itself, wherever the prefix is.
set -euo pipefail
unset VARVE_COORDINATOR

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
prefix=$tmp/prefix
flags=${SANITIZE:+-fsanitize=$SANITIZE}

quietly() {
	"$@" >"$tmp/out" 2>&1 || { cat "$tmp/out"; echo "failed: $*"; exit 1; }
}

# expect PROGRAM ARGUMENT... - it restores the first state
expect() {
	local said
	said=$("$@") || { echo "failed: $*"; exit 1; }
	[ "$said" = "the first state" ] || { echo "wrong state: '$said' from $*"; exit 1; }
}

quietly "$CMAKE" --install "$VARVE_BUILD" --prefix "$prefix"
for file in include/varve.h bin/varve libexec/varve/varve-coordinator lib/systemd/system/varve@.service \
	lib/systemd/system/varve@.socket lib/sysusers.d/varve.conf; do
	[ -f "$prefix/$file" ] || { echo "not installed: $file"; exit 1; }
done
# starts UNIT PROGRAM
starts() {
	grep -q "^ExecStart=$2 serve " "$1" || { echo "$1 starts no $2: $(grep ^ExecStart= "$1")"; exit 1; }
}
starts "$prefix/lib/systemd/system/varve@.service" "$prefix/bin/varve"
DESTDIR=$tmp/root quietly "$CMAKE" --install "$VARVE_BUILD" --prefix /usr
starts "$tmp/root/usr/lib/systemd/system/varve@.service" /usr/bin/varve
rm -r "$tmp/root"
libdir=$(dirname "$(find "$prefix" -name libvarve.so)")
export PKG_CONFIG_PATH=$libdir/pkgconfig

quietly $CC -Wall -Wextra -Werror $flags "$SRCDIR/tests/install/consumer.c" -o "$tmp/shared" \
	$(pkg-config --cflags --libs varve) -Wl,-rpath,"$libdir"
expect "$tmp/shared" "$tmp/store1"

# Linked statically the library looks beside the program, so it has to be told.
quietly $CC $flags "$SRCDIR/tests/install/consumer.c" -o "$tmp/static" $(pkg-config --cflags varve) "$libdir/libvarve.a"
VARVE_COORDINATOR=$prefix/libexec/varve/varve-coordinator expect "$tmp/static" "$tmp/store2"

mkdir "$tmp/project"
cp "$SRCDIR/tests/install/consumer.c" "$tmp/project/"
cat >"$tmp/project/CMakeLists.txt" <<'CMAKE'
cmake_minimum_required(VERSION 3.25)
project(consumer LANGUAGES C)
find_package(varve 1 REQUIRED)
add_executable(consumer consumer.c)
target_link_libraries(consumer PRIVATE varve::varve)
CMAKE
quietly "$CMAKE" -S "$tmp/project" -B "$tmp/project/build" -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_C_COMPILER="$CC" \
	-DCMAKE_C_FLAGS="$flags"
quietly "$CMAKE" --build "$tmp/project/build"
expect "$tmp/project/build/consumer" "$tmp/store3"

quietly "$prefix/bin/varve" --json log "$tmp/store1"
