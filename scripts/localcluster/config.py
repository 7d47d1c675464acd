# SPDX-License-Identifier: Apache-2.0
"""config - the configuration files of a node's components

Many settings here cannot be left out on a small machine: no CAP_SYS_RESOURCE (no lower OOM scores,
no higher file limits), cgroup version 1, no AppArmor, little disk. JSON is YAML.
"""

import json

from .shell import write_file
from .stock import PAUSE

CONTAINERD = """\
version = 2
root = "{dir}/containerd"
state = "/run/containerd"
oom_score = 0
disabled_plugins = [{disabled}]
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "{dir}/containerd/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  disable_apparmor = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{dir}/cni"
"""
# Each needs a kernel feature or a disk layout of its own and only logs errors without it.
SNAPSHOTTERS_LEFT_OUT = ("btrfs", "zfs", "devmapper", "aufs")


def _containerd(node):
    disabled = [f'"io.containerd.snapshotter.v1.{name}"' for name in SNAPSHOTTERS_LEFT_OUT]
    return CONTAINERD.format(dir=node.dir, pause=PAUSE, disabled=", ".join(disabled))


def _cni(node):
    # ptp, not bridge: with bridge-nf a bridge breaks TPROXY in pods. Masquerading is the node's own
    # rule (network.py), because the plugin's would hide pod addresses from pods of other nodes.
    default_routes = [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}][: len(node.pod_nets)]
    ipam = {
        "type": "host-local",
        "dataDir": "/run/cni-addresses",
        "ranges": [[{"subnet": str(net)}] for net in node.pod_nets],
        "routes": default_routes,
    }
    plugins = [
        {"type": "ptp", "ipMasq": False, "mtu": 1500, "ipam": ipam},
        {"type": "portmap", "capabilities": {"portMappings": True}, "snat": True},
    ]
    return {"cniVersion": "1.0.0", "name": "nodenet", "plugins": plugins}


def _kubelet(node):
    cluster = node.cluster
    pki = cluster.dir / "pki"
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "cgroupDriver": "cgroupfs",
        "failCgroupV1": False,
        "failSwapOn": False,
        "oomScoreAdj": 0,
        "maxOpenFiles": 20000,
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "podLogsDir": str(node.dir / "pod-logs"),
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "evictionHard": {
            "memory.available": "100Mi",
            "nodefs.available": "0%",
            "nodefs.inodesFree": "0%",
            "imagefs.available": "0%",
        },
        "resolvConf": str(node.dir / "resolv.conf"),
        "clusterDNS": [str(cluster.dns_service)],
        "clusterDomain": "cluster.local",
        "authentication": {
            "x509": {"clientCAFile": str(pki / "ca.crt")},
            "webhook": {"enabled": True},
            "anonymous": {"enabled": False},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(pki / f"{node.name}-server.crt"),
        "tlsPrivateKeyFile": str(pki / f"{node.name}-server.key"),
        "syncFrequency": "10s",
        "nodeStatusUpdateFrequency": "5s",
        # What tests kill again and again is not held back for minutes.
        "crashLoopBackOff": {"maxContainerRestartPeriod": "1s"},
    }


def _proxy(node):
    cluster = node.cluster
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clientConnection": {"kubeconfig": str(cluster.dir / "pki" / "proxy.conf")},
        "clusterCIDR": ",".join(str(net) for net in cluster.pod_nets),
        "conntrack": {"maxPerCore": 0, "min": 0},
        "oomScoreAdj": 0,
    }


def node_object(node):
    """The Node that is created before its kubelet starts, so that the pod network is as planned."""
    nets = [str(net) for net in node.pod_nets]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": node.name},
        "spec": {"podCIDR": nets[0], "podCIDRs": nets},
    }


def write(node):
    for folder in ("log", "pids", "cni", "pod-logs", "kubelet", "containerd"):
        (node.dir / folder).mkdir(parents=True)
    resolver = node.cluster.node_nets[0][1]
    write_file(node.dir / "resolv.conf", f"nameserver {resolver}\n")
    write_file(node.dir / "containerd.toml", _containerd(node))
    write_file(node.dir / "cni" / "10-ptp.conflist", json.dumps(_cni(node)))
    write_file(node.dir / "kubelet.json", json.dumps(_kubelet(node)))
    write_file(node.dir / "proxy.json", json.dumps(_proxy(node)))
