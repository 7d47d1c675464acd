#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# pytest.sh JUNIT PATTERN TEST...: runs the tests of folders, or single ones. stdout: "0|1<TAB>name<TAB>seconds" a test; stderr: the rest.
set -uo pipefail
# shellcheck source=common.sh
. "$(dirname "$0")/common.sh"

rm -f "$1"
cd "$ROOT" || exit 1
PYTHONPATH=$ROOT/scripts/lib "$PYTHON" -m pytest -q -p no:cacheprovider -p dealt --junitxml "$1" ${2:+-k "$2"} "${@:3}" >&2
status=$?
# 5: nothing was there to run, which a pattern may mean for one of several folders.
[ "$status" = 5 ] && [ -n "$2" ] && exit 0
"$PYTHON" "$ROOT/scripts/lib/junit.py" "$1" || exit 1
exit "$status"
