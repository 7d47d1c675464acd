# SPDX-License-Identifier: Apache-2.0
"""junit.py FILE: a line a test of a JUnit report, "0|1<TAB>name<TAB>seconds"; anything but a plain pass is 1."""

import sys
import xml.etree.ElementTree as ElementTree

for case in ElementTree.parse(sys.argv[1]).iter("testcase"):
    bad = [child.tag for child in case if child.tag in ("failure", "error", "skipped")]
    bad += [] if case.get("status", "run") == "run" else [case.get("status")]
    name = "/".join(part for part in (case.get("classname"), case.get("name")) if part)
    print(f"{1 if bad else 0}\t{name}{' (' + bad[0] + ')' if bad else ''}\t{case.get('time') or 0}")
