# SPDX-License-Identifier: Apache-2.0
"""The clock on the wall jumps by hours and days, forth and back, under the laptop's daemons and under the manager.

clockshift.c, preloaded, gives one program a clock of its own, which a file sets while it runs. Nothing else is touched: neither the
monotonic clock nor the machine's own.
"""

import contextlib
import json
import os
import pathlib
import struct
import time

import pytest

from conftest import run
from localcluster import plan
from managers import rolled_out
from nets import Net, echo, serve
from shop import laptop_net, shop as open_shop

HERE = pathlib.Path(__file__).parent
HOUR, DAY = 3600, 86400
MANAGER = ["-n", "ambassador", "deployment/traffic-manager"]
ECHO_PORT = 7200
# More than a heartbeat and the silence that makes a carrier suspect.
BEATS_S = 3.5


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    path = tmp_path_factory.mktemp("clock") / "clockshift.so"
    run(["gcc", "-O2", "-D_GNU_SOURCE", "-shared", "-fPIC", "-o", path, HERE / "clockshift.c"])
    return path


def environment(library, path):
    return {"LD_PRELOAD": str(library), "CLOCK_OFFSET_FILE": str(path)}


def shift(path, seconds):
    """In place: it is mapped."""
    with open(path, "r+b") as file:
        file.write(struct.pack("q", seconds))


@pytest.fixture
def clock(laptop, library, tmp_path):
    """Connects, with daemons whose clock is that file's."""

    def connect(check=True):
        words = [f"{name}={value}" for name, value in environment(library, path).items()]
        return laptop.run("env", *words, "telepresence", "connect", check=check)

    path = tmp_path / "offset"
    path.write_bytes(bytes(8))
    return path, connect


@pytest.fixture(scope="module")
def shop(cluster):
    with open_shop(cluster, "clock") as made:
        yield made


def tunnel(laptop):
    """What must stay the same: the Session and the tunnel."""
    status = laptop.status()
    assert status["user_daemon"]["status"] == "Connected"
    return status["user_daemon"]["session"], laptop.daemons()


def years(laptop):
    """That the end of each daemon's log is of."""
    folder = plan.get(laptop.cluster.name).dir / "laptop/telepresence"
    return [int((folder / f"{name}.log").read_text().splitlines()[-1][:4]) for name in ("userd", "rootd")]


def sessions_of(cluster, name):
    items = cluster.get("sessions.telepresence.io", "-n", "ambassador")["items"]
    return [one for one in items if one["metadata"]["name"] == name]


def talk(connection, text):
    connection.sendall(text)
    assert connection.recv(len(text)) == text


def test_the_laptops_clock_jumps(laptop, cluster, shop, clock, pod_net):
    """A month forth, two days back, and so on: connections, names, the tunnel, an intercept and its load do not care."""
    net, (path, connect) = Net(laptop_net(cluster)), clock
    pod = cluster.pod_ip()
    shift(path, 60 * DAY)
    connect()
    before = tunnel(laptop)
    load, control = shop.loads()
    with contextlib.ExitStack() as stack:
        stack.enter_context(serve(pod_net, "0.0.0.0", ECHO_PORT, echo))
        connection = stack.enter_context(net.connect(pod, ECHO_PORT))
        for one in (shop.laptop_serves(), load, control):
            stack.enter_context(one)
        laptop.telepresence("intercept", "shop", *shop.args)
        load.wait_answered_by("laptop", 20)
        begun = time.monotonic()
        for offset in (90 * DAY, 88 * DAY, -40 * HOUR, 300 * DAY, 5 * HOUR):
            shift(path, offset)
            jumped = time.monotonic()
            talk(connection, f"after {offset}".encode())
            assert laptop.curl("http://web.demo/").startswith("hello from pod")
            assert laptop.run("getent", "hosts", f"jump{offset}.demo", check=False).returncode == 2
            with net.connect(pod, ECHO_PORT) as another:
                talk(another, b"a new one")
            time.sleep(max(0, jumped + BEATS_S - time.monotonic()))
            assert tunnel(laptop) == before, offset
            load.wait_answered_by("laptop", 20)
        talk(connection, b"still here")
        load.stop()
        # On a machine that is late the app may have answered.
        assert not any(one.failed for one in load.since(begun))
        shift(path, 300 * DAY)
        laptop.telepresence("leave", "shop")
    assert laptop.telepresence("quit", "-s").stdout == "Telepresence Daemons quitting...done\n"
    assert years(laptop) == [time.gmtime(time.time() + 300 * DAY).tm_year] * 2, "the daemons have not seen it"
    assert sessions_of(cluster, before[0]) == []


def test_a_clock_that_no_certificate_can_be_right_by_is_named(laptop, clock):
    path, connect = clock
    shift(path, -3000 * DAY)
    done = connect(check=False)
    assert done.returncode == 3 and "is this machine's clock right? It says 20" in done.stderr, done.stderr
    shift(path, 0)
    connect()


@pytest.fixture
def managers_clock(connected, cluster, library):
    """Gives the file that sets the clock of the manager that runs. The library comes by a ConfigMap."""
    connected.stop()
    cluster.kubectl("-n", "ambassador", "create", "configmap", "clockshift", f"--from-file=library={library}")
    variables = environment("/clockshift/library", "/clock/offset")
    container = {
        "name": "traffic-manager",
        "env": [{"name": name, "value": value} for name, value in variables.items()],
        "volumeMounts": [{"name": "clockshift", "mountPath": "/clockshift"}, {"name": "clock", "mountPath": "/clock"}],
    }
    volumes = [{"name": "clockshift", "configMap": {"name": "clockshift"}}, {"name": "clock", "emptyDir": {}}]
    patch = {"spec": {"template": {"spec": {"containers": [container], "volumes": volumes}}}}
    revision = cluster.get(*MANAGER)["metadata"]["annotations"]["deployment.kubernetes.io/revision"]
    cluster.kubectl("patch", *MANAGER, "-p", json.dumps(patch))
    try:
        rolled_out(cluster)
        yield lambda: f"/proc/{cluster.manager_pid()}/root/clock/offset"
    finally:
        connected.stop()
        cluster.kubectl("rollout", "undo", *MANAGER, f"--to-revision={revision}")
        rolled_out(cluster)
        cluster.kubectl("-n", "ambassador", "delete", "configmap", "clockshift")


def day_of(offset):
    return time.strftime("%Y-%m-%d", time.gmtime(time.time() + offset))


def agents(cluster):
    pods = cluster.get("pods", "-n", "clock", "-l", "app=shop")["items"]
    return {pod["metadata"]["name"]: len(pod["spec"].get("ephemeralContainers", [])) for pod in pods}


def test_the_managers_clock_jumps(laptop, cluster, shop, managers_clock):
    """Its Sessions stay, it goes on to lead, and agents come back to it with what it gave them by another clock."""
    shift(managers_clock(), 100 * DAY)
    laptop.connect()
    before = tunnel(laptop)
    load, control = shop.loads()
    with shop.laptop_serves(), load, control:
        laptop.telepresence("intercept", "shop", *shop.args)
        load.wait_answered_by("laptop", 20)
        begun = time.monotonic()
        for offset in (130 * DAY, 10 * DAY, 2 * DAY):
            shift(managers_clock(), offset)
            jumped = time.monotonic()
            assert laptop.curl("http://web.demo/").startswith("hello from pod")
            time.sleep(max(0, jumped + BEATS_S - time.monotonic()))
            assert tunnel(laptop) == before, offset
            load.wait_answered_by("laptop", 20)
        load.read()
        assert not any(one.failed for one in load.since(begun))
        seen = cluster.get("session.telepresence.io", "-n", "ambassador", before[0])["status"]["conditions"][0]
        assert seen["status"] == "True" and seen["lastTransitionTime"][:10] == day_of(100 * DAY)
        placed = agents(cluster)
        # The next process of the same pod, by a clock that is months behind that of the first.
        os.kill(cluster.manager_pid(), 9)
        load.wait_answered_by("laptop", 40)
        assert tunnel(laptop)[1] == before[1]
        laptop.telepresence("leave", "shop")
        laptop.telepresence("intercept", "shop", *shop.args)
        load.wait_answered_by("laptop", 20)
        assert agents(cluster) == placed
        laptop.telepresence("leave", "shop")
    assert laptop.telepresence("quit").stdout == "Disconnected\n"
    assert sessions_of(cluster, before[0]) == []
