# SPDX-License-Identifier: Apache-2.0
"""One real cluster of two nodes: what it offers, what it survives, and that nothing is left."""

import json
import os
import pathlib
import re
import signal
import subprocess
import time

import pytest
from conftest import COMMAND, cluster
from localcluster import cgroup, plan
from localcluster.image import Entry, write_oci_archive
from localcluster.laptop import Laptop
from localcluster.shell import process_start_time, read_text, wait_for
from timing import best_of, took
from traces import assert_as

POD = """
apiVersion: v1
kind: Pod
metadata: {name: pinger}
spec:
  securityContext:
    runAsUser: 1000
    runAsNonRoot: true
    sysctls: [{name: net.ipv4.ping_group_range, value: "0 2147483647"}]
  containers:
  - {name: pinger, image: node.local/busybox:1, command: [sleep, "1000"]}
"""


# Folders that containerd, kubelet or CNI plugins make where nobody keeps them from it.
FOLDERS = (
    *("/run/containerd", "/run/cni-addresses", "/run/machine-sysctls", "/run/xtables.lock"),
    *("/var/lib/kubelet", "/var/lib/cni", "/var/lib/containerd", "/var/lib/calico"),
    *("/var/log/pods", "/var/log/containers", "/etc/cni/net.d", "/opt/containerd"),
)
DOWN_S = 25
DEVICES = re.compile(r"lan|nodes|node\d|laptop.*|veth.*|cni.*")


def machine(name):
    """What a cluster could leave behind, by name: others may work here at the same time."""
    links = json.loads(subprocess.check_output(["ip", "-j", "link"]))
    mine = re.compile(rf"tp-{name}-|tp-test-{os.getpid()}\b")
    listed = [
        f"{folder}/{entry}"
        for folder in ("/run/netns", "/etc/netns", "/run")
        if os.path.isdir(folder)
        for entry in os.listdir(folder)
    ]
    slots = pathlib.Path("/run/telepresence-dev").glob("slot-*")
    return {
        "links": [link["ifname"] for link in links if DEVICES.fullmatch(link["ifname"])],
        "mounts": [
            line for line in read_text("/proc/self/mountinfo").splitlines() if mine.search(line)
        ],
        "cgroups": cgroup.names(f"tp-{name}-"),
        "files": sorted(path for path in listed if mine.search(path)),
        "folders": [folder for folder in FOLDERS if os.path.exists(folder)],
        "slots": [path.name for path in slots if mine.search(read_text(path))],
    }


def processes_of(name):
    """Processes whose command line names the cluster's folder or network namespaces."""
    mark = re.compile(rf"tp-test-\d+/{name}/|tp-{name}-")
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit() and mark.search(read_text(entry / "cmdline")):
            found.append(read_text(entry / "cmdline").replace("\0", " "))
    return found


@pytest.fixture(scope="module")
def running(state):
    """A cluster that is up; afterwards the machine has to be as it was."""
    name = f"t{os.getpid()}"
    before = machine(name)
    cluster("deps")
    # A company's way to the internet is none into the cluster.
    os.environ["HTTPS_PROXY"] = os.environ["HTTP_PROXY"] = "http://127.0.0.1:9"
    try:
        cluster("up", name, "--nodes", "2", "--dual-stack")
        cluster("kubectl", "--cluster", name, "get", "nodes")
    finally:
        del os.environ["HTTPS_PROXY"], os.environ["HTTP_PROXY"]
    yield plan.get(name)

    def down():
        cluster("up", name, "--nodes", "2", "--dual-stack")  # after a try that was too slow
        return took(cluster, "down", name)[0]

    # Nobody waits for the half minute that its pods may take.
    if took(cluster, "down", name)[0] > DOWN_S:
        best_of(down, DOWN_S, tries=2)
    assert_as(lambda: machine(name), before)
    assert processes_of(name) == []


def kubectl(running, *words, check=True):
    return cluster("kubectl", "--cluster", running.name, *words, check=check)


def on_laptop(running, *argv):
    done = subprocess.run(Laptop(running).exec_argv(argv), capture_output=True, text=True)
    return done.returncode, done.stdout


def test_second_up_does_nothing_and_is_fast(running):
    pids = (running.nodes[0].dir / "pid").read_text()

    def attempt():
        seconds, done = took(cluster, "up", running.name, "--nodes", "2", "--dual-stack")
        assert "(running)" in done.stdout
        return seconds

    best_of(attempt, 2)
    assert (running.nodes[0].dir / "pid").read_text() == pids


def test_kubeconfigs_are_for_root_only(running):
    confs = [*running.dir.glob("pki/*.conf"), *running.dir.glob("pki/*.key")]
    assert len(confs) >= 8
    assert all(path.stat().st_mode & 0o077 == 0 for path in confs)


def test_certificate_user_is_who_it_says(running, tmp_path):
    output = tmp_path / "alice.conf"
    cluster(
        *("kubeconfig", "--cluster", running.name, "--user", "alice@example.com"),
        *("--groups", "devs,ops", "--output", str(output)),
    )
    assert output.stat().st_mode & 0o777 == 0o600
    tool = f"{read_text(running.dir / 'bin').strip()}/kubectl"
    code, said = on_laptop(running, tool, "--kubeconfig", output, "auth", "whoami", "-o", "json")
    info = json.loads(said)["status"]["userInfo"]
    assert code == 0
    assert info["username"] == "alice@example.com"
    assert {"devs", "ops"} <= set(info["groups"])
    code, _ = on_laptop(running, tool, "--kubeconfig", output, "get", "pods")
    assert code != 0


def test_a_user_name_with_subject_syntax_is_refused(running):
    done = cluster(
        "kubeconfig", "--cluster", running.name, "--user", "a/O=system:masters", check=False
    )
    assert done.returncode == 1
    assert "cannot be a user" in done.stderr


def test_files_that_cannot_be_used_are_named(running, tmp_path):
    of = ("--cluster", running.name)
    nowhere, text = tmp_path / "no/where", tmp_path / "text"
    text.write_text("no archive")
    for words, said in (
        (["kubeconfig", *of, "--output", nowhere], f"{nowhere}: No such file"),
        (["kubeconfig", *of, "--user", ""], "cannot be a user"),
        (["load", *of, nowhere], f"{nowhere}: no such file"),
        (["load", *of, text], "exit 1"),
        (["logs", *of, "../pid"], "no log of '../pid'; there are: "),
    ):
        done = cluster(*map(str, words), check=False)
        assert done.returncode == 1 and said in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert "apiVersion" in cluster("kubeconfig", *of, "--output", "/dev/stdout").stdout


def test_the_laptop_reaches_the_api_server_and_nothing_else(running):
    node = running.nodes[0].addresses[0]
    assert on_laptop(running, "curl", "-skm20", f"{running.server}/readyz") == (0, "ok")
    for target in (f"{node}:10250", f"{running.dns_service}:53", f"{node}:2379"):
        code, _ = on_laptop(running, "curl", "-skm1", f"https://{target}/")
        assert code in (7, 28)


def test_the_laptop_resolves_public_names_only(running):
    assert (
        on_laptop(running, "curl", "-sm20", "http://www.example.com")[1] == "the public internet\n"
    )
    code, said = on_laptop(running, "dig", "+noall", "+comments", "www.example.com", "AAAA")
    assert code == 0 and "NOERROR" in said
    code, said = on_laptop(running, "dig", "+noall", "+comments", "kubernetes.default")
    assert code == 0 and "NXDOMAIN" in said


def test_a_pod_may_ping_without_privilege_and_sees_the_public_internet(running):
    subprocess.run(
        [COMMAND, "kubectl", "--cluster", running.name, "apply", "-f", "-"],
        input=POD,
        text=True,
        check=True,
    )
    kubectl(running, "wait", "--for=condition=Ready", "pod/pinger", "--timeout=90s")
    run_in_pod = ("exec", "pinger", "--")
    said = kubectl(running, *run_in_pod, "cat", "/proc/sys/net/ipv4/ping_group_range").stdout
    assert said.split() == ["0", "2147483647"]
    said = kubectl(running, *run_in_pod, "wget", "-q", "-O-", "http://www.example.com").stdout
    assert said == "the public internet\n"


def test_pods_of_both_nodes_and_families_reach_each_other(running):
    """With their own addresses: the far end sees the pod, not the node before it."""
    for node in running.nodes:
        placed = json.dumps({"spec": {"nodeName": node.name}})
        words = ("run", f"web-{node.name}", "--image=node.local/web:1", f"--overrides={placed}")
        kubectl(running, *words)
    kubectl(running, "expose", "pod", "web-node2", "--port=80", "--target-port=8080", "--name=web")
    pods = ("pod/web-node1", "pod/web-node2", "--timeout=90s")
    kubectl(running, "wait", "--for=condition=Ready", *pods)
    ips = {}
    for node in running.nodes:
        said = kubectl(running, "get", "pod", f"web-{node.name}", "-o", "json").stdout
        ips[node.name] = [one["ip"] for one in json.loads(said)["status"]["podIPs"]]
        nets = [str(net) for net in node.pod_nets]
        assert all(
            plan.ipaddress.ip_address(ip) in plan.ipaddress.ip_network(net)
            for ip, net in zip(ips[node.name], nets, strict=True)
        )
    v4, v6 = ips["node2"]
    for host in (v4, f"[{v6}]"):
        fetch = (
            "exec",
            "web-node1",
            "--",
            "timeout",
            "30",
            "wget",
            "-q",
            "-O-",
            f"http://{host}:8080/",
        )
        assert kubectl(running, *fetch).stdout == "web: it works\n"
    log = kubectl(running, "logs", "web-node2").stdout
    assert f"[::ffff:{ips['node1'][0]}]" in log and f"[{ips['node1'][1]}]" in log
    fetch = (
        "exec",
        "web-node1",
        "--",
        "timeout",
        "30",
        "wget",
        "-q",
        "-O-",
        "http://web.default.svc",
    )
    wait_for("the service", lambda: kubectl(running, *fetch, check=False).returncode == 0, 60)


def test_load_takes_oci_archives(running, tmp_path):
    archive = tmp_path / "x.tar"
    entries = [Entry("bin/busybox", source="/bin/busybox")]
    write_oci_archive(archive, "node.local/loaded:7", entries, {"Cmd": ["/bin/busybox", "true"]})
    said = cluster("load", "--cluster", running.name, str(archive)).stdout
    assert "node.local/loaded:7" in said
    words = ("run", "loaded", "--image=node.local/loaded:7", "--restart=Never")
    kubectl(running, *words)
    wait = ("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/loaded", "--timeout=90s")
    kubectl(running, *wait)


def test_a_killed_component_comes_back_after_the_delay(running):
    node = running.nodes[0]
    (running.dir / "restart-delay").write_text("2.5\n")
    pid_file = node.dir / "pids" / "kube-scheduler"
    pid = pid_file.read_text().strip()
    assert "kube-scheduler" in read_text(f"/proc/{pid}/cmdline")
    killed = time.monotonic()
    os.kill(int(pid), signal.SIGKILL)
    wait_for("its end", lambda: process_start_time(pid) is None, 60)

    def restarted():
        new = read_text(pid_file).strip()
        return new not in ("", pid) and process_start_time(new)

    wait_for("its restart", restarted, 60)
    assert time.monotonic() - killed >= 2.5
    (running.dir / "restart-delay").write_text("1.0\n")
    assert "kube-scheduler" in cluster("status", running.name).stdout
    assert "killed by signal 9" in cluster("status", running.name).stdout


def round_trip_ms(running):
    """Of four the shortest: what else runs on this machine only adds. None: nothing came back."""
    _, said = on_laptop(running, "ping", "-qc4", "-i0.05", "-W1", str(running.lan_nets[0][1]))
    match = re.search(r"= ([\d.]+)/", said)
    return float(match[1]) if match else None


def takes(running, at_least_ms, limit_ms):
    best_of(lambda: (round_trip_ms(running) or 10_000) / 1000, limit_ms / 1000, at_least_s=at_least_ms / 1000)


def test_the_cable_of_the_laptop(running):
    laptop = Laptop(running)
    state = laptop.exec_argv(["sh", "-c", "ip -d addr; ip route; ip neigh | cut -d' ' -f1-5"])
    takes(running, 0, 10)
    before = subprocess.check_output(state)
    laptop.wan(delay_ms=30, rate_mbit=100)
    takes(running, 60, 80)
    laptop.cut()
    assert round_trip_ms(running) is None
    laptop.uncut()
    takes(running, 60, 80)
    laptop.no_wan()
    takes(running, 0, 10)
    assert subprocess.check_output(state) == before


def test_a_loss_of_all_is_no_link(running):
    laptop = Laptop(running)
    laptop.wan(loss=100)
    assert round_trip_ms(running) is None
    laptop.no_wan()
    takes(running, 0, 10)


def test_killing_pid_1_ends_the_node(running):
    """Last in this file: down has to work on what is left."""
    node = running.nodes[0]
    os.kill(int((node.dir / "pid").read_text().split()[0]), signal.SIGKILL)
    wait_for("the end of the node", lambda: not cgroup.processes(node.cgroup), 60)
    done = cluster("status", running.name, check=False)
    assert done.returncode == 1
    assert "not running" in done.stdout
