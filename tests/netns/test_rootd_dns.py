# SPDX-License-Identifier: Apache-2.0
"""The redirect at work: who answers a query, from which address, for which socket."""
import pathlib
import subprocess

import pytest

from conftest import read_line, veth, wait_for
from rootd import Client, Rootd
from timing import best_of, took

ECHO = pathlib.Path(__file__).with_name("echo53.py")
# Connected sockets: an answer from any other address would not be received.
ASK = """
import socket, sys
kind, host, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET,
                  socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
s.settimeout(20)
s.connect((host, port))
s.sendall(b"q")
print(s.recv(100).decode())
"""

# The same source port in turn for a socket with the root daemon's mark (argument 2) and for one without.
TAKE_TURNS = """
import socket, sys
host, mark = sys.argv[1], int(sys.argv[2], 0)
for turn in range(6):
    s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 0 if turn % 2 else mark)
    s.bind(("", 40000))
    s.settimeout(20)
    s.connect((host, 53))
    s.sendall(b"q")
    print(s.recv(100).decode())
    s.close()
"""


class Lan:
    """A host with rootd and a resolver on its loopback, and a LAN with a nameserver."""

    def __init__(self, make_netns, tmp_path):
        self.host, self.lan = make_netns("host"), make_netns("lan")
        veth(self.host, self.lan, ["192.0.2.10/24", "2001:db8::10/64"],
             ["192.0.2.1/24", "192.0.2.2/24", "2001:db8::53/64"])
        for addr in ("192.0.2.1", "192.0.2.2", "2001:db8::53"):
            self.serve(self.lan, "lan", addr, 53)
        self.serve(self.lan, "other", "192.0.2.1", 54)
        # A port for each nameserver.
        for port, name in ((5353, "ours"), (5354, "ours2"), (5355, "ours3")):
            self.serve(self.host, name, "127.0.0.1", port)
            self.serve(self.host, name, "::1", port)
        self.serve(self.host, "stub", "127.0.0.53", 53)
        self.log = tmp_path / "rootd.log"
        self.connect()

    def connect(self):
        self.rootd = Rootd(self.host, self.log)
        self.client = Client(self.host)

    @staticmethod
    def serve(netns, name, addr, port):
        child = netns.popen("/usr/bin/python3", ECHO, name, addr, port, stdout=subprocess.PIPE)
        assert read_line(child.stdout, f"{name} up") == b"up\n"

    def ask(self, kind, host, port=53):
        return self.host.run("/usr/bin/python3", "-c", ASK, kind, host, port).stdout.strip()


@pytest.fixture
def lan(make_netns, tmp_path):
    return Lan(make_netns, tmp_path)


@pytest.mark.parametrize("kind", ["udp", "tcp"])
def test_redirect(lan, kind):
    for nameserver in ("192.0.2.1", "2001:db8::53"):
        assert lan.ask(kind, nameserver) == "lan:q"
    assert lan.ask(kind, "127.0.0.53") == "stub:q"
    lan.client.ok("dns 5353 192.0.2.1 2001:db8::53 127.0.0.53")
    for nameserver, whose in (("192.0.2.1", "ours"), ("2001:db8::53", "ours2"), ("127.0.0.53", "ours3")):
        assert lan.ask(kind, nameserver) == f"{whose}:q"
    # Only that port of only those.
    assert lan.ask(kind, "192.0.2.1", 54) == "other:q"
    assert lan.ask(kind, "192.0.2.2") == "lan:q"
    lan.client.ok("dns 0")
    for nameserver in ("192.0.2.1", "2001:db8::53"):
        assert lan.ask(kind, nameserver) == "lan:q"
    assert lan.ask(kind, "127.0.0.53") == "stub:q"


def test_our_own_sockets_pass(lan):
    lan.client.ok("dns 5353 192.0.2.1 2001:db8::53 127.0.0.53")
    for family, nameserver, answer in (("4", "192.0.2.1", "lan:q"), ("6", "2001:db8::53", "lan:q"),
                                       ("4", "127.0.0.53", "stub:q")):
        lan.client.ok(f"socket {family} udp")
        assert lan.client.ok(f"ask {nameserver} q") == [answer]
    lan.client.ok("socket 4 tcp")


@pytest.mark.parametrize("nameserver", ["192.0.2.1", "2001:db8::53"])
def test_a_source_port_may_be_used_again(lan, nameserver):
    """conntrack still knows the port's last flow, which was of the other kind."""
    lan.client.ok("dns 5353 192.0.2.1 2001:db8::53")
    ours = {"192.0.2.1": "ours:q", "2001:db8::53": "ours2:q"}[nameserver]
    answers = lan.host.run("/usr/bin/python3", "-c", TAKE_TURNS, nameserver, "0x1074").stdout.split()
    assert answers == ["lan:q", ours] * 3


# As musl does: one socket asks all nameservers.
ASK_ALL = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(20)
for host in sys.argv[1:]:
    s.sendto(b"q", (host, 53))
answers = dict(s.recvfrom(100)[::-1] for _ in sys.argv[1:])
print(*(answers[host, 53].decode() for host in sys.argv[1:]))
"""


def test_one_socket_for_all_nameservers(lan):
    """Each answer comes from the nameserver that was asked, and one that is there twice is the first one."""
    lan.client.ok("dns 5353 192.0.2.1 192.0.2.2 192.0.2.1")
    assert lan.host.run("/usr/bin/python3", "-c", ASK_ALL, "192.0.2.1", "192.0.2.2").stdout.split() == ["ours:q", "ours2:q"]


def test_queries_under_way_are_redirected_at_once(lan):
    """One that went home before the redirect does not keep its port's next ones from it, nor afterwards."""
    ask = TAKE_TURNS.replace("range(6)", "range(1, 2)")
    answers = []
    for port in ("0", "5353", "0"):
        lan.client.ok(f"dns {port}" + (" 192.0.2.1" if port != "0" else ""))
        answers += lan.host.run("/usr/bin/python3", "-c", ask, "192.0.2.1", "0").stdout.split()
    assert answers == ["lan:q", "ours:q", "lan:q"]


def test_next_resolver_is_not_taken_for_the_last(lan):
    """conntrack remembers flows to the resolver of an earlier connection, whose port nobody has any more."""
    lan.serve(lan.host, "later", "127.0.0.1", 5454)
    ask = TAKE_TURNS.replace("range(6)", "range(1, 2)")
    answers = []
    for port in ("5353", "5454", "5353"):
        lan.client.ok(f"dns {port} 192.0.2.1")
        answers += lan.host.run("/usr/bin/python3", "-c", ask, "192.0.2.1", "0").stdout.split()
        lan.client.ok("dns 0")
    assert answers == ["ours:q", "later:q", "ours:q"]


def test_queries_go_home_when_the_daemon_is_killed(lan):
    def attempt():
        lan.client.ok("dns 5353 192.0.2.1")
        assert lan.ask("udp", "192.0.2.1") == "ours:q"
        lan.rootd.process.kill()
        lan.rootd.ended()
        seconds, _ = took(wait_for, lambda: lan.ask("udp", "192.0.2.1") == "lan:q", "direct answers")
        lan.connect()
        return seconds
    best_of(attempt, 2)
