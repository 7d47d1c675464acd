# SPDX-License-Identifier: Apache-2.0
"""Thousands of connections a second, all of a few ports: none is lost, none is mixed up with the one before it."""
import json
import subprocess

import pytest

from conftest import program, read_line
from flowrig import TARGETS, FlowRig

PORT, FIRST = 7300, 20000
SECONDS = 2
CLIENTS = 32


@pytest.fixture
def rig(make_netns):
    made = FlowRig(make_netns)
    # Ports of the dialer's own, which is none of ours: those that rest in TIME_WAIT are used again.
    made.cluster.run("sysctl", "-qw", "net.ipv4.ip_local_port_range=1024 65535", "net.ipv4.tcp_tw_reuse=1")
    server = made.cluster.popen(program("reuse"), "serve", TARGETS[4], PORT, stdout=subprocess.PIPE, bufsize=0)
    assert read_line(server.stdout, "the server") == b"ready\n"
    yield made
    made.close()


def offer(rig, how, clients=CLIENTS, seconds=SECONDS):
    """How many connections came and went; all others are counted, too, and there are none."""
    said = rig.laptop.run(program("reuse"), "connect", TARGETS[4], PORT, seconds, FIRST, clients, how[0]).stdout
    came = json.loads(said)
    count = came.pop("ok")
    assert came == {"refused": 0, "timed_out": 0, "reset": 0, "mixed_up": 0, "other": 0, "last_error": "Success"}
    return count


@pytest.mark.parametrize("how", ["server ends", "client ends", "reset"])
def test_none_is_lost(rig, how):
    print(f"{how}: {offer(rig, how) / SECONDS:.0f}/s")
    rig.wait_counter("pumps", 0)
    counters = rig.counters()
    assert (counters["table_full"], counters["rejected"], counters["tcp_failed"]) == (0, 0, 0)


def test_clients_that_vanish(rig):
    """Their next SYN meets a connection that lives on: a challenge, a RST and the SYN again, as without us."""
    count = offer(rig, "vanish", seconds=4)
    print(f"{count} connections")
    assert count > CLIENTS
