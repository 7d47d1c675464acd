# SPDX-License-Identifier: Apache-2.0
# Shared by the scripts in this folder; sourced, never run.
# shellcheck shell=bash

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# Debian's interpreter: one from a version manager would not see Debian's python3-* packages.
PYTHON=/usr/bin/python3
export ROOT PYTHON

# Clean clones and the seven presets compile the same files again and again: ccache remembers across them.
if command -v ccache >/dev/null; then
	export CMAKE_C_COMPILER_LAUNCHER=ccache CCACHE_BASEDIR=$ROOT CCACHE_NOHASHDIR=1
fi

if [ -t 2 ]; then
	BOLD=$'\e[1m' RED=$'\e[31m' RESET=$'\e[0m'
else
	BOLD='' RED='' RESET=''
fi

say() {
	printf '%s\n' "$*" >&2
}

die() {
	printf '%s%s: error:%s %s\n' "$RED" "$(basename "$0")" "$RESET" "$*" >&2
	exit 1
}

now_ms() {
	local t=${EPOCHREALTIME/./}
	printf '%s' "$((t / 1000))"
}

# step TEXT CMD...: runs CMD, says what it does and how long it took; on failure shows the end of its output.
step() {
	local text=$1 start log elapsed
	shift
	log=$(mktemp)
	# shellcheck disable=SC2064 # the name of this very file
	trap "rm -f '$log'; trap - INT; kill -INT \$\$" INT
	start=$(now_ms)
	printf '%s==>%s %s\n' "$BOLD" "$RESET" "$text" >&2
	if ! "$@" >"$log" 2>&1; then
		tail -n 40 "$log" >&2
		say "    the command was: $*"
		say "    its whole output: $log"
		die "failed: $text"
	fi
	elapsed=$(($(now_ms) - start))
	printf '    done in %d.%d s\n' $((elapsed / 1000)) $((elapsed % 1000 / 100)) >&2
	rm -f "$log"
	trap - INT
}

need_root() {
	[ "$(id -u)" = 0 ] || die "this makes network namespaces and cgroups: run it as root (sudo $0)"
}
