# SPDX-License-Identifier: Apache-2.0
"""The start as users do it: through sudo, here with a sudoers file that only this test sees."""
import os
import subprocess

import pytest

from conftest import DEADLINE_S, program
from rootd import Client

NOBODY = 65534


@pytest.fixture
def sudo(netns, tmp_path):
    """sudo(UID): nobody starts a daemon for that uid; its exit status and its log."""
    sudoers = tmp_path / "sudoers"
    sudoers.write_text("Defaults use_pty\nDefaults !lecture\n"
                       f"nobody ALL=(root) NOPASSWD: {program('telepresence-rootd')}\n")
    os.chmod(sudoers, 0o440)
    script = ('mount --bind "$1" /etc/sudoers && exec setpriv --reuid "$2" --clear-groups '
              'sudo -n "$3" --uid "$4" --background')

    def start(uid):
        log = tmp_path / "rootd.log"
        with open(log, "wb") as stderr:
            done = subprocess.run(
                netns.command("unshare", "--mount", "sh", "-c", script, "sh", sudoers, NOBODY,
                              program("telepresence-rootd"), uid),
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr, timeout=DEADLINE_S,
                check=False)
        return done.returncode, log.read_text()

    return start


def test_a_user_gets_a_daemon_of_his_own(netns, sudo):
    before = netns.snapshot()
    status, log = sudo(NOBODY)
    assert status == 0, log
    client = Client(netns, uid=NOBODY, as_uid=NOBODY)
    client.set_up()
    client.process.kill()
    client.process.wait(DEADLINE_S)
    netns.assert_as(before)


def test_and_nobody_elses(netns, sudo):
    before = netns.snapshot()
    status, log = sudo(0)
    assert status == 8, log
    assert "uid 65534 asks for a daemon of uid 0" in log
    netns.assert_as(before)
