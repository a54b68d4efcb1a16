#!/usr/bin/env bash
# An example that does not compile costs a new user's trust in all the rest.
set -euo pipefail

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

awk '/^```c$/ {on = 1; next} /^```/ && on {exit} on' "$SRCDIR/README.md" >"$tmp/example.c"
[ -s "$tmp/example.c" ] || { echo 'README.md has no ```c block'; exit 1; }
$CC -std=c17 -Wall -Wextra -Werror -I "$SRCDIR/include" ${SANITIZE:+-fsanitize=$SANITIZE} "$tmp/example.c" \
	-o "$tmp/example" "$LIBVARVE" -Wl,-rpath,"$(dirname "$LIBVARVE")"
