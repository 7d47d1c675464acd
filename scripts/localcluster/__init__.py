# SPDX-License-Identifier: Apache-2.0
"""A real Kubernetes cluster on this machine, in namespaces of its own, with a laptop beside it.

Reading order: plan (names and addresses of one cluster), lifecycle (up and down), supervisor (a
node's pid 1), components (what runs on a node), network and laptop (what it hangs on).
Needs Debian's python3 and its standard library only.
"""
