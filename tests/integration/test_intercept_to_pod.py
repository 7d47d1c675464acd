# SPDX-License-Identifier: Apache-2.0
"""--to-pod: ports of the laptop's localhost that are ports of the intercepted pod's."""

import contextlib
import os
import signal
import socket
import threading
import time

import pytest

from conftest import run, wait_for
from nets import echo, reset, serve, serve_udp, until
from timing import best_of

EXIT_USAGE, EXIT_CONFLICT = 2, 6
TCP, UDP, NOBODY = 6100, 6101, 6102
# After the intercept's end.
FREE_S = 2


@pytest.fixture
def inside(joined):
    """The pod that is reached: the first by name."""
    return joined.net(min(joined.pods(), key=lambda pod: pod["metadata"]["name"]))


RESET = b"reset, please"


def echo_or_reset(connection):
    while part := connection.recv(65536):
        if part == RESET:
            reset(connection)
            return
        connection.sendall(part)


@pytest.fixture
def reached(joined, inside):
    ports = ["--to-pod", str(TCP), "--to-pod", f"{UDP}/UDP", "--to-pod", str(NOBODY)]
    with (
        serve(inside, "127.0.0.1", TCP, echo_or_reset),
        serve_udp(inside, "127.0.0.1", UDP, "pod "),
        joined.intercept("web", "--port", "8080:http", *ports),
    ):
        yield joined


def read(connection, count):
    data = b""
    while len(data) < count and (part := connection.recv(65536)):
        data += part
    return data


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_bytes_and_half_close_pass_in_both_directions(reached, address):
    sent = os.urandom(3_000_000)
    with reached.laptop_net.connect(address, TCP, timeout=20) as connection:

        def send():
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)

        writer = threading.Thread(target=send)
        writer.start()
        assert read(connection, len(sent) + 1) == sent
        writer.join()
    # Connections are each their own, and many at once are fine.
    with contextlib.ExitStack() as stack:
        many = [stack.enter_context(reached.laptop_net.connect(address, TCP)) for _ in range(20)]
        for number, connection in enumerate(many):
            connection.sendall(b"%d" % number)
        assert [read(connection, len(str(number))) for number, connection in enumerate(many)] == [
            b"%d" % number for number in range(20)
        ]


def test_datagrams_pass_and_each_source_has_its_answers(reached):
    sources = [reached.laptop_net.udp() for _ in range(3)]
    with contextlib.ExitStack() as stack:
        for number, source in enumerate(sources):
            stack.enter_context(source)
            source.sendto(b"%d" % number, ("127.0.0.1", UDP))
        assert [source.recv(100) for source in sources] == [b"pod 0", b"pod 1", b"pod 2"]
        sources[0].sendto(b"x" * 60000, ("127.0.0.1", UDP))
        assert len(sources[0].recv(65536)) == 60004


def test_refused_in_the_pod_is_a_reset_and_so_is_a_reset(reached):
    # It may come before connect(2) has returned.
    with pytest.raises(ConnectionResetError), reached.laptop_net.connect("127.0.0.1", NOBODY) as connection:
        connection.recv(1)
    with reached.laptop_net.connect("127.0.0.1", TCP) as connection:
        connection.sendall(b"x")
        assert connection.recv(1) == b"x"
        connection.sendall(RESET)
        with pytest.raises(ConnectionResetError):
            connection.recv(1)


def test_what_does_not_get_into_the_pod_is_explained(reached):
    with pytest.raises(ConnectionResetError), reached.laptop_net.connect("127.0.0.1", NOBODY) as connection:
        connection.recv(1)
    line = f"localhost:{NOBODY}: 1 of 1 connections failed: nothing listens at this port of the pod"
    assert f"\n      {line}\n" in reached.telepresence("status").stdout
    ports = {one["port"]: one for one in reached.intercepts()[0]["to_pod"]}
    assert ports[NOBODY]["failed"] == 1 and ports[TCP]["failed"] == 0
    # A workload without a pod: not a right that is missing.
    reached.scale(0)
    try:
        wait_for("no pod", lambda: not reached.pods())
        wait_for("WAITING", lambda: reached.intercepts()[0]["disposition"] == "WAITING")
        # The RST may overtake connect(2) itself.
        with pytest.raises(ConnectionResetError), reached.laptop_net.connect("127.0.0.1", TCP) as connection:
            connection.recv(1)
        said = reached.telepresence("status").stdout
        assert f"localhost:{TCP}: 1 of 1 connections failed: no pod of the workload is ready with its agent" in said
    finally:
        reached.scale(3)
        wait_for("three pods", lambda: len(reached.ready_pods()) == 3)


def test_more_connections_than_the_pod_has_ports_of_its_own(reached, inside):
    """The agent looks for others then, and its system call filter has nothing against it."""
    sysctl = ["nsenter", f"--net={inside.path}", "sysctl", "-q"]
    name = "net.ipv4.ip_local_port_range"
    before = run([*sysctl, "-n", name]).stdout.strip()
    with contextlib.ExitStack() as stack:
        stack.callback(run, [*sysctl, "-w", f"{name}={before}"])
        # The agent's connection for all of them takes a port, too.
        many = [stack.enter_context(reached.laptop_net.connect("127.0.0.1", TCP))]
        many[0].sendall(b"0")
        assert read(many[0], 1) == b"0"
        run([*sysctl, "-w", f"{name}=45000 45001"])
        many += [stack.enter_context(reached.laptop_net.connect("127.0.0.1", TCP)) for _ in range(5)]
        for turn in range(2):
            for number, connection in enumerate(many):
                connection.sendall(b"%d" % number)
                assert read(connection, 1) == b"%d" % number, turn


def is_free(joined, port, kind=socket.SOCK_STREAM):
    with joined.laptop_net.make_socket(socket.AF_INET, kind) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


@pytest.mark.parametrize("end", ["leave", "delete", "quit", "kill"])
def test_gone_with_the_intercept(joined, inside, end):
    """Its connections and, within two seconds, its ports."""

    def end_it():
        if end == "leave":
            joined.telepresence("leave", "web")
        elif end == "delete":
            joined.cluster.delete("intercept", "-n", "stage", "web")
        elif end == "quit":
            joined.telepresence("quit")
        else:
            os.kill(joined.laptop.daemons()["userd"], signal.SIGKILL)

    def are_free():
        return is_free(joined, TCP) and is_free(joined, UDP, socket.SOCK_DGRAM)

    def attempt():
        joined.telepresence("intercept", "web", "--port", "8080:http", "--to-pod", TCP, "--to-pod", f"{UDP}/udp")
        assert not are_free()
        with joined.laptop_net.connect("127.0.0.1", TCP) as connection:
            connection.sendall(b"x")
            assert connection.recv(1) == b"x"
            begun = time.monotonic()
            end_it()
            with contextlib.suppress(ConnectionResetError):
                assert connection.recv(1) == b""
        assert until(are_free), "a port is still taken"
        seconds = time.monotonic() - begun
        if end in ("quit", "kill"):
            joined.laptop.connect("--namespace", "stage")
        wait_for("no intercept", lambda: not joined.intercepts())
        return seconds

    with serve(inside, "127.0.0.1", TCP, echo):
        best_of(attempt, FREE_S, tries=3)


def test_ports_in_use_are_refused_before_anything_changes(joined):
    before = joined.objects()
    with serve(joined.laptop_net, "127.0.0.1", TCP, echo):
        code, said = joined.refused("intercept", "web", "--port", "8080:http", "--to-pod", str(TCP))
        assert code == EXIT_CONFLICT and f"localhost:{TCP}" in said and "in use" in said
    code, said = joined.refused("intercept", "web", "--port", "8080:http", "--to-pod", "8080")
    assert code == EXIT_USAGE and "8080" in said
    for wrong in ("0", "65536", "x", "80/sctp"):
        code, said = joined.refused("intercept", "web", "--port", "8080:http", "--to-pod", wrong)
        assert code == EXIT_USAGE and f"--to-pod {wrong}" in said
    with joined.intercept("web", "--port", "8080:http", "--to-pod", str(TCP)):
        taken = [(TCP, "8081:8080", "--to-pod", TCP), (8080, "8081:8080", "--to-pod", 8080), (TCP, f"{TCP}:8080")]
        for port, *args in taken:
            code, said = joined.refused("intercept", "db", "--port", *args)
            assert code == EXIT_CONFLICT, said
            assert f"Port 127.0.0.1:{port} is already in use by intercept web" in said
        assert len(joined.objects()) == 1
    assert before == []
    joined.await_objects()
