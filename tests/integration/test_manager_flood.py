# SPDX-License-Identifier: Apache-2.0
"""Ten thousand connections to the manager that never prove anything, from a pod and from a node."""

import json
import pathlib
import subprocess
import time

import pytest
from agents import Process
from conftest import plan, wait_for

PORT = 8081
COUNT = 5000

# Opens connections that end in the middle of a handshake, says so, and at the end of its input what came back.
FLOOD = r"""
import json, resource, selectors, socket, sys
host, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_NOFILE, (2 * count, 2 * count))
openings = [b"", b"GET / HTT", b"GET /tunnel HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"]
selector, opened, heard = selectors.DefaultSelector(), 0, 0
socks = []
def turn(seconds):
    global opened, heard
    for key, events in selector.select(seconds):
        if events & selectors.EVENT_WRITE:
            opened += 1
            try:
                key.fileobj.send(key.data)
                selector.modify(key.fileobj, selectors.EVENT_READ, key.data)
            except OSError:
                selector.unregister(key.fileobj)
            continue
        try:
            heard += len(key.fileobj.recv(4096))
        except OSError:
            pass
        selector.unregister(key.fileobj)
for i in range(count):
    sock = socket.socket()
    sock.setblocking(False)
    sock.connect_ex((host, port))
    socks.append(sock)
    selector.register(sock, selectors.EVENT_WRITE, openings[i % len(openings)])
    if i % 100 == 99:
        turn(0)
for _ in range(600):
    if opened == count:
        break
    turn(0.1)
print("open", flush=True)
sys.stdin.read()
turn(0)
print(json.dumps({"opened": opened, "heard": heard}))
"""


def pid_of_pod(pod):
    uid = pod["metadata"]["uid"]
    for entry in pathlib.Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and uid in (entry / "cgroup").read_text():
                return entry.name
        except OSError:
            continue
    return pytest.fail("no process of the pod")


@pytest.fixture
def connected(laptop):
    laptop.connect()
    return laptop


def test_handshakes_without_end(connected, cluster):
    pod = cluster.pods("demo", "web")[0]
    address = cluster.manager_pod()["status"]["podIP"]
    manager = Process(cluster.manager_pid())
    before = manager.resident_kb()
    places = [["nsenter", "-t", pid_of_pod(pod), "-n"], ["ip", "netns", "exec", plan.get(cluster.name).nodes[0].netns]]
    flood = [*"/usr/bin/python3 -c".split(), FLOOD, address, str(PORT), str(COUNT)]
    floods = [
        subprocess.Popen([*place, *flood], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for place in places
    ]
    try:
        # While they come, and while they stand: who is connected goes on, and who comes is let in.
        assert connected.curl("http://web.demo/").startswith("hello from pod")
        for one in floods:
            assert one.stdout.readline() == "open\n"
        during = manager.resident_kb()
        assert connected.curl("http://web.demo/").startswith("hello from pod")
        connected.telepresence("quit")
        began = time.monotonic()
        connected.connect()
        print(f"connected in {time.monotonic() - began:.2f} s; manager {before} kB, then {during} kB")
        assert connected.curl("http://web.demo/").startswith("hello from pod")
        assert during - before <= 16 * 1024
    finally:
        told = [json.loads(one.communicate(timeout=60)[0].splitlines()[-1]) for one in floods]
    # Without a Session nobody hears a byte.
    assert told == [{"opened": COUNT, "heard": 0}] * 2
    wait_for("its memory back", lambda: manager.resident_kb() <= before + 4 * 1024)
