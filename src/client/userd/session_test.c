/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last step of connect: a program of this system finds and reaches the cluster, or it is said
 * why not, by what came to the resolver and to the device.
 */
#include <errno.h>
#include <stdio.h>

#include "client/userd/network.h"
#include "client/userd/selftest.h"
#include "client/userd/session_priv.h"
#include "client/userd/session_steps.h"
#include "resolv/resolvconf.h"

/* Every cluster has it, and nobody else answers it. */
#define TEST_NAME "kubernetes.default.svc"

/* Nothing came to our resolver: whom did this system ask? */
static const char *name_unasked(struct err *err)
{
	struct resolv_conf conf = {.zoned = false};

	(void)!resolv_conf_read(NULL, &conf, NULL);
	if (conf.zoned) {
		err_set(err, -ENOENT, ERR_UNSUPPORTED,
			"/etc/resolv.conf has a link-local nameserver with a zone "
			"(fe80::...%%...), "
			"whose queries cannot be redirected");
		return "Let resolv.conf name it by another address, or another one before it, or "
		       "use systemd-resolved";
	}
	if (conf.unusable) {
		err_set(err, -ENOENT, ERR_CONFIG,
			"/etc/resolv.conf has no nameserver that can be asked, "
			"but a link-local one without its zone, or a multicast address");
		return "Correct the nameserver line of /etc/resolv.conf";
	}
	err_set(err, -ENOENT, ERR_UNSUPPORTED,
		"this system's resolver did not ask the nameserver of /etc/resolv.conf "
		"for " TEST_NAME);
	return "Look at the hosts line of /etc/nsswitch.conf, for a local cache (nscd) or another "
	       "resolver, and for a firewall that drops what this machine sends to itself (lo)";
}

/* The name was not found, or not in time. */
static const char *name_not_found(const struct network_proof *proof, int r, struct err *err)
{
	if (proof->queries == 0)
		return name_unasked(err);
	if (r == -ETIMEDOUT && proof->failed == 0 && proof->waiting == 0) {
		err_set(err, r, ERR_UNREACHABLE,
			TEST_NAME " is answered, but no answer gets to who asks "
				  "(%llu queries)",
			(unsigned long long)proof->queries);
		return "Does a firewall of this machine drop what it sends to itself? Allow the "
		       "device lo, both ways";
	}
	err_set(err, r, ERR_UNREACHABLE,
		"the cluster's DNS %s for " TEST_NAME " (%llu queries, %llu failed)",
		r == -ETIMEDOUT ? "did not answer" : "has no address",
		(unsigned long long)proof->queries, (unsigned long long)proof->failed);
	return "See whether the cluster's DNS runs: kubectl -n kube-system get pods "
	       "-l k8s-app=kube-dns";
}

/* Found, but not connected to. */
static const char *name_unreached(struct session *session, const struct network_proof *proof, int r,
	char hint[static ERR_MSG_BYTES], struct err *err)
{
	const char *device = network_device(session->network);

	if (network_stray(session->network, err) < 0)
		return "Let the VPN or tool that has made the rule leave that subnet out, or put "
		       "its rule behind the main table's (ip rule show)";
	err_set(err, r, ERR_UNREACHABLE, "%s",
		r != -ECONNREFUSED ? TEST_NAME " is found, but no connection to it is established"
				   : TEST_NAME
			" is found, but the connection to it is refused by this "
			"machine itself");
	(void)snprintf(hint, ERR_MSG_BYTES,
		"Does a firewall of this machine (ufw, firewalld) drop new connections? Allow the "
		"device, for example: ufw allow %s on %s%s",
		proof->connections > 0 ? "in" : "out", device,
		proof->connections > 0 ? ". Else see whether pods reach the API server" : "");
	return hint;
}

static void on_tested(void *user, int r)
{
	struct session *session = user;
	struct network_proof proof;
	char text[ERR_MSG_BYTES];
	struct err err = ERR_INIT;
	const char *hint = NULL;
	bool unreached;

	session->test = NULL;
	network_prove(session->network, &session->info, &proof);
	unreached = r == -EHOSTUNREACH || r == -ECONNREFUSED;
	/* Refused is an answer, too, if it comes through the tunnel: packets get through. What is
	 * left out is not ours to reach. */
	if (r == 0 || (r == -ECONNREFUSED && proof.connections > 0) ||
		(unreached && proof.connections == 0 && proof.left_out)) {
		session_enter(session, SESSION_CONNECTED);
		return;
	}
	if (unreached)
		hint = name_unreached(session, &proof, r, text, &err);
	else if (r == -ENOENT || r == -ETIMEDOUT)
		hint = name_not_found(&proof, r, &err);
	else
		err_set_errno(&err, r, "the DNS self-test could not be run");
	session_fail(session, &err, hint);
}

void session_test(struct session *session)
{
	session_say(session, "Looking up and connecting to %s as any program does", TEST_NAME);
	session->test = selftest_start(session->loop, TEST_NAME, on_tested, session);
}
