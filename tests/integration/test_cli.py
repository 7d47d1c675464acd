# SPDX-License-Identifier: Apache-2.0
"""The commands on a real cluster: what they print, refuse, and do for a user who is not root."""

import ipaddress
import json
import os
import pathlib
import pwd
import shutil
import subprocess
import tempfile

import pytest

from conftest import ROOT, run, wait_for
from localcluster import plan

NOBODY = pwd.getpwnam("nobody")


def test_connect_prints_where_to_and_its_steps(laptop, cluster):
    done = laptop.connect()
    server = laptop.status()["user_daemon"]["kubernetes_server"]
    assert done.stdout == f"Connected to context {cluster.name}, namespace default ({server})\n"
    steps = done.stderr.splitlines()
    assert steps[:2] == ["Launching Telepresence User Daemon", "Launching Telepresence Root Daemon"]
    assert any("tunnel" in step for step in steps)
    again = laptop.connect()
    assert again.stdout == done.stdout and again.stderr == ""


def test_connect_with_other_arguments_is_a_conflict(connected):
    done = connected.telepresence("connect", "--namespace", "demo", check=False)
    assert done.returncode == 6
    assert "Cluster configuration changed, please quit telepresence and reconnect" in done.stderr
    assert connected.curl("http://web.demo/")


def test_another_kubeconfig_in_the_environment_is_another_connection(connected, cluster, tmp_path):
    """What the command's own environment means counts, not that of the command which connected."""
    other = tmp_path / "other"
    shutil.copy(plan.get(cluster.name).admin_kubeconfig, other)
    same = connected.run("env", f"KUBECONFIG={other}", "telepresence", "connect")
    assert "Connected to context" in same.stdout
    cluster.kubectl("config", "set-context", "--kubeconfig", other, cluster.name, "--namespace=demo")
    done = connected.run("env", f"KUBECONFIG={other}", "telepresence", "connect", check=False)
    assert done.returncode == 6 and "Cluster configuration changed" in done.stderr
    assert "Connected to context" in connected.connect().stdout


def test_quit_disconnects_and_keeps_the_user_daemon(connected):
    daemons = connected.daemons()
    assert connected.telepresence("quit").stdout == "Disconnected\n"
    assert connected.daemons() == {"userd": daemons["userd"]}
    assert connected.telepresence("quit").stdout == "Not connected\n"
    assert connected.status()["user_daemon"]["status"] == "Not connected"
    assert "Launching Telepresence User Daemon" not in connected.connect().stderr
    assert connected.curl("http://web.demo/")
    assert connected.telepresence("quit", "-s").stdout == "Telepresence Daemons quitting...done\n"
    assert connected.daemons() == {}
    for args in (["quit"], ["quit", "-s"]):
        done = connected.telepresence(*args)
        assert (done.stdout, done.stderr) == ("Not connected\n", "The telepresence daemon has not been started\n")
    done = connected.telepresence("leave", "web", check=False)
    assert done.returncode == 7 and "has not been started; try telepresence connect" in done.stderr


def test_a_command_has_the_connection_that_was_made_for_it(laptop):
    script = "telepresence status --json | grep -c '\"status\":\"Connected\"'; curl -sS --max-time 9 http://web.demo/; exit 4"
    done = laptop.telepresence("connect", "--", "sh", "-c", script, check=False)
    assert done.stdout.splitlines()[1] == "1" and "hello from pod web-" in done.stdout
    assert done.returncode == 1 and "sh: exited with 4" in done.stderr
    assert laptop.status()["user_daemon"]["status"] == "Not connected"
    # One that was there before stays.
    laptop.connect()
    laptop.telepresence("connect", "--", "true")
    assert laptop.status()["user_daemon"]["status"] == "Connected"


def test_status_tells_what_is_connected(online, cluster):
    text = online.telepresence("status").stdout
    assert text.startswith("Connected\n  Context:       ")
    assert "Proxy:         ON (networking to the cluster is enabled)" in text
    assert "\n  Device            : tel0 (MTU " in text
    online.curl("http://web.demo/")
    status = online.status()
    assert status["user_daemon"]["status"] == "Connected"
    assert status["user_daemon"]["manager_namespace"] == "ambassador"
    assert len(status["root_daemon"]["subnets"]) >= 2
    assert status["root_daemon"]["dns"]["cluster"] > 0
    assert status["root_daemon"]["traffic"]["connections"] > 0
    assert status["traffic_manager"]["carrier"] in ("services/proxy", "port-forward")
    assert status["traffic_manager"]["version"] == status["user_daemon"]["version"]
    # A manager that has just started reads its own pod first.
    wait_for("the agents' image", lambda: "traffic_agent" in online.status()["traffic_manager"])
    versions = online.telepresence("version").stdout.splitlines()
    assert [line.split(":")[0].strip() for line in versions] == [
        "Client", "Root Daemon", "User Daemon", "Traffic Manager", "Traffic Agent",
    ]
    assert len({line.split(": ")[1] for line in versions[:-1]}) == 1
    image = cluster.pods("ambassador", "traffic-manager")[0]["spec"]["containers"][0]["image"]
    assert versions[-1] == f"Traffic Agent  : {image}"
    assert f"\n  Traffic Agent     : {image}\n" in online.telepresence("status").stdout


def test_list_shows_workloads_and_hides_the_manager(online):
    assert online.telepresence("list", "-n", "demo").stdout == (
        "web: ready to intercept (traffic-agent not yet installed)\n"
    )
    document = json.loads(online.telepresence("list", "-n", "demo", "--output", "json").stdout)
    assert [(one["kind"], one["name"]) for one in document["stdout"]] == [("Deployment", "web")]
    assert "traffic-manager" not in online.telepresence("list", "-n", "ambassador").stdout
    assert "No Workloads" in online.telepresence("list", "-n", "default").stdout


def test_ping_reaches_pods_and_only_pods(online, cluster):
    pod = cluster.pod_ip()
    assert "3 received" in online.run("ping", "-c", "3", "-i", "0.2", "-W", "10", pod).stdout
    absent = pod.rsplit(".", 1)[0] + ".253"
    assert online.run("ping", "-c", "1", "-W", "2", absent, check=False).returncode == 1


def test_udp_reaches_the_cluster(online, cluster):
    dns = cluster.get("service", "-n", "kube-system", "kube-dns")["spec"]["clusterIP"]
    name = "web.demo.svc.cluster.local"
    assert online.run("dig", "+short", f"@{dns}", name).stdout.strip() == cluster.cluster_ip()
    started = online.run("dig", "+time=10", "-p", "9", f"@{cluster.pod_ip()}", name, check=False)
    assert "refused" in started.stdout


def test_never_proxy_and_also_proxy_decide(laptop, cluster):
    pod = cluster.pod_ip()
    laptop.connect("--never-proxy", f"{pod}/32", "--also-proxy", "198.51.100.0/24")
    device = laptop.status()["root_daemon"]["device"]
    assert f"dev {device}" not in laptop.run("ip", "route", "get", pod).stdout
    assert f"dev {device}" in laptop.run("ip", "route", "get", "198.51.100.7").stdout
    assert laptop.curl(f"http://{cluster.cluster_ip()}/")


def test_services_may_be_left_out(laptop, cluster):
    """What connect tries at its end is not reached then, nor has it to be."""
    services = str(ipaddress.ip_network(f"{cluster.cluster_ip()}/16", strict=False))
    laptop.connect("--never-proxy", services)
    assert services not in laptop.status()["root_daemon"]["subnets"]
    assert laptop.curl(f"http://{cluster.pod_ip()}:8080/")


def test_overlapping_route_is_named_and_nothing_is_left(laptop, cluster):
    subnet = cluster.cluster_ip().rsplit(".", 1)[0] + ".0/24"
    laptop.run("ip", "route", "add", subnet, "dev", "eth0")
    try:
        done = laptop.telepresence("connect", check=False)
    finally:
        laptop.run("ip", "route", "del", subnet)
    assert done.returncode == 6, done.stderr
    assert "overlaps with existing route" in done.stderr and f"{subnet} dev eth0" in done.stderr
    assert "--never-proxy" in done.stderr
    assert set(laptop.daemons()) <= {"userd"}


def test_device_that_is_taken_away_ends_the_connection(connected):
    device = connected.status()["root_daemon"]["device"]
    connected.run("ip", "link", "del", device)
    wait_for("disconnected", lambda: connected.status()["user_daemon"]["status"] == "Not connected")
    connected.connect()
    assert connected.curl("http://web.demo/")


def test_a_root_daemon_that_was_just_ending_is_started_again(laptop, tmp_path):
    """Whoever is asked to start one finds one that is there, and that has ended a moment later."""
    built = ROOT / "build/release/src/client"
    shutil.copy(built / "telepresence", tmp_path)
    rootd = tmp_path / "telepresence-rootd"
    rootd.write_text(
        f'#!/bin/sh\n[ -e {tmp_path}/seen ] || {{ touch {tmp_path}/seen; exit 6; }}\nexec {built}/rootd/telepresence-rootd "$@"\n'
    )
    rootd.chmod(0o755)
    done = laptop.run(tmp_path / "telepresence", "connect")
    assert done.stderr.count("Launching Telepresence Root Daemon") == 2
    assert laptop.curl("http://web.demo/")


@pytest.fixture
def folder():
    """Not below pytest's own: another pytest that starts takes others' rights there away."""
    with tempfile.TemporaryDirectory(prefix="tp-person-") as path:
        os.chmod(path, 0o711)
        yield pathlib.Path(path)


@pytest.fixture
def person(laptop, cluster, folder):
    """Runs commands on the laptop as `nobody`, who has the role telepresence-user, and who may start the root daemon by
    sudo without a password; the sudoers file is this test's own, in a mount namespace of its own."""
    programs = folder / "bin"
    programs.mkdir()
    for name in ("telepresence", "rootd/telepresence-rootd"):
        shutil.copy(ROOT / "build/release/src/client" / name, programs)
    kubeconfig = folder / "config"
    run([ROOT / "scripts/cluster", "kubeconfig", "--cluster", cluster.name, "--user", "person", "--output", kubeconfig])
    os.chown(kubeconfig, NOBODY.pw_uid, NOBODY.pw_gid)
    home = folder / "home"
    home.mkdir()
    os.chown(home, NOBODY.pw_uid, NOBODY.pw_gid)
    sudoers = folder / "sudoers"
    rootd = f"{programs}/telepresence-rootd --uid {NOBODY.pw_uid} --background"
    sudoers.write_text(f"root ALL=(ALL:ALL) ALL\nnobody ALL=(root) NOPASSWD: {rootd}\n")
    sudoers.chmod(0o440)
    strict = folder / "strict"
    strict.write_text("root ALL=(ALL:ALL) ALL\n")
    strict.chmod(0o440)

    def call(*argv, check=True, may=True, path="/usr/bin:/bin"):
        inner = [
            "setpriv", "--reuid", NOBODY.pw_uid, "--regid", NOBODY.pw_gid, "--clear-groups", "env",
            f"HOME={home}", f"XDG_CACHE_HOME={home}", f"KUBECONFIG={kubeconfig}", f"PATH={programs}:{path}", *argv,
        ]
        script = f'mount --bind {sudoers if may else strict} /etc/sudoers && exec "$@"'
        # Without a terminal to ask at.
        return run(["unshare", "-m", "setsid", "-w", "sh", "-c", script, "sh", *laptop.prefix, *inner], check=check)

    yield call
    call("telepresence", "quit", "-s", check=False)
    cluster.kubectl("-n", "ambassador", "delete", "rolebinding", "person", "--ignore-not-found")


def test_a_sudo_that_refuses_is_named_and_so_is_what_to_do(person):
    done = person("telepresence", "connect", check=False, may=False)
    assert done.returncode == 8 and "sudo does not start the root daemon: sudo: " in done.stderr, done.stderr
    assert "USER ALL=(root) NOPASSWD: /" in done.stderr
    done = person("telepresence", "connect", check=False, path="/nonexistent")
    assert done.returncode == 8 and "there is no sudo here: run this command as root" in done.stderr, done.stderr


def test_person_without_root_connects_by_sudo(person, connected, cluster):
    connected.stop()
    refused = person("telepresence", "connect", check=False)
    assert refused.returncode == 8, refused.stderr
    assert "telepresence-user" in refused.stderr
    cluster.kubectl(
        "-n", "ambassador", "create", "rolebinding", "person", "--clusterrole=telepresence-user", "--user=person"
    )
    cluster.let("person", ("create", "sessions.telepresence.io", "ambassador"))
    done = person("telepresence", "connect")
    assert "Launching Telepresence Root Daemon" in done.stderr and "sudo" in done.stderr
    assert person("curl", "-sS", "--max-time", "10", "http://web.demo/").stdout.startswith("hello from pod web-")
    processes = subprocess.run(["ps", "-eo", "uid=,comm="], capture_output=True, text=True, check=True).stdout
    owners = {name: int(uid) for uid, name in (line.split(None, 1) for line in processes.splitlines())}
    assert owners["telepresence-ro"] == 0
    # Root's own command line on the same laptop sees nothing of it.
    assert "has not been started" in connected.telepresence("status").stdout
