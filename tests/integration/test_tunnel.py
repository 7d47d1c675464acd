# SPDX-License-Identifier: Apache-2.0
"""The tunnel: which carrier it goes by, what a cut, a long or a lossy path does to it, and what memory it takes."""

import contextlib
import json
import re
import subprocess
import sys
import time

import pytest

from conftest import LONG, ROOT, run, wait_for
from nets import dialling, echo, serve
from timing import best_of, took

sys.path.insert(0, str(ROOT / "scripts" / "lib"))

from bench import machine  # noqa: E402  (found by the line above)
from localcluster import laptop as localcluster_laptop  # noqa: E402
from localcluster import plan  # noqa: E402

ECHO_PORT = 7007
PUMP_PORT = 9000
BACK_S = 1.0


def manager(laptop):
    return laptop.status()["traffic_manager"]


def carriers(laptop):
    return {one["name"]: (one["state"], one.get("reason", "")) for one in manager(laptop)["carriers"]}


def test_status_tells_the_carrier_and_why_not_the_other(connected):
    status = manager(connected)
    assert status["carrier"] == "services/proxy"
    since = time.mktime(time.strptime(status["carrier_since"], "%Y-%m-%dT%H:%M:%SZ")) - time.timezone
    assert 0 <= time.time() - since < 60
    assert status["rtt_us"] > 0
    state, reason = carriers(connected)["port-forward"]
    assert carriers(connected)["services/proxy"] == ("in use", "")
    assert state in ("not tried", "slower") and "services/proxy" in reason
    text = connected.telepresence("status").stdout
    assert re.search(r"^  Tunnel +: services/proxy$", text, re.MULTILINE)
    assert re.search(r"^  Since +: \d{4}-\d\d-\d\d \d\d:\d\d:\d\d$", text, re.MULTILINE)
    assert re.search(r"^  Round trip +: \d+\.\d ms$", text, re.MULTILINE)
    assert re.search(rf"^  Not used +: port-forward \({state}: .*services/proxy.*\)$", text, re.MULTILINE)


def test_carrier_by_flag(laptop):
    laptop.connect("--carrier", "port-forward")
    assert manager(laptop)["carrier"] == "port-forward"
    assert carriers(laptop)["services/proxy"] == ("off", "only port-forward is to be used")
    assert laptop.curl("http://web.demo/").startswith("hello from pod web-")
    # It is a part of what the connection is.
    done = laptop.telepresence("connect", "--carrier", "services/proxy", check=False)
    assert done.returncode == 6 and "Cluster configuration changed" in done.stderr
    assert "Connected to" in laptop.connect("--carrier", "port-forward").stdout


def test_carrier_by_kubeconfig_and_unknown_ones(laptop, cluster, tmp_path):
    config = json.loads(cluster.kubectl("config", "view", "--raw", "-o", "json"))
    extension = {"carrier": "port-forward"}
    config["clusters"][0]["cluster"]["extensions"] = [{"name": "telepresence.io", "extension": extension}]
    path = tmp_path / "config"
    path.write_text(json.dumps(config))
    laptop.connect("--kubeconfig", path)
    assert manager(laptop)["carrier"] == "port-forward"
    laptop.stop()
    laptop.connect("--kubeconfig", path, "--carrier", "services/proxy")
    assert carriers(laptop)["port-forward"] == ("off", "only services/proxy is to be used")
    laptop.stop()
    extension["carrier"] = "pigeon"
    path.write_text(json.dumps(config))
    done = laptop.telepresence("connect", "--kubeconfig", path, check=False)
    assert done.returncode == 3 and 'there is no carrier "pigeon"' in done.stderr and f"{path}:" in done.stderr
    done = laptop.telepresence("connect", "--carrier", "pigeon", check=False)
    assert done.returncode == 2 and "services/proxy and port-forward" in done.stderr


class Cable:
    """The laptop's cable with the box tests/wan in it, and neither end forgetting the other's address on the link.

    The path is cut somewhere on its way, not at the laptop's own plug: nobody asks for link addresses anew.
    """

    def __init__(self, cluster):
        self.plan = plan.get(cluster.name)
        self.laptop = localcluster_laptop.Laptop(self.plan)
        self.ends = [(self.laptop.netns, "eth0"), (self.plan.netns("wan"), "lan")]

    def neighbours(self, netns, device):
        entries = json.loads(run(["ip", "-j", "-n", netns, "neigh", "show", "dev", device]).stdout or "[]")
        return [(one["dst"], one["lladdr"]) for one in entries if "lladdr" in one]

    def pin(self, state):
        for netns, device in self.ends:
            for address, link in self.neighbours(netns, device):
                words = ["neigh", "replace", address, "lladdr", link, "dev", device, "nud", state]
                run(["ip", "-n", netns, *words])


@pytest.fixture
def cable(cluster):
    cable = Cable(cluster)
    yield cable
    cable.laptop.no_wan()
    cable.pin("reachable")


def cut_and_back(cable, laptop_net, address, seconds):
    """How long after the path is back a new connection is established."""
    cable.pin("permanent")
    cable.laptop.cut()
    time.sleep(max(0, seconds - 1))
    with dialling(laptop_net, address, 80) as moments:
        time.sleep(min(1, seconds))
        assert moments == [], "a connection although the path is cut"
        cable.laptop.uncut()
        back = time.monotonic()
        wait_for("a connection", lambda: moments, pause=0.01)
    return min(moments) - back


CUTS = [("services/proxy", 3), ("port-forward", 8)]
if LONG:
    CUTS += [("services/proxy", 30), ("port-forward", 30), ("services/proxy", 600)]


@pytest.mark.parametrize(("carrier", "seconds"), CUTS)
def test_cut_path(laptop, cluster, cable, laptop_net, pod_net, carrier, seconds):
    """Packets vanish without a word, then the path is back: so are new connections, within a second.

    Connections that are open go on, if it did not take more than the minute that both sides wait for each other.
    """
    cable.laptop.wan(10)
    laptop.connect("--carrier", carrier)
    with serve(pod_net, "0.0.0.0", ECHO_PORT, echo), laptop_net.connect(cluster.pod_ip(), ECHO_PORT) as connection:
        connection.sendall(b"before")
        assert connection.recv(6) == b"before"

        def attempt():
            back = cut_and_back(cable, laptop_net, cluster.cluster_ip(), seconds)
            print(f"{carrier}, {seconds} s: new connections after {back:.2f} s")
            if seconds <= 30:
                connection.sendall(b"after")
                assert connection.recv(5) == b"after"
            return back

        best_of(attempt, BACK_S, tries=3)
    assert laptop.curl("http://web.demo/")


@pytest.mark.parametrize(("delay_ms", "loss", "limit_s"), [(150, 0, 12), (10, 1, 6), (150, 1, 20)])
def test_far_and_lossy_paths(laptop, cluster, cable, delay_ms, loss, limit_s):
    """RTT 300 ms, 1 % loss, and both: connect, names, connections and bulk work as on a short path, only later."""
    cable.laptop.wan(delay_ms, loss=loss)

    def attempt():
        laptop.stop()
        return took(laptop.connect)[0]

    best_of(attempt, limit_s)
    for _ in range(5):
        assert laptop.curl("http://web.demo/").startswith("hello from pod web-")
    status = manager(laptop)
    assert status["rtt_us"] >= 2000 * delay_ms
    assert {one["state"] for one in status["carriers"]} <= {"in use", "not tried", "slower"}


def peak_rss(laptop, cluster):
    return machine.Watch({"userd": laptop.daemons()["userd"], "manager": cluster.manager_pid()})


def load(cluster, address, *words):
    netns = plan.get(cluster.name).netns("laptop")
    return machine.run_json(["ip", "netns", "exec", netns, machine.PUMP, "tcp", address, PUMP_PORT, *words])


@pytest.fixture
def pump(pod_net):
    argv = ["nsenter", f"--net={pod_net.path}", machine.SERVER, PUMP_PORT]
    process = subprocess.Popen([str(word) for word in argv])
    yield
    process.kill()
    process.wait()


def test_memory_with_64_busy_streams(laptop, cluster, cable, pump):
    cable.laptop.wan(10, 300)
    laptop.connect()
    with peak_rss(laptop, cluster) as watch:
        got = load(cluster, cluster.pod_ip(), *machine.load_words("down", 64, 2, 1))
    print(f"{got['mb_per_s']} MB/s, MB: {watch.peak}")
    assert got["moving"] == 64
    assert max(watch.peak.values()) < 64
    # And is small again when that is over.
    userd = laptop.daemons()["userd"]
    wait_for("a small user daemon", lambda: machine.rss_mb(userd) <= 8)


@contextlib.contextmanager
def into_the_tun(laptop):
    """Packets and bytes that applications, and the kernel's own ends of their connections, send into the TUN.

    They are counted where a socket sends: what the kernel gives back to itself is not in the device's own counters.
    """
    device = laptop.status()["root_daemon"]["device"]
    chain = "{ type filter hook output priority 0; }"
    laptop.run("nft", f'add table inet seen; add chain inet seen out {chain}; add rule inet seen out oifname "{device}" counter')
    try:
        yield lambda: next(
            (rule["counter"]["packets"], rule["counter"]["bytes"])
            for each in json.loads(laptop.run("nft", "-j", "list", "chain", "inet", "seen", "out").stdout)["nftables"]
            for rule in each.get("rule", {}).get("expr", [])
            if "counter" in rule
        )
    finally:
        laptop.run("nft", "delete table inet seen")


def test_many_uploads_cross_the_tun_in_large_packets(laptop, cluster, pump):
    """64 flows that share a path are slow ones, whose packets the kernel makes small: 3 KB with an MTU of 1500."""
    laptop.connect()
    with into_the_tun(laptop) as counters:
        got = load(cluster, cluster.pod_ip(), *machine.load_words("up", 64, 1, 0.3))
        packets, size = counters()
    print(f"{got['mb_per_s']} MB/s, {packets} packets, {size / packets:.0f} bytes each")
    assert got["moving"] == 64
    assert size > 0.5 * got["mb_per_s"] * 1e6
    assert size / packets > 6000


def test_stalled_readers_stall_only_themselves(laptop, cluster, cable, pump):
    """Downloads that nobody reads: what waits for them is bounded, and others go on beside them."""
    cable.laptop.wan(10, 200)
    laptop.connect()
    # The kernel's own buffers of those sockets, 10 MB each, take their part of the line first; on a busy machine the longer.
    for warm in (3, 6, 12):
        alone = load(cluster, cluster.pod_ip(), *machine.load_words("down", 1, 1, 0.5))["mb_per_s"]
        with peak_rss(laptop, cluster) as watch:
            beside = load(cluster, cluster.pod_ip(), *machine.load_words("down", 1, 1, warm, 2))["mb_per_s"]
        print(f"alone {alone} MB/s, beside {beside} MB/s, MB: {watch.peak}")
        assert max(watch.peak.values()) < 64
        if beside > 0.8 * alone:
            break
    assert beside > 0.8 * alone
