# SPDX-License-Identifier: Apache-2.0
"""scripts/quickstart against a cluster of one's own, and scripts/laptop; the laptop plays the user's machine."""

import os
import pty
import subprocess

from conftest import ROOT
from localcluster import plan

QUICKSTART = ROOT / "scripts/quickstart"


def test_quickstart_with_a_kubeconfig_of_ones_own(laptop, cluster):
    kubeconfig = plan.get(cluster.name).admin_kubeconfig
    argv = ["env", "KUBECONFIG=/nonexistent", QUICKSTART, "--kubeconfig", kubeconfig.name]
    done = laptop.run(*argv, cwd=kubeconfig.parent, timeout=300)
    assert "==> Build telepresence" in done.stderr and "done in" in done.stderr
    assert "It works" in done.stdout
    assert done.stdout.count('"gitVersion"') == 3
    for line in ("telepresence status", "telepresence list", "telepresence quit -s"):
        assert f"\n  {line}\n" in done.stdout
    assert laptop.daemons().keys() == {"rootd", "userd"}
    laptop.curl("http://web.demo/")


def test_wrong_use_of_quickstart_says_what_is_right(laptop):
    done = laptop.run(QUICKSTART, "--kubeconfig", "/nonexistent", check=False)
    assert done.returncode == 1 and "/nonexistent: cannot be read" in done.stderr
    assert laptop.run(QUICKSTART, "--nonsense", check=False).returncode == 2


def test_a_person_who_is_not_root_is_told_so():
    for words in (["quickstart"], ["laptop", "true"], ["cluster", "up"]):
        argv = ["setpriv", "--reuid", "65534", "--clear-groups", ROOT / "scripts" / words[0], *words[1:]]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
        assert done.returncode == 1 and "run it as root" in done.stderr, done.stderr


def test_laptop_without_a_command_is_a_shell_on_it(laptop, cluster):
    ours, theirs = pty.openpty()
    shell = subprocess.Popen(laptop.prefix, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    os.write(ours, b"echo kubeconfig=$KUBECONFIG; telepresence version; kubectl get nodes; exit 7\n")
    said = b""
    try:
        while part := os.read(ours, 65536):
            said += part
    except OSError:  # EIO: the shell has gone
        pass
    os.close(ours)
    assert shell.wait(20) == 7
    text = said.decode(errors="replace")
    assert f"laptop({cluster.name})# " in text
    assert f"kubeconfig={plan.get(cluster.name).admin_kubeconfig}" in text
    assert "Client" in text and "node1" in text


def test_laptop_takes_a_kubeconfig_that_is_set(laptop):
    said = subprocess.run(
        [*laptop.prefix, "sh", "-c", "echo $KUBECONFIG"],
        env={**os.environ, "KUBECONFIG": "/some/where"},
        capture_output=True,
        text=True,
    ).stdout
    assert said == "/some/where\n"
