# SPDX-License-Identifier: Apache-2.0
"""The traffic-manager's Deployment: other settings for a while, another pod, and what it says."""

import contextlib
import datetime
import json

NAME, NAMESPACE = "deployment/traffic-manager", "ambassador"


KINDS = "namespaces,crd,clusterroles,clusterrolebindings,validatingadmissionpolicies,validatingadmissionpolicybindings"
OURS = ("telepresence", "ambassador", "traffic")


def installed(cluster):
    """What an installation has put into the whole cluster, by kind and name."""
    names = cluster.kubectl("get", KINDS, "-o", "name").split()
    return [name for name in names if any(word in name for word in OURS)]


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


def logs(cluster, *args):
    """What the manager that runs has said."""
    return cluster.kubectl("-n", NAMESPACE, "logs", NAME, *args, check=False)


def placed(cluster):
    """When each agent was placed, on the clock of time.time(), by its pod and its name; of two managers at most."""
    found = {}
    for line in (logs(cluster, "--previous") + logs(cluster)).splitlines():
        with contextlib.suppress(ValueError, KeyError):
            entry = json.loads(line)
            if entry["msg"] == "agent placed":
                fields = dict(field.split("=", 1) for field in entry["fields"].split())
                moment = datetime.datetime.fromisoformat(entry["time"].replace("Z", "+00:00")).timestamp()
                found[fields["pod"].partition("/")[2], fields["agent"]] = moment
    return found
