# SPDX-License-Identifier: Apache-2.0
"""dealt - a pytest plugin: several pytest processes share out the files of one folder

With TP_TEST_DEAL=FOLDER each process takes the next file that no other has taken (a file made with O_EXCL there says
so), the slowest first as far as an earlier run told. A file's tests stay together, in their order.
"""

import os
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from localcluster.plan import cache_root  # noqa: E402  (found by the line above)

SECONDS = cache_root() / "test-seconds"
SECONDS_OF_UNKNOWN = 30.0


def _seconds_before(path):
    try:
        return float((SECONDS / path.name).read_text())
    except (OSError, ValueError):
        return SECONDS_OF_UNKNOWN


def _remember(path, seconds):
    SECONDS.mkdir(parents=True, exist_ok=True)
    (SECONDS / path.name).write_text(f"{seconds:.1f}\n")


def _take(path):
    try:
        taken = pathlib.Path(os.environ["TP_TEST_DEAL"], path.name)
        os.close(os.open(taken, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC))
    except FileExistsError:
        return False
    return True


def _dealt(items):
    files = {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    for path in sorted(files, key=lambda path: (-_seconds_before(path), path)):
        if _take(path):
            start = time.monotonic()
            yield from files[path]
            _remember(path, time.monotonic() - start)


def pytest_runtestloop(session):
    if "TP_TEST_DEAL" not in os.environ or session.testsfailed or session.config.option.collectonly:
        return None  # pytest's own loop
    items = _dealt(session.items)
    item = next(items, None)
    while item is not None:
        # The next file is taken while the last test of this one runs: fixtures end by what comes next.
        following = next(items, None)
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if session.shouldfail or session.shouldstop:
            raise session.Interrupted(session.shouldfail or session.shouldstop)
        item = following
    return True
