# SPDX-License-Identifier: Apache-2.0
"""What the API server has, asked without kubectl: that costs a fifth of a second of processor, and waiting is looking often."""

import http.client
import json
import ssl
import urllib.parse

from localcluster import plan
from nets import Net

PORT = 6443
REVIEWS = "authorization.k8s.io/v1"
CORE, OURS = "/api/v1", "/apis/telepresence.io/v1alpha1"
ROOTS = {
    "pods": CORE,
    "services": CORE,
    "namespaces": CORE,
    "nodes": CORE,
    "replicasets": "/apis/apps/v1",
    "sessions.telepresence.io": OURS,
    "intercepts.telepresence.io": OURS,
    "sessions": OURS,
    "intercepts": OURS,
}


class Api:
    """The administrator's; from the network that kubectl is run in."""

    def __init__(self, name):
        the_plan = plan.get(name)
        self.net = Net(f"/run/netns/{the_plan.netns('wan')}")
        self.address = the_plan.nodes[0].addresses[0]
        pki = the_plan.admin_kubeconfig.parent
        self.tls = ssl.create_default_context(cafile=pki / "ca.crt")
        self.tls.load_cert_chain(pki / "admin.crt", pki / "admin.key")

    def request(self, method, path, body=None):
        connection = http.client.HTTPConnection(str(self.address), PORT)
        try:
            plain = self.net.connect(self.address, PORT, timeout=60)
            connection.sock = self.tls.wrap_socket(plain, server_hostname=str(self.address))
            headers = {"Content-Type": "application/json"}
            connection.request(method, path, body and json.dumps(body), headers if body else {})
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        assert answer.status in (200, 201), f"{path}: {answer.status} {text.decode(errors='replace')}"
        return json.loads(text)

    def get(self, path):
        return self.request("GET", path)

    def allows(self, user, verb, resource, namespace):
        """What a user may do by now: rights that were just given or taken count a moment later."""
        kind, _, part = resource.partition("/")
        name, _, group = kind.partition(".")
        asked = {"verb": verb, "group": group, "resource": name, "subresource": part, "namespace": namespace}
        review = {"apiVersion": REVIEWS, "kind": "SubjectAccessReview", "spec": {"user": user, "resourceAttributes": asked}}
        return self.request("POST", f"/apis/{REVIEWS}/subjectaccessreviews", review)["status"]["allowed"]


def path_of(words):
    """Where the answer to `kubectl get WORDS` is; None for what it takes more to know."""
    names, namespace, query, words = [], None, "", list(words)
    while words:
        word = words.pop(0)
        if word == "-n":
            namespace = words.pop(0)
        elif word == "-l":
            query = "?" + urllib.parse.urlencode({"labelSelector": words.pop(0)})
        elif word != "-A":
            names.append(word)
    kind = names[0] if names[0] in ROOTS else f"{names[0]}s"
    if kind not in ROOTS or len(names) > 2:
        return None
    within = f"/namespaces/{namespace}" if namespace else ""
    return "/".join([ROOTS[kind] + within, kind.partition(".")[0], *names[1:]]) + query
