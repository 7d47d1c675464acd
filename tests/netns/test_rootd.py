# SPDX-License-Identifier: Apache-2.0
"""The root daemon on a real kernel: what it makes, and that it all goes with it."""
import os
import re
import select
import signal
import socket
import subprocess

import pytest

from conftest import DEADLINE_S, program, wait_for
from flowrig import in_netns
from rootd import Client, Rootd, gone
from timing import best_of, took


@pytest.fixture
def log(tmp_path):
    return tmp_path / "rootd.log"


def table_names(netns):
    return re.findall(r"^table (ip6? telepresence-\d+)", netns.run("nft", "list", "ruleset").stdout,
                      re.MULTILINE)


def own_routes(netns, name):
    shown = [netns.run("ip", family, "route", "show", "proto", "116").stdout for family in
             ("-4", "-6")]
    assert all(f"dev {name}" in line for line in "".join(shown).splitlines())
    return sorted(line.split()[0] for line in "".join(shown).splitlines())


def test_makes_what_is_asked(netns, log):
    Rootd(netns, log)
    client = Client(netns)
    name, ifindex, ipv6 = client.ok("tun teltest 1400 198.18.0.1/30 fd00:77::1/126")
    assert (name, ipv6) == ("teltest", "1")
    link = netns.json("-d", "link", "show", name)[0]
    assert link["ifindex"] == int(ifindex)
    assert link["mtu"] == 1400
    assert link["txqlen"] == 4096
    assert "UP" in link["flags"]
    assert link["inet6_addr_gen_mode"] == "none"
    assert link["linkinfo"]["info_data"] == {"type": "tun", "pi": False, "vnet_hdr": True,
                                             "multi_queue": False, "persist": False}
    addresses = {(a["local"], a["prefixlen"]): a
                 for a in netns.json("addr", "show", name)[0]["addr_info"]}
    assert set(addresses) == {("198.18.0.1", 30), ("fd00:77::1", 126)}
    assert "tentative" not in addresses[("fd00:77::1", 126)]
    assert netns.run("cat", f"/proc/sys/net/ipv6/conf/{name}/accept_ra").stdout == "0\n"
    client.ok("routes 10.96.0.0/16 10.244.0.0/16 fd00:10::/112 10.96.0.0/16")
    assert own_routes(netns, name) == ["10.244.0.0/16", "10.96.0.0/16", "fd00:10::/112"]
    client.ok("dns 5353 192.0.2.1 127.0.0.53 2001:db8::53")
    ruleset = netns.run("nft", "list", "ruleset").stdout
    assert table_names(netns) == [f"ip telepresence-{ifindex}", f"ip6 telepresence-{ifindex}"]
    assert ruleset.count("flags owner") == 2
    assert "192.0.2.1 : 5353" in ruleset and "127.0.0.53 : 5354" in ruleset
    assert "2001:db8::53 : 5355" in ruleset


def hears_itself(address):
    """Whether what is sent to an address of one's own arrives, and is not routed away."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.bind((address, 0))
        sock.sendto(b"x", sock.getsockname())
        return bool(select.select([sock], [], [], 0.05)[0])


def test_its_addresses_are_its_own_when_it_says_so(netns, make_netns, log):
    """An answer to the first IPv6 packet would be dropped: the kernel sees to that a moment after it has made the address."""
    Rootd(netns, log)
    client, other = Client(netns), make_netns("other")
    # One after the other, of all namespaces.
    many = "".join(f"addr add fd00:{i:x}::1/64 dev lo\n" for i in range(2000))
    other.run("ip", "-6", "-batch", "-", input=many)
    client.ok("tun teltest 1400 198.18.0.1/30 fd00:77::1/126")
    assert in_netns(netns, lambda: hears_itself("fd00:77::1"))


def test_offloads_reach_the_device(netns, log):
    Rootd(netns, log)
    name = Client(netns).set_up()
    features = netns.run("ethtool", "-k", name).stdout
    for feature in ("tx-checksum-ip-generic", "tx-tcp-segmentation", "tx-tcp-ecn-segmentation",
                    "tx-tcp6-segmentation", "tx-udp-segmentation"):
        assert re.search(rf"^\s*{feature}: on", features, re.MULTILINE), features


def test_routes_are_a_set(netns, log):
    Rootd(netns, log)
    client = Client(netns)
    name = client.set_up()
    netns.run("ip", "route", "add", "10.5.0.0/16", "dev", name, "proto", "static")
    client.ok("routes 10.96.0.0/16 10.7.0.0/24")
    assert own_routes(netns, name) == ["10.7.0.0/24", "10.96.0.0/16"]
    assert "10.5.0.0/16" in netns.run("ip", "route").stdout, "a route of others was removed"
    client.ok("routes")
    assert own_routes(netns, name) == []
    client.ok("routes " + " ".join(f"10.{i}.0.0/17" for i in range(100, 250)))
    assert len(own_routes(netns, name)) == 150


def test_a_conflict_changes_nothing(netns, log):
    Rootd(netns, log)
    client = Client(netns)
    name = client.set_up()
    before = netns.settled()
    netns.run("ip", "route", "add", "10.5.0.0/16", "dev", "lo")
    answer = client.say("routes 10.1.0.0/16 10.5.0.0/16 10.2.0.0/16")
    assert answer.startswith("error -17 conflict route 10.5.0.0/16: "), answer
    assert own_routes(netns, name) == ["10.244.0.0/16", "10.96.0.0/16", "fd00:10::/112"]
    netns.run("ip", "route", "del", "10.5.0.0/16", "dev", "lo")
    netns.assert_as(before)


def test_redirects_are_replaced_and_ended(netns, log):
    Rootd(netns, log)
    client = Client(netns)
    before = netns.snapshot()
    client.ok("dns 5353 192.0.2.1 2001:db8::53 192.0.2.1")
    client.ok("dns 6464 192.0.2.2")
    ruleset = netns.run("nft", "list", "ruleset").stdout
    assert "elements = { 192.0.2.2 : 6464 }" in ruleset
    assert "192.0.2.1" not in ruleset and "table ip6" not in ruleset
    client.ok("dns 0")
    netns.assert_as(before)


REFUSED = [
    ("routes 0.0.0.0/0", "permission", "/8 or longer"),
    ("routes 10.0.0.0/8 128.0.0.0/1", "permission", "/8 or longer"),
    ("routes ::/0", "permission", "/32 or longer"),
    ("routes 2001::/16", "permission", "/32 or longer"),
    ("routes 10.96.0.1/16", "internal", "no prefix"),
    ("routes 127.0.0.0/8", "permission", "loopback"),
    ("routes 169.254.169.254/32", "permission", "link-local"),
    ("routes 224.0.0.0/8", "permission", "multicast"),
    ("routes fe80::/64", "permission", "link-local"),
    ("routes ff02::/32", "permission", "multicast"),
    ("routes 198.18.0.0/15", "permission", "device's own subnet"),
    ("routes fd00:77::/64", "permission", "device's own subnet"),
    ("routes " + " ".join(f"{i}.0.0.0/8" for i in range(20, 29)), "permission", "addresses"),
    ("dns 53 192.0.2.1", "permission", "port 53"),
    ("dns 5353 224.0.0.251", "permission", "multicast"),
    ("dns 5353 0.0.0.0", "permission", "this network"),
]


@pytest.mark.parametrize("line,kind,text", REFUSED)
def test_refuses_and_goes_on(netns, log, line, kind, text):
    rootd = Rootd(netns, log)
    client = Client(netns)
    client.set_up()
    before = netns.settled()
    answer = client.say(line)
    assert answer.startswith("error ") and kind in answer.split() and text in answer, answer
    netns.assert_as(before)
    assert "request refused" in rootd.log()
    client.ok("routes 10.96.0.0/16")


@pytest.mark.parametrize("line,text", [
    ("tun eth9 1500 198.18.0.1/30 -", "begins with"),
    ("tun tel/x 1500 198.18.0.1/30 -", "lower case"),
    ("tun - 1279 198.18.0.1/30 -", "MTU 1279"),
    ("tun - 65536 198.18.0.1/30 -", "MTU 65536"),
    ("tun - 1500 198.18.0.1/8 -", "/16 or longer"),
    ("tun - 1500 127.0.0.1/30 -", "loopback"),
    ("tun - 1500 - fe80::1/64", "link-local"),
    ("tun teltaken 1500 198.18.0.1/30 -", "exists already"),
])
def test_refuses_a_device_and_then_makes_one(netns, log, line, text):
    netns.run("ip", "link", "add", "teltaken", "type", "veth", "peer", "name", "other")
    Rootd(netns, log)
    client = Client(netns)
    before = netns.snapshot()
    answer = client.say(line)
    assert answer.startswith("error ") and text in answer, answer
    if "exists" not in text:
        netns.assert_as(before)
    client.set_up()


def end_by_client_kill(rootd, client):
    client.process.kill()
    client.process.wait(DEADLINE_S)
    assert rootd.ended() == 0


def end_by_client_exit(rootd, client):
    client.process.stdin.close()
    assert client.process.wait(DEADLINE_S) == rootd.ended() == 0


def end_with_device_still_held(rootd, client):
    """The client's process lives on with the TUN's descriptor open."""
    client.ok("hangup")
    assert rootd.ended() == 0
    assert client.process.poll() is None


def end_by_sigterm(rootd, client):
    rootd.process.terminate()
    assert rootd.ended() == 0
    client.ok("wait")


def end_by_rootd_kill(rootd, client):
    """The user daemon sees it by its descriptor and closes the device."""
    rootd.process.kill()
    assert rootd.ended() == -signal.SIGKILL
    client.ok("wait")
    client.ok("closetun")


def end_by_both_killed(rootd, client):
    rootd.process.kill()
    client.process.kill()
    assert rootd.ended() == client.process.wait(DEADLINE_S) == -signal.SIGKILL


@pytest.mark.parametrize("end", [end_by_client_kill, end_by_client_exit, end_with_device_still_held,
                                 end_by_sigterm, end_by_rootd_kill, end_by_both_killed])
def test_nothing_is_left(netns, log, end):
    before = netns.snapshot()
    rootd = Rootd(netns, log)
    client = Client(netns)
    name = client.set_up()
    assert table_names(netns)
    end(rootd, client)
    gone(netns, name)
    after = dict(before)
    if client.process.poll() is None:
        after["pids"] = sorted([*before["pids"], client.process.pid])
    netns.assert_as(after)
    # What was there does not hinder the next one.
    again = Rootd(netns, log)
    Client(netns).set_up()
    again.process.terminate()
    assert again.ended() == 0


def test_dns_tables_go_at_once_with_the_daemon(netns, log):
    def attempt():
        rootd = Rootd(netns, log)
        client = Client(netns)
        name = client.set_up()
        rootd.process.kill()
        rootd.ended()
        seconds, _ = took(wait_for, lambda: not table_names(netns), "owned tables gone")
        client.process.kill()
        gone(netns, name)
        return seconds
    best_of(attempt, 1)


@pytest.mark.parametrize("setting", ["default", "all"])
def test_ipv4_only_where_ipv6_is_off(netns, log, setting):
    for conf in {"default", setting}:
        netns.run("sysctl", "-qw", f"net.ipv6.conf.{conf}.disable_ipv6=1")
    before = netns.snapshot()
    rootd = Rootd(netns, log)
    client = Client(netns)
    name, _, ipv6 = client.ok("tun - 1500 198.18.0.1/30 fd00:77::1/126")
    assert ipv6 == "0"
    client.ok("routes 10.96.0.0/16 fd00:10::/112")
    assert own_routes(netns, name) == ["10.96.0.0/16"]
    client.ok("dns 5353 192.0.2.1")
    client.process.kill()
    rootd.ended()
    netns.assert_as(before)


def test_ipv6_switched_off_and_on_again(netns, log):
    """What the kernel takes away with IPv6 is there again with the next set, and IPv4's routes are followed meanwhile."""
    Rootd(netns, log)
    client = Client(netns)
    name, _, ipv6 = client.ok("tun - 1500 198.18.0.1/30 fd00:77::1/126")
    assert ipv6 == "1"
    client.ok("routes 10.96.0.0/16 fd00:10::/112")
    for off, route in ((1, "10.97.0.0/16"), (0, "10.98.0.0/16")):
        netns.run("sysctl", "-qw", f"net.ipv6.conf.all.disable_ipv6={off}")
        client.ok(f"routes {route} fd00:10::/112")
        assert own_routes(netns, name) == [route, *([] if off else ["fd00:10::/112"])]
    assert "fd00:77::1/126" in netns.run("ip", "-6", "addr", "show", name).stdout


def test_background_returns_when_ready(netns, log):
    before = netns.snapshot()
    with open(log, "wb") as stderr:
        done = subprocess.run(netns.command(program("telepresence-rootd"), "--uid", "0",
                                            "--background"), stderr=stderr, timeout=DEADLINE_S, check=False)
    assert done.returncode == 0, log.read_text()
    pid = set(netns.pids()) - set(before["pids"])
    assert len(pid) == 1
    assert os.getsid(pid.pop()) != os.getsid(0)
    client = Client(netns)
    client.set_up()
    client.process.kill()
    netns.assert_as(before)
