# SPDX-License-Identifier: Apache-2.0
"""Every new connection to an intercepted port arrives on the laptop, as it was made; leave leaves nothing."""

import concurrent.futures
import contextlib
import os
import socket
import threading
import time

import pytest

from conftest import wait_for
from nets import answer, echo, family_of, read_all, read_exactly, reset, serve, serve_udp, until
from timing import best_of, comes

MIB = 1 << 20
# An intercept whose object is deleted has ended.
EVERYWHERE = 2


@pytest.fixture(scope="module")
def rules_before(joined):
    return joined.rulesets()


@pytest.fixture(scope="module")
def web(joined, rules_before):
    """`web` intercepted on all its ports for the tests of this file; then the pods' rules are as before."""
    ports = ["8080:http", "8082:bound", "7000:raw", "5353:dns"]
    flags = [word for port in ports for word in ("--port", port)]
    with joined.intercept("web", *flags):
        yield joined
    assert joined.rulesets() == rules_before


@pytest.fixture
def local(web):
    with web.local() as taken:
        yield taken


def test_cluster_ip_of_every_pod_reaches_the_laptop(web, local):
    service = web.service()["spec"]
    assert len(web.pods()) == 3
    assert len(web.clients) == len(service["clusterIPs"]) == 2, "two nodes, two families"
    for client in web.clients:
        for address in service["clusterIPs"]:
            comes({"laptop"}, lambda client=client, address=address: {client.ask(address, 80) for _ in range(12)})


def test_pod_addresses_of_every_pod_reach_the_laptop(web, local):
    """From the same node and from the other one."""
    for pod in web.pods():
        for address in web.addresses(pod):
            comes(["laptop"] * 2, lambda address=address: [client.ask(address, 8080) for client in web.clients])


def test_node_port_reaches_the_laptop_from_outside_and_from_a_pod(web, local):
    port = next(one["nodePort"] for one in web.service()["spec"]["ports"] if one["name"] == "http")
    for address in (address for node in web.plan.nodes for address in node.addresses):
        for net in (*web.node_nets, *web.clients):
            comes({"laptop"}, lambda net=net, address=address: {net.ask(address, port) for _ in range(4)})


def test_the_nodes_themselves_reach_the_laptop(web, local):
    for pod in web.pods():
        for address in web.addresses(pod):
            comes(["laptop"] * 2, lambda address=address: [net.ask(address, 8080) for net in web.node_nets])


def test_the_same_pod_reaches_the_laptop_but_by_localhost(web, local):
    for pod in web.pods():
        net = web.net(pod)
        for address in web.addresses(pod):
            comes("laptop", lambda net=net, address=address: net.ask(address, 8080))
        assert net.ask("127.0.0.1", 8080) == f"pod {pod['metadata']['name']}"


def test_hairpin_through_the_service_reaches_the_laptop(web, local):
    for address in web.service()["spec"]["clusterIPs"]:
        for pod in web.pods():
            comes({"laptop"}, lambda pod=pod, address=address: {web.net(pod).ask(address, 80) for _ in range(6)})


def test_through_the_tunnel_the_laptop_reaches_itself(web, local):
    for name in ("web.stage", "web"):
        comes("laptop\n", lambda name=name: web.laptop.curl(f"http://{name}/"))


def test_an_app_bound_to_the_pods_address_is_intercepted_and_fallen_back_to(web):
    for pod in web.pods():
        assert web.client.ask(pod["status"]["podIP"], 8082) == f"pod {pod['metadata']['name']}"
    with web.local(8082, "laptop 8082"):
        for pod in web.pods():
            comes("laptop 8082", lambda pod=pod: web.client.ask(pod["status"]["podIP"], 8082))


def test_ports_that_are_not_intercepted_stay_with_the_app(web, local):
    for pod in web.pods():
        assert web.client.ask(pod["status"]["podIP"], 9090) == f"side {pod['metadata']['name']}"


def test_half_close_passes_both_ways(web):
    address = web.pods()[0]["status"]["podIP"]

    def all_then_answer(connection):
        connection.sendall(b"got %d" % len(read_all(connection)))

    with serve(web.laptop_net, "127.0.0.1", 7000, all_then_answer):
        with web.client.connect(address, 7000) as connection:
            connection.sendall(b"x" * MIB)
            connection.shutdown(socket.SHUT_WR)
            assert read_all(connection) == b"got %d" % MIB

    received = []

    def close_then_read(connection):
        connection.sendall(b"last words")
        connection.shutdown(socket.SHUT_WR)
        received.append(read_all(connection))

    with serve(web.laptop_net, "127.0.0.1", 7000, close_then_read):
        with web.client.connect(address, 7000) as connection:
            assert read_all(connection) == b"last words"
            connection.sendall(b"after the end")
        assert until(lambda: received) == [b"after the end"]


def test_reset_passes_both_ways(web):
    address = web.pods()[0]["status"]["podIP"]

    def hang_up(connection):
        connection.recv(1)
        reset(connection)

    with serve(web.laptop_net, "127.0.0.1", 7000, hang_up), web.client.connect(address, 7000) as connection:
        connection.sendall(b"x")
        with pytest.raises(ConnectionResetError):
            connection.recv(1)

    ends = []

    def watch(connection):
        connection.sendall(b"x")
        try:
            ends.append(connection.recv(1))
        except ConnectionResetError:
            ends.append("reset")

    with serve(web.laptop_net, "127.0.0.1", 7000, watch):
        connection = web.client.connect(address, 7000)
        read_exactly(connection, 1)
        reset(connection)
        assert until(lambda: ends) == ["reset"]


def test_a_stalled_reader_holds_its_sender_and_nobody_else(web):
    address = web.pods()[0]["status"]["podIP"]
    may_read = threading.Event()
    totals = []

    def stall(connection):
        assert connection.recv(1) == b"s"
        may_read.wait(30)
        totals.append(len(read_all(connection)))

    def handle(connection):
        if connection.recv(1, socket.MSG_PEEK) == b"s":
            stall(connection)
        else:
            echo(connection)

    with serve(web.laptop_net, "127.0.0.1", 7000, handle):
        with web.client.connect(address, 7000) as connection:
            connection.sendall(b"s")
            connection.settimeout(1)
            sent, block = 0, b"x" * 65536
            with contextlib.suppress(TimeoutError):
                while sent < 256 * MIB:
                    sent += connection.send(block)
            assert sent < 64 * MIB, "back-pressure holds the sender"
            with web.client.connect(address, 7000) as other:
                other.sendall(b"hello")
                assert read_exactly(other, 5) == b"hello"
            may_read.set()
            connection.shutdown(socket.SHUT_WR)
            assert until(lambda: totals) == [sent]


def test_bulk_arrives_unchanged(web):
    data = os.urandom(8 * MIB)
    with serve(web.laptop_net, "127.0.0.1", 7000, echo):
        with web.client.connect(web.pods()[0]["status"]["podIP"], 7000, 20) as connection:
            sender = threading.Thread(target=connection.sendall, args=(data,))
            sender.start()
            assert read_exactly(connection, len(data)) == data
            sender.join()


def test_many_connections_at_once_all_arrive(web, local):
    address = web.cluster.cluster_ip("stage", "web")

    def attempt():
        with concurrent.futures.ThreadPoolExecutor(100) as pool:
            answers = set(pool.map(lambda _: web.client.ask(address, 80), range(100)))
        assert all(said.startswith(("laptop", "pod web-")) for said in answers), answers
        return answers

    # In this one process are all that ask and all that answer.
    comes({"laptop"}, attempt)


def ask_udp(net, address, port):
    with net.udp(family=family_of(address)) as client:
        client.sendto(b"ping", (address, port))
        try:
            data, peer = client.recvfrom(100)
            return data, peer[:2]
        except OSError as error:
            return type(error).__name__, None


def test_udp_goes_to_the_laptop_and_its_answer_comes_from_the_port_that_was_asked(web):
    pods = [(address, 5353) for address in web.addresses(web.pods()[0])]
    services = [(address, 53) for address in web.service()["spec"]["clusterIPs"]]
    with serve_udp(web.laptop_net, "127.0.0.1", 5353, "laptop "):
        for client in web.clients:
            for target in (*pods, *services):
                comes((b"laptop ping", target), lambda client=client, target=target: ask_udp(client, *target))


@pytest.mark.parametrize(("address", "listens"), [("::1", "::1"), ("localhost", "127.0.0.1")])
def test_the_laptops_program_may_listen_elsewhere(joined, address, listens):
    with serve(joined.laptop_net, listens, 9000, answer("laptop")), joined.intercept(
        "db", "--port", "9000", "--address", address
    ):
        joined.all_pods_say("laptop", "db")


def test_datagrams_go_to_a_listener_of_ipv6(joined):
    pod = joined.pods("solo")[0]["status"]["podIP"]
    with serve_udp(joined.laptop_net, "::1", 5354, "laptop "), joined.intercept(
        "solo", "--port", "5354:dns", "--address", "::1"
    ):
        comes((b"laptop ping", (pod, 5353)), lambda: ask_udp(joined.client, pod, 5353))


def test_connections_from_before_stay_with_the_app_undisturbed(joined, rules_before):
    """Runs without the intercept of this file: it makes one while a connection is open."""
    pod = joined.pods("solo")[0]
    with serve(joined.net(pod), pod["status"]["podIP"], 7000, echo), serve(
        joined.laptop_net, "127.0.0.1", 7001, lambda connection: connection.sendall(b"laptop")
    ):
        with joined.client.connect(pod["status"]["podIP"], 7000) as old:
            old.sendall(b"before")
            assert read_exactly(old, 6) == b"before"
            with joined.intercept("solo", "--port", "7001:7000"):
                with joined.client.connect(pod["status"]["podIP"], 7000) as new:
                    assert read_all(new) == b"laptop"
                old.sendall(b"during")
                assert read_exactly(old, 6) == b"during"
            old.sendall(b"after")
            assert read_exactly(old, 5) == b"after"


def test_leave_gives_the_port_back_at_once_and_leaves_no_rule(joined):
    before = joined.rulesets("db")
    with joined.local(9000):
        with joined.intercept("db", "--port", "9000"):
            joined.all_pods_say("laptop", "db")
            assert joined.rulesets("db") != before
        assert joined.client.ask(joined.pods("db")[0]["status"]["podIP"], 8080).startswith("pod ")
    assert joined.rulesets("db") == before
    assert not any(one["spec"]["name"] == "db" for one in joined.objects())


def test_who_deletes_the_object_ends_the_intercept(joined):
    def attempt():
        with joined.local(9000), joined.intercept("db", "--port", "9000") as found:
            joined.all_pods_say("laptop", "db")
            mine = next(one for one in joined.objects() if one["spec"]["name"] == found["name"])
            begun = time.monotonic()
            joined.cluster.delete("intercept", "-n", "stage", mine["metadata"]["name"])
            joined.all_pods_say("pod", "db")
            wait_for("status", lambda: not any(one["name"] == "db" for one in joined.intercepts()), pause=0.02)
            return time.monotonic() - begun

    best_of(attempt, EVERYWHERE, tries=3)
