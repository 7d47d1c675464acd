# SPDX-License-Identifier: Apache-2.0
"""components - the programs of a node, in the order they start, and what each waits for"""

CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
EVERY_NODE = ("containerd", "kubelet", "kube-proxy")


def _both(networks):
    return ",".join(str(item) for item in networks)


def _etcd(bin_dir, node):
    client, peer = "http://127.0.0.1:2379", "http://127.0.0.1:2380"
    return [
        f"{bin_dir}/etcd",
        f"--data-dir={node.dir}/etcd",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        "--unsafe-no-fsync",
    ]


def _apiserver(bin_dir, node):
    cluster = node.cluster
    pki = cluster.dir / "pki"
    return [
        f"{bin_dir}/kube-apiserver",
        "--etcd-servers=http://127.0.0.1:2379",
        f"--service-cluster-ip-range={_both(cluster.service_nets)}",
        f"--advertise-address={node.addresses[0]}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged",
        f"--client-ca-file={pki}/ca.crt",
        f"--tls-cert-file={pki}/apiserver.crt",
        f"--tls-private-key-file={pki}/apiserver.key",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={pki}/sa.pub",
        f"--service-account-signing-key-file={pki}/sa.key",
        f"--kubelet-certificate-authority={pki}/ca.crt",
        f"--kubelet-client-certificate={pki}/apiserver-kubelet.crt",
        f"--kubelet-client-key={pki}/apiserver-kubelet.key",
        "--kubelet-preferred-address-types=InternalIP",
        f"--requestheader-client-ca-file={pki}/proxy-ca.crt",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-username-headers=X-Remote-User",
        f"--proxy-client-cert-file={pki}/front-proxy.crt",
        f"--proxy-client-key-file={pki}/front-proxy.key",
        "--enable-aggregator-routing",
    ]


def _controller_manager(bin_dir, node):
    cluster = node.cluster
    pki = cluster.dir / "pki"
    config = f"{pki}/controller-manager.conf"
    argv = [
        f"{bin_dir}/kube-controller-manager",
        f"--kubeconfig={config}",
        f"--authentication-kubeconfig={config}",
        f"--authorization-kubeconfig={config}",
        "--allocate-node-cidrs",
        f"--cluster-cidr={_both(cluster.pod_nets)}",
        f"--service-cluster-ip-range={_both(cluster.service_nets)}",
        f"--service-account-private-key-file={pki}/sa.key",
        f"--root-ca-file={pki}/ca.crt",
        f"--cluster-signing-cert-file={pki}/ca.crt",
        f"--cluster-signing-key-file={pki}/ca.key",
        "--use-service-account-credentials",
        "--leader-elect=false",
    ]
    if cluster.dual_stack:
        argv += ["--node-cidr-mask-size-ipv4=24", "--node-cidr-mask-size-ipv6=64"]
    return argv


def _scheduler(bin_dir, node):
    config = f"{node.cluster.dir}/pki/scheduler.conf"
    return [
        f"{bin_dir}/kube-scheduler",
        f"--kubeconfig={config}",
        f"--authentication-kubeconfig={config}",
        f"--authorization-kubeconfig={config}",
        "--leader-elect=false",
    ]


def _containerd(_, node):
    return ["/usr/bin/containerd", "-c", f"{node.dir}/containerd.toml"]


def _kubelet(bin_dir, node):
    return [
        f"{bin_dir}/kubelet",
        f"--config={node.dir}/kubelet.json",
        f"--kubeconfig={node.cluster.dir}/pki/{node.name}.conf",
        f"--root-dir={node.dir}/kubelet",
        f"--hostname-override={node.name}",
        f"--node-ip={_both(node.addresses)}",
    ]


def _proxy(bin_dir, node):
    return [
        f"{bin_dir}/kube-proxy",
        f"--config={node.dir}/proxy.json",
        f"--hostname-override={node.name}",
    ]


COMMANDS = {
    "containerd": _containerd,
    "etcd": _etcd,
    "kube-apiserver": _apiserver,
    "kube-controller-manager": _controller_manager,
    "kube-scheduler": _scheduler,
    "kubelet": _kubelet,
    "kube-proxy": _proxy,
}


def _gates(name, node):
    """URLs that must answer 200 before the component starts."""
    if name in ("containerd", "etcd", "kube-apiserver"):
        return []
    cluster = node.cluster
    pki = cluster.dir / "pki"
    ready = {"url": f"{cluster.server}/readyz", "ca": f"{pki}/ca.crt"}
    if name != "kubelet":
        return [ready]
    registered = {
        "url": f"{cluster.server}/api/v1/nodes/{node.name}",
        "ca": f"{pki}/ca.crt",
        "cert": f"{pki}/{node.name}.crt",
        "key": f"{pki}/{node.name}.key",
    }
    return [ready, registered]


def names(node):
    if not node.is_control_plane:
        return list(EVERY_NODE)
    return [name for name in COMMANDS if name in CONTROL_PLANE + EVERY_NODE]


def settings(bin_dir, node):
    """What the supervisor needs to know of each component."""
    return [
        {"name": name, "argv": COMMANDS[name](bin_dir, node), "gates": _gates(name, node)}
        for name in names(node)
    ]
