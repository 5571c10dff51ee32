#!/usr/bin/env bash
# The plugin's data caches against valgrind's cachegrind: three static programs, the same geometry, virtual addresses in
# both. Prints a table; fails if data misses differ by more than 1 % in the first level or 3 % in the last.
#
#     tests/conformance/run.sh [PLUGIN]      PLUGIN: libphasecast_plugin_api1.so, by default of the dev build
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
plugin=${1:-${CARGO_TARGET_DIR:-$here/../../target}/debug/libphasecast_plugin_api1.so}

for tool in gcc:gcc valgrind:valgrind qemu-x86_64:qemu-user; do
    command -v "${tool%%:*}" >/dev/null || { echo "missing program: ${tool%%:*}; install the Debian package ${tool##*:}" >&2; exit 3; }
done
[ -e "$plugin" ] || { echo "no plugin at $plugin; build it: cargo build -p phasecast-plugin-api1" >&2; exit 3; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# A counter of the plugin's report.
counter() { sed -n "s/.*\"$1\": *\([0-9]*\).*/\1/p" "$2" | head -n 1; }

printf '%-8s %-4s %12s %12s %9s %7s\n' program of cachegrind phasecast off_by bound
failed=0
compare() { # program level cachegrind phasecast bound
    awk -v p="$1" -v l="$2" -v c="$3" -v o="$4" -v b="$5" 'BEGIN {
        off = c ? (o - c) / c * 100 : 100
        printf "%-8s %-4s %12d %12d %+8.3f%% %6.1f%%\n", p, l, c, o, off, b
        exit !(off <= b && off >= -b) }' || failed=1
}

for program in matrix table list; do
    gcc -O2 -static -no-pie -fno-tree-vectorize -o "$work/$program" "$here/$program.c"
    valgrind --tool=cachegrind --cache-sim=yes --I1=32768,8,64 --D1=32768,8,64 --LL=262144,16,64 \
        --cachegrind-out-file="$work/$program.cachegrind" "$work/$program" >"$work/expected" 2>"$work/log" ||
        { cat "$work/log" >&2; exit 1; }
    qemu-x86_64 -plugin "file=$plugin,machine=$here/machine.toml,report=$work/$program.json" \
        "$work/$program" >"$work/found" || { echo "failed to run $program under qemu-x86_64" >&2; exit 1; }
    cmp -s "$work/expected" "$work/found" || { echo "$program answers differently under QEMU" >&2; exit 1; }
    # The summary's columns are named in the file: Ir I1mr ILmr Dr D1mr DLmr Dw D1mw DLmw.
    read -r d1 ll < <(awk '/^events:/ { for (i = 2; i <= NF; i++) at[$i] = i }
        /^summary:/ { print $at["D1mr"] + $at["D1mw"], $at["DLmr"] + $at["DLmw"] }' "$work/$program.cachegrind")
    compare "$program" L1 "$d1" "$(counter l1_misses "$work/$program.json")" 1
    compare "$program" LLC "$ll" "$(counter llc_misses "$work/$program.json")" 3
done
exit $failed
