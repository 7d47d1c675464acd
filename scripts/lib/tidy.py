#!/usr/bin/python3 -IB
# SPDX-License-Identifier: Apache-2.0
"""tidy.py BUILD FILE...: clang-tidy over files, of which those are skipped that were clean before.

A file is remembered under a hash of all that its verdict depends on: its text, the project's headers that it includes,
how it is compiled and looked at, .clang-tidy, and the versions of clang-tidy and of Debian's headers. Only clean files are
remembered, so a complaint is shown again until it is mended. The memory lies beside the other caches, outside the tree.
"""

import concurrent.futures
import functools
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
TIDY = "clang-tidy-19"
# States of a function that the analyzer looks at. With all it would (225,000) a whole tree takes three times as long, nearly
# all of it for the last states of a few dozen functions: that is for scripts/test --long.
NODES = 50_000
INCLUDE = re.compile(rb'^[ \t]*#[ \t]*include[ \t]*"([^"]+)"', re.MULTILINE)
KEPT_DAYS = 30
MARK_IS_OLD_S = 24 * 3600


def cache_folder():
    shared = os.environ.get("TELEPRESENCE_CACHE") or "/var/cache/telepresence-dev"
    own = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    base = shared if os.geteuid() == 0 else f"{own}/telepresence-dev"
    return pathlib.Path(base) / "tidy"


def options():
    """How a file is looked at."""
    if os.environ.get("TP_TEST_LONG") == "1":
        return []
    return [f"--extra-arg={word}" for word in ("-Xclang", "-analyzer-config", "-Xclang", f"max-nodes={NODES}")]


def machine():
    """What of this machine decides: the tool and Debian's headers."""
    tool = subprocess.run([TIDY, "--version"], capture_output=True, check=True).stdout
    query = ["dpkg-query", "-W", "-f", "${Package} ${Version}\n", "*-dev"]
    headers = subprocess.run(query, capture_output=True, check=False).stdout
    return tool + headers


@functools.cache
def read(path):
    return path.read_bytes()


@functools.cache
def includes(path, folders):
    """The project's own files that a file includes, where the compiler would find them."""
    found = []
    for name in INCLUDE.findall(read(path)):
        for folder in (path.parent, *folders):
            candidate = pathlib.Path(os.path.normpath(folder / name.decode()))
            if candidate.is_file():
                found.append(candidate)
                break
    return found


def closure(path, folders):
    seen, waiting = set(), [path]
    while waiting:
        one = waiting.pop()
        if one not in seen:
            seen.add(one)
            waiting += includes(one, folders)
    return sorted(seen)


def key(path, command, common):
    folders = tuple(pathlib.Path(folder) for folder in re.findall(r"-I\s*(\S+)", command))
    digest = hashlib.sha256(common)
    digest.update(command.replace(str(ROOT), ".").encode() + b"\0")
    for one in closure(path, folders):
        content = read(one)
        digest.update(f"{os.path.relpath(one, ROOT)} {len(content)}\0".encode() + content)
    return digest.hexdigest()


def is_known(mark):
    """True for a file that was clean; its mark stays young."""
    try:
        if time.time() - mark.stat().st_mtime > MARK_IS_OLD_S:
            mark.touch()
    except FileNotFoundError:
        return False
    return True


def forget_old(folder):
    for mark in folder.iterdir():
        if time.time() - mark.stat().st_mtime > KEPT_DAYS * 24 * 3600:
            mark.unlink(missing_ok=True)


def check(build, path, mark):
    """The lines to show; none means clean, which is remembered."""
    argv = [TIDY, "-p", build, "--quiet", *options(), str(path)]
    done = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode == 0:
        mark.touch()
        return []
    lines = [line for line in done.stdout.splitlines() if re.search(r"(error|warning):", line)]
    return lines or [f"{path}: {TIDY}: exit {done.returncode}: {done.stderr.strip()[-500:]}"]


def main(build, names):
    commands = {
        entry["file"]: entry["command"]
        for entry in json.loads(pathlib.Path(build, "compile_commands.json").read_text())
    }
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    forget_old(folder)
    common = machine() + read(ROOT / ".clang-tidy") + " ".join(options()).encode()
    work = []
    for name in names:
        path = ROOT / name
        mark = folder / key(path, commands.get(str(path), ""), common)
        if not is_known(mark):
            work.append((path, mark))
    print(f"clang-tidy: {len(work)} of {len(names)} files; the others were clean before")
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        found = pool.map(lambda one: check(build, *one), work)
        complaints = sorted({line for lines in found for line in lines})
    for line in complaints[:60]:
        print(line)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
