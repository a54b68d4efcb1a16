#!/usr/bin/env bash
# A VM links the library into its own process: a symbol of ours that is not varve_ could take the place of one of its
# own, and a library that it did not ask for would come along.
set -euo pipefail

promised=$(grep -o '^VARVE_API[^(]*(' "$SRCDIR/include/varve.h" | grep -o 'varve_[a-z_]*($' | tr -d '(' | sort)
[ -n "$promised" ] || { echo "no function found in varve.h"; exit 1; }

# The version of the symbols is itself an absolute symbol, VARVE_1. Sanitizers add theirs, with two underscores.
shared=$("$NM" -D --defined-only "$LIBVARVE" | awk '$2 != "A" {print $3}' | sed 's/@.*//' | grep -v '^__' | sort -u)
static=$("$NM" -g --defined-only "$LIBVARVE_STATIC" | awk 'NF == 3 {print $3}' | grep -v '^__' | sort -u)

bad=0
for kind in shared static; do
	if ! diff <(echo "$promised") <(echo "${!kind}"); then
		echo "the $kind library does not export exactly what varve.h declares (< promised, > exported)"
		bad=1
	fi
done

needs=$(readelf -d "$LIBVARVE" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | grep -Ev '^(libc\.so|ld-linux|lib[a-z]+san\.so)' || true)
if [ -n "$needs" ] && [ -z "$SANITIZE" ]; then
	echo "libvarve.so needs more than libc:" $needs
	bad=1
fi
exit $bad
