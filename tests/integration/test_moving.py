# SPDX-License-Identifier: Apache-2.0
"""Somebody moves while connected: the API server behind its name, or the laptop to another address."""

import json
import pathlib
import time

import pytest

from conftest import run, wait_for
from localcluster import plan
from nets import Net, dialling

NAME = "api.moving.test"
# The heartbeat alone needs LIMIT_CARRIER_SILENCE_MS, 5 s, to see that the path is dead.
AT_ONCE_S, BACK_S, TRIES = 3.0, 1.0, 3


class Place:
    """What the laptop's hosts file says of the API server, and which of its addresses the router lets through."""

    def __init__(self, cluster):
        self.plan = plan.get(cluster.name)
        self.node = self.plan.nodes[0]
        self.old, self.new = str(self.node.addresses[0]), str(self.plan.node_nets[0][200])
        self.hosts = pathlib.Path("/etc/netns") / self.plan.netns("laptop") / "hosts"
        self.router = ["ip", "netns", "exec", self.plan.netns("wan"), "nft"]
        prefix = self.plan.node_nets[0].prefixlen
        self.address = ["ip", "-n", self.node.netns, "addr"], [f"{self.new}/{prefix}", "dev", "eth0"]

    def is_at(self, address):
        """From now on there alone; whoever still asks the other one gets no answer."""
        other = self.old if address == self.new else self.new
        self.hosts.write_text(f"127.0.0.1 localhost\n{address} {NAME}\n")
        # Before the router's own rules, which let go on what is established.
        rules = f"""table ip moving {{}}
            delete table ip moving
            table ip moving {{ chain forward {{
                type filter hook forward priority filter - 1
                ip daddr {other} drop
                ip saddr {other} drop
            }}; }}"""
        run([*self.router, rules])

    def __enter__(self):
        run([*self.address[0], "add", *self.address[1]])
        rule = ["insert", "rule", "inet", "router", "forward", "iifname", "lan", "ip", "daddr", self.new, "accept"]
        self.handle = run([*self.router, "-e", "-a", *rule]).stdout.rsplit("handle ", 1)[1].split()[0]
        self.is_at(self.old)
        return self

    def __exit__(self, *_):
        run([*self.router, "delete", "table", "ip", "moving"])
        run([*self.router, "delete", "rule", "inet", "router", "forward", "handle", self.handle])
        run([*self.address[0], "del", *self.address[1]])
        self.hosts.unlink()


@pytest.fixture
def place(laptop, cluster):
    with Place(cluster) as made:
        yield made
        laptop.stop()


@pytest.fixture
def kubeconfig(cluster, tmp_path):
    config = json.loads(cluster.kubectl("config", "view", "--raw", "-o", "json"))
    config["clusters"][0]["cluster"] |= {"server": f"https://{NAME}:6443", "tls-server-name": "kubernetes"}
    path = tmp_path / "config"
    path.write_text(json.dumps(config))
    return path


def device_to(laptop, address):
    return laptop.run("ip", "route", "get", address).stdout.split(" dev ")[1].split()[0]


@pytest.mark.parametrize("carrier", ["services/proxy", "port-forward"])
def test_the_api_server_moves(laptop, cluster, place, kubeconfig, carrier):
    """Its name has another address, which lies in a range that is routed to the cluster: the tunnel follows, outside itself."""
    nodes = place.plan.node_nets[0]
    laptop.connect("--kubeconfig", kubeconfig, "--also-proxy", nodes, "--carrier", carrier)
    before = laptop.status()
    assert device_to(laptop, place.old) == "eth0"
    assert device_to(laptop, place.new) == before["root_daemon"]["device"]
    for address in (place.new, place.old, place.new):
        place.is_at(address)
        moved = time.monotonic()
        reached = laptop.run("curl", "-sS", "--max-time", "30", "--retry", "20", "--retry-all-errors", "http://web.demo/")
        assert reached.stdout.startswith("hello from pod")
        print(f"{carrier}: {address} after {time.monotonic() - moved:.1f} s")
        assert device_to(laptop, address) == "eth0"
    now = laptop.status()
    assert now["user_daemon"]["status"] == "Connected"
    assert now["user_daemon"]["session"] == before["user_daemon"]["session"]
    # Also what goes to the API server without the tunnel: the end of the Session.
    begun = time.monotonic()
    assert laptop.telepresence("quit").stdout == "Disconnected\n"
    print(f"quit after {time.monotonic() - begun:.1f} s")
    sessions = cluster.get("sessions.telepresence.io", "-n", "ambassador")["items"]
    assert now["user_daemon"]["session"] not in [one["metadata"]["name"] for one in sessions]


class Lan:
    """The laptop's IPv4 address and default route, taken and given."""

    def __init__(self, cluster):
        self.plan = plan.get(cluster.name)
        self.ip = ["ip", "-n", self.plan.netns("laptop"), "-4"]
        self.net = self.plan.lan_nets[0]
        (info,) = json.loads(run([*self.ip, "-j", "addr", "show", "dev", "eth0"]).stdout)
        self.first = self.last = info["addr_info"][0]["local"]

    def leave(self):
        run([*self.ip, "addr", "flush", "dev", "eth0"])

    def join(self, address):
        run([*self.ip, "addr", "add", f"{address}/{self.net.prefixlen}", "dev", "eth0"])
        run([*self.ip, "route", "add", "default", "via", str(self.net[1])])
        self.last = address


@pytest.fixture
def lan(laptop, cluster):
    made = Lan(cluster)
    run([*made.ip, "addr", "flush", "dev", "eth0"])
    made.join(made.first)
    plain = laptop.snapshot()
    yield made
    laptop.stop()
    made.leave()
    made.join(made.first)
    laptop.assert_as(plain)


def first_after(net, address, since):
    """How long after a moment the first connection is established."""
    with dialling(net, address, 80) as moments:
        wait_for("a connection", lambda: moments, pause=0.01)
    return min(moments) - since


def test_the_laptop_moves(laptop, cluster, lan):
    """Another address, and a while without any: seen at once, and over at once when the path is back."""
    net = Net(f"/run/netns/{plan.get(cluster.name).netns('laptop')}")
    web = cluster.cluster_ip()
    laptop.connect()
    session = laptop.status()["user_daemon"]["session"]
    seen, back = [], []

    def status():
        return laptop.status()["user_daemon"]["status"]

    for attempt in range(TRIES):
        lan.leave()
        left = time.monotonic()
        wait_for("the cut to be seen", lambda: status() != "Connected", pause=0.05)
        seen.append(time.monotonic() - left)
        lan.join(str(lan.net[70 + attempt]))
        back.append(first_after(net, web, time.monotonic()))
        # Replaced in one go, as by another Wi-Fi.
        lan.leave()
        lan.join(str(lan.net[80 + attempt]))
        back.append(first_after(net, web, time.monotonic()))
        wait_for("connected", lambda: status() == "Connected", pause=0.05)
        # The old carrier has its time to answer, PIPE_CHECK_MS, only where nothing else is heard.
        if is_quick := min(seen) <= AT_ONCE_S and max(min(back[::2]), min(back[1::2])) <= BACK_S:
            break
    print(f"seen after {seen}, back after {back}")
    assert is_quick
    assert laptop.status()["user_daemon"]["session"] == session
    assert laptop.curl("http://web.demo/").startswith("hello from pod")
