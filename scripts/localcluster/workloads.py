# SPDX-License-Identifier: Apache-2.0
"""workloads - Kubernetes objects for tests and benchmarks"""

import json

from .stock import BUSYBOX

RBAC = "rbac.authorization.k8s.io"
# A user may come by port-forward and by nothing else.
FORWARD_RULES = [
    {
        "apiGroups": ["telepresence.io"],
        "resources": ["sessions"],
        "verbs": ["create", "get", "list", "watch", "delete"],
    },
    {"apiGroups": [""], "resources": ["services"], "verbs": ["get"]},
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]},
    {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["get", "list"]},
    {"apiGroups": [""], "resources": ["pods/portforward"], "verbs": ["create"]},
]


def listed(*objects):
    """All of them, as `kubectl apply -f -` reads them."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})


def namespace(name):
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def container(name, port=None, image=BUSYBOX, **more):
    """Sleeps unless more says otherwise."""
    made = {"name": name, "image": image, "imagePullPolicy": "IfNotPresent", **more}
    if image == BUSYBOX:
        made.setdefault("command", ["sleep", "86400"])
    if port:
        made["ports"] = [{"name": "main", "containerPort": port}]
    return made


def _pod_spec(one):
    return {"terminationGracePeriodSeconds": 0, "containers": [one]}


def pod(where, one):
    """A bare pod, called as its container is."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": one["name"], "namespace": where, "labels": {"app": one["name"]}},
        "spec": _pod_spec(one),
    }


def deployment(where, replicas, one):
    """Called as its container is."""
    labels = {"app": one["name"]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": one["name"], "namespace": where},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": _pod_spec(one)},
        },
    }


def service(where, app, port, target, **more):
    """Called as the app is; more says more of its port."""
    ports = [{"port": port, "targetPort": target, **more}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": app, "namespace": where},
        "spec": {"selector": {"app": app}, "ports": ports},
    }


def binding(where, user, role=None, rules=()):
    """For a user: a ClusterRole that exists, or one of these rules; in a namespace, or (None) everywhere."""
    scope = "" if where else "Cluster"
    meta = {"name": user, "namespace": where} if where else {"name": user}
    made = {
        "apiVersion": f"{RBAC}/v1",
        "kind": f"{scope}RoleBinding",
        "metadata": meta,
        "roleRef": {
            "apiGroup": RBAC,
            "kind": "ClusterRole" if role else f"{scope}Role",
            "name": role or user,
        },
        "subjects": [{"apiGroup": RBAC, "kind": "User", "name": user}],
    }
    if role:
        return [made]
    own = {
        "apiVersion": f"{RBAC}/v1",
        "kind": f"{scope}Role",
        "metadata": meta,
        "rules": list(rules),
    }
    return [own, made]
