# SPDX-License-Identifier: Apache-2.0
"""What is left: all that a connection may change in a network namespace, looked at before and afterwards."""

import difflib
import re
import time

NETWORK = {
    "links": "ip -o link",
    "addresses": "ip -o addr",
    "routes4": "ip -4 route show table all",
    "routes6": "ip -6 route show table all",
    "rules4": "ip rule",
    "rules6": "ip -6 rule",
    "nft": "nft list ruleset",
    "resolv": "cat /etc/resolv.conf 2>/dev/null || echo none",
}
# One shell for all. The mark of a section begins no line of theirs.
MARK = "=== "
SCRIPT = "\n".join(f"echo '{MARK}{name}'; {command} || exit" for name, command in NETWORK.items())
# Counters, timers and the order of IPv6 expiry say nothing about what is there.
PASSING = re.compile(r"(expires|valid_lft|preferred_lft) \S+|qlen \d+")


def network(run):
    """Lines by section; run() runs a command in the namespace and returns what it says."""
    sections = run("sh", "-c", SCRIPT).split(MARK)[1:]
    split = (section.splitlines() for section in sections)
    return {name: [PASSING.sub("", line) for line in lines] for name, *lines in split}


def _lines(value):
    return value if isinstance(value, list) and all(isinstance(one, str) for one in value) else [repr(value)]


def assert_as(look, before, seconds=60):
    """Waits until look() is what it was before: a process is gone before all that it had. The difference otherwise."""
    deadline = time.monotonic() + seconds
    while (now := look()) != before and time.monotonic() < deadline:
        time.sleep(0.05)
    changed = [
        f"{key}: {line}"
        for key in before
        for line in difflib.ndiff(_lines(before[key]), _lines(now[key]))
        if line[0] in "+-"
    ]
    assert not changed, "\n".join([f"not as before within {seconds} s:", *changed])
