# SPDX-License-Identifier: Apache-2.0
"""The traffic-manager's Deployment: other settings for a while, and a pod that never crashed."""

import contextlib

NAME, NAMESPACE = "deployment/traffic-manager", "ambassador"


def rolled_out(cluster, name=NAME, namespace=NAMESPACE):
    cluster.kubectl("-n", namespace, "rollout", "status", name, "--timeout=60s")


def roll_out(cluster, name=NAME, namespace=NAMESPACE):
    """Another pod, of the same settings; returns when it serves."""
    cluster.kubectl("-n", namespace, "rollout", "restart", name)
    rolled_out(cluster, name, namespace)


@contextlib.contextmanager
def setting(cluster, variable, value):
    """The manager with this variable of its environment."""

    def configure(text):
        cluster.kubectl("-n", NAMESPACE, "set", "env", NAME, text)
        rolled_out(cluster)

    configure(f"{variable}={value}")
    try:
        yield
    finally:
        configure(f"{variable}-")


def without_a_past(cluster, name=NAME, namespace=NAMESPACE):
    """Makes other pods where one has crashed, which would be held back for longer each time; whether it did."""
    app = cluster.get("-n", namespace, name)["spec"]["selector"]["matchLabels"]
    labels = ",".join(f"{key}={value}" for key, value in app.items())
    pods = cluster.get("pods", "-n", namespace, "-l", labels)["items"]
    crashed = any(one["restartCount"] > 0 for pod in pods for one in pod["status"]["containerStatuses"])
    if crashed:
        roll_out(cluster, name, namespace)
    return crashed


def logs(cluster):
    """What the manager that runs has said."""
    return cluster.kubectl("-n", NAMESPACE, "logs", NAME)
