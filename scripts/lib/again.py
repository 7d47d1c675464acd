#!/usr/bin/python3 -IB
# SPDX-License-Identifier: Apache-2.0
"""again.py choose|settle OUT: the few tests that failed beside others get one more try, alone on a quiet machine

choose prints lines for lanes.py that run them; settle writes what came of it into the reports of their suites: a test
that passed alone is "0<TAB>NAME (unsteady)<TAB>seconds", and scripts/test names it at its end. What failed stays failed
if it fails again, if more than MOST did (then something is broken), if it was skipped, or if it failed in its clean-up:
what a run has left behind cannot be asked for once more.
"""

import pathlib
import sys
import xml.etree.ElementTree as ElementTree

ROOT = pathlib.Path(__file__).resolve().parents[2]
MOST = 3
PREFIX = "again-"


def failed_cases(path):
    """(class name, name, whether it may be tried again) of the tests of a JUnit file that did not pass."""
    for case in ElementTree.parse(path).iter("testcase"):
        bad = [child for child in case if child.tag in ("failure", "error", "skipped")]
        if bad:
            settled = any(one.tag == "skipped" or "on teardown" in (one.get("message") or "") for one in bad)
            yield case.get("classname") or "", case.get("name") or "", not settled


def test_file(classname):
    """The file of a JUnit class name, relative to the repository, or None."""
    path = pathlib.Path(*classname.split(".")).with_suffix(".py") if classname else None
    return path if path and (ROOT / path).is_file() else None


def choose(out):
    failed = [case for path in sorted(out.glob("*.xml")) if path.name != "unit.xml" for case in failed_cases(path)]
    failures = sum(line.startswith("1\t") for path in out.glob("*.report") for line in path.read_text().splitlines())
    if failures > MOST or failures != len(failed):
        return
    refused = {case[:2] for case in failed if not case[2]}
    folders = {}
    for case in dict.fromkeys(case[:2] for case in failed):
        path = test_file(case[0])
        if path and case not in refused:
            folders.setdefault(path.parent, []).append(f"{path}::{case[1]}")
    for folder, tests in folders.items():
        suite = f"{PREFIX}{folder.name}"
        print("again", "normal", suite, ROOT / "scripts/lib/pytest.sh", out / f"{suite}.xml", "", *tests, sep="\t")


def settle(out):
    passed = set()
    for report in out.glob(f"{PREFIX}*.report"):
        passed |= {line.split("\t")[1] for line in report.read_text().splitlines() if line.startswith("0\t")}
        report.unlink()
    for report in out.glob("*.report"):
        lines = []
        for line in report.read_text().splitlines(keepends=True):
            result, name, *rest = line.split("\t")
            bare = name.rpartition(" (")[0]
            again = result == "1" and bare in passed
            lines.append("\t".join(["0", f"{bare} (unsteady)", *rest]) if again else line)
        report.write_text("".join(lines))


{"choose": choose, "settle": settle}[sys.argv[1]](pathlib.Path(sys.argv[2]))
