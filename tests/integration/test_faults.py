# SPDX-License-Identifier: Apache-2.0
"""Whatever is killed, nothing is left behind and the next connect works."""

import contextlib
import os
import random
import signal
import subprocess

import pytest

from conftest import LONG, wait_for

ROUNDS = 20 if LONG else 3


@pytest.fixture
def traffic(laptop, cluster):
    """A download that never ends by itself, so that a kill comes while traffic flows."""
    started = []

    def start():
        url = f"http://{cluster.cluster_ip()}/"
        script = f"while :; do curl -s --max-time 5 -o /dev/null {url}; done"
        started.append(laptop.popen("sh", "-c", script, start_new_session=True))

    yield start
    for process in started:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.parametrize("victim", ["userd", "rootd"])
def test_killed_daemon_leaves_nothing(laptop, traffic, victim):
    laptop.stop()
    before = laptop.snapshot()
    for _ in range(ROUNDS):
        laptop.connect()
        traffic()
        assert laptop.curl("http://web.demo/")
        os.kill(laptop.daemons()[victim], signal.SIGKILL)
        laptop.assert_as(before)
    laptop.connect()
    assert laptop.curl("http://web.demo/")


def kill_daemons(laptop):
    for pid in laptop.daemons().values():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_kill_in_the_middle_of_connect(laptop):
    before = laptop.snapshot()
    for _ in range(ROUNDS):
        connecting = laptop.popen("telepresence", "connect")
        with contextlib.suppress(subprocess.TimeoutExpired):
            connecting.wait(random.uniform(0.05, 0.6))
        kill_daemons(laptop)
        connecting.wait(60)
        # On a slow machine there was nobody yet.
        kill_daemons(laptop)
        laptop.assert_as(before)
    laptop.connect()
    assert laptop.curl("http://web.demo/")


def reaches(laptop):
    return laptop.run("curl", "-s", "--max-time", "5", "http://web.demo/", check=False).returncode == 0


def test_killed_manager_comes_back_by_itself(connected, cluster):
    before = cluster.manager_pod()["status"]["containerStatuses"][0]["restartCount"]
    os.kill(cluster.manager_pid(), signal.SIGKILL)
    wait_for(
        "manager restarted",
        lambda: cluster.manager_pod()["status"]["containerStatuses"][0]["restartCount"] > before,
        60,
    )
    wait_for("new connections work again", lambda: reaches(connected))


def test_deleted_manager_pod_comes_back_by_itself(connected, cluster):
    cluster.kubectl("-n", "ambassador", "delete", "pod", "-l", "app=traffic-manager", "--wait=false")
    wait_for("new connections work again", lambda: reaches(connected))


def test_other_names_resolve_while_the_manager_is_gone(connected, cluster):
    cluster.kubectl("-n", "ambassador", "scale", "deployment/traffic-manager", "--replicas=0")
    try:
        wait_for("manager gone", lambda: cluster.manager_pod() is None)
        assert connected.run("getent", "hosts", "www.example.com").stdout
    finally:
        cluster.kubectl("-n", "ambassador", "scale", "deployment/traffic-manager", "--replicas=1")
    wait_for("new connections work again", lambda: reaches(connected))


def test_killed_api_server_is_survived(connected, cluster):
    os.kill(cluster.component_pid("kube-apiserver"), signal.SIGKILL)
    wait_for("new connections work again", lambda: reaches(connected))


def session_names(cluster):
    return {one["metadata"]["name"] for one in cluster.get("sessions.telepresence.io", "-n", "ambassador")["items"]}


def test_deleted_session_is_replaced(connected, cluster):
    name = connected.status()["user_daemon"]["session"]
    assert name in session_names(cluster)
    cluster.kubectl("-n", "ambassador", "delete", "sessions.telepresence.io", name)
    wait_for(
        "a session of its own again, and traffic",
        lambda: connected.status()["user_daemon"].get("session", name) != name and reaches(connected),
        60,
    )
    assert name not in session_names(cluster)


def test_quit_deletes_the_session(connected, cluster):
    name = connected.status()["user_daemon"]["session"]
    assert name in session_names(cluster)
    connected.telepresence("quit")
    assert name not in session_names(cluster)
