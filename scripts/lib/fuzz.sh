#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# fuzz.sh SECONDS PATTERN: builds and runs every fuzz target that matches; "0|1<TAB>name<TAB>seconds" a line.
# The committed corpus is replayed first; what is found new stays in the build folder.
set -uo pipefail
# shellcheck source=common.sh
. "$(dirname "$0")/common.sh"

SECONDS_EACH=$1
PATTERN=$2
BUILD=$ROOT/build/fuzz
# Two for each processor: a target's time is measured on the clock, so that more at once is a shorter run.
AT_ONCE=$((2 * $(nproc)))

run_one() {
	local target=$1 name work status=0 began
	began=$(now_ms)
	name=$(basename "$target")
	work=$BUILD/corpus/$name
	mkdir -p "$work"
	"$target" -runs=0 "$ROOT/tests/fuzz/corpus/${name#fuzz_}" >"$work.log" 2>&1 || status=1
	if [ "$status" = 0 ]; then
		"$target" -max_total_time="$SECONDS_EACH" -timeout=60 -rss_limit_mb=1024 -artifact_prefix="$work/crash-" \
			"$work" "$ROOT/tests/fuzz/corpus/${name#fuzz_}" >>"$work.log" 2>&1 || status=1
	fi
	[ "$status" = 0 ] || tail -n 30 "$work.log" >&2
	printf '%d\t%s\t%d\n' "$status" "$name" $((($(now_ms) - began) / 1000))
}

if ! said=$(cd "$ROOT" && cmake --preset fuzz 2>&1 && cmake --build --preset fuzz 2>&1); then
	tail -n 40 <<<"$said" >&2
	printf '1\tbuild of preset fuzz\t0\n'
	exit 1
fi
running=0
for target in "$BUILD"/tests/fuzz/fuzz_*; do
	if [ ! -x "$target" ] || [ ! -f "$target" ]; then
		continue
	fi
	[[ $(basename "$target") == *"$PATTERN"* ]] || continue
	run_one "$target" &
	running=$((running + 1))
	if [ "$running" -ge "$AT_ONCE" ]; then
		wait -n
		running=$((running - 1))
	fi
done
wait
