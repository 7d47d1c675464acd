# SPDX-License-Identifier: Apache-2.0
"""pki - the cluster's certificate authorities, its certificates, and kubeconfig files"""

import base64
import re

from .shell import Failure, run, write_file

ADMIN_GROUP = "system:masters"
# What may stand in a certificate's subject without being taken for its syntax.
SUBJECT_PART = re.compile(r"[A-Za-z0-9:._@-]{1,64}")

KUBECONFIG = """\
apiVersion: v1
kind: Config
clusters:
- name: {cluster}
  cluster:
    server: {server}
    certificate-authority-data: {ca}
users:
- name: {user}
  user:
    client-certificate-data: {cert}
    client-key-data: {key}
contexts:
- name: {cluster}
  context:
    cluster: {cluster}
    user: {user}
current-context: {cluster}
"""


def _new_key(path):
    run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", path])
    path.chmod(0o600)


def _authority(folder, name, common_name):
    _new_key(folder / f"{name}.key")
    run(
        ["openssl", "req", "-x509", "-new", "-days", "365", "-subj", f"/CN={common_name}"]
        + ["-key", folder / f"{name}.key", "-out", folder / f"{name}.crt"]
    )


def certificate(folder, name, user, groups=(), alt_names=(), usage="clientAuth", ca="ca"):
    """Makes folder/NAME.key and folder/NAME.crt; the authority is in the folder, or elsewhere by its whole path."""
    for part in (user, *groups):
        if not SUBJECT_PART.fullmatch(part):
            raise Failure(f"{part!r} cannot be a user or group: letters, digits and : . _ @ - only")
    subject = "".join(f"/O={group}" for group in groups) + f"/CN={user}"
    key = folder / f"{name}.key"
    _new_key(key)
    request = run(["openssl", "req", "-new", "-key", key, "-subj", subject])
    extensions = f"extendedKeyUsage={usage}\n"
    if alt_names:
        extensions += f"subjectAltName={','.join(alt_names)}\n"
    write_file(folder / f"{name}.ext", extensions)
    run(
        ["openssl", "x509", "-req", "-days", "365", "-CA", folder / f"{ca}.crt"]
        + ["-CAkey", folder / f"{ca}.key", "-extfile", folder / f"{name}.ext"]
        + ["-out", folder / f"{name}.crt"],
        stdin=request,
    )
    (folder / f"{name}.ext").unlink()


def kubeconfig(plan, folder, name, user):
    """The text of a kubeconfig for the certificate folder/NAME.crt."""

    def embed(path):
        return base64.b64encode(path.read_bytes()).decode()

    return KUBECONFIG.format(
        cluster=plan.name,
        server=plan.server,
        user=user,
        ca=embed(plan.dir / "pki" / "ca.crt"),
        cert=embed(folder / f"{name}.crt"),
        key=embed(folder / f"{name}.key"),
    )


def user_kubeconfig(plan, user, groups):
    """Makes (or makes again) a certificate user; returns the path of its kubeconfig."""
    folder = plan.dir / "users"
    folder.mkdir(mode=0o700, exist_ok=True)
    # No file of the authority may lie in this folder: a user may have any name.
    certificate(folder, user, user, groups, ca=plan.dir / "pki" / "ca")
    path = folder / f"{user}.conf"
    write_file(path, kubeconfig(plan, folder, user, user), 0o600)
    return path


def _client(plan, name, user, groups=()):
    folder = plan.dir / "pki"
    certificate(folder, name, user, groups)
    write_file(folder / f"{name}.conf", kubeconfig(plan, folder, name, user), 0o600)


def make_all(plan):
    """Everything the components of a new cluster need, in the folder pki."""
    folder = plan.dir / "pki"
    folder.mkdir(mode=0o700)
    _authority(folder, "ca", "kubernetes")
    _authority(folder, "proxy-ca", "front-proxy")
    _new_key(folder / "sa.key")
    run(["openssl", "ec", "-in", folder / "sa.key", "-pubout", "-out", folder / "sa.pub"])
    control = plan.nodes[0]
    names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost"]
    names.append("kubernetes.default.svc.cluster.local")
    alt_names = [f"DNS:{name}" for name in names] + ["IP:127.0.0.1"]
    alt_names += [f"IP:{net[1]}" for net in plan.service_nets]
    alt_names += [f"IP:{address}" for address in control.addresses]
    certificate(folder, "apiserver", "kube-apiserver", (), alt_names, "serverAuth")
    certificate(folder, "apiserver-kubelet", "kube-apiserver-kubelet-client", (ADMIN_GROUP,))
    certificate(folder, "front-proxy", "front-proxy-client", ca="proxy-ca")
    _client(plan, "admin", "admin", (ADMIN_GROUP,))
    _client(plan, "controller-manager", "system:kube-controller-manager")
    _client(plan, "scheduler", "system:kube-scheduler")
    _client(plan, "proxy", "system:kube-proxy")
    for node in plan.nodes:
        alt_names = [f"DNS:{node.name}"] + [f"IP:{address}" for address in node.addresses]
        certificate(folder, f"{node.name}-server", node.name, (), alt_names, "serverAuth")
        _client(plan, node.name, f"system:node:{node.name}", ("system:nodes",))
