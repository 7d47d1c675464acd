/* SPDX-License-Identifier: Apache-2.0 */
#include "tunnel/errqueue.h"

#include <errno.h>
/* Before linux/errqueue.h, which needs struct timespec. */
#include <time.h>

#include <linux/errqueue.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <string.h>
#include <sys/socket.h>

/* Errors of one socket that are read at once; the kernel keeps no more than its buffer holds. */
#define BATCH 64

void errqueue_enable(int fd, int family)
{
	const int on = 1;

	if (family == AF_INET)
		(void)setsockopt(fd, IPPROTO_IP, IP_RECVERR, &on, sizeof(on));
	else
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_RECVERR, &on, sizeof(on));
}

/* RFC 792, RFC 1122 3.2.2.1, RFC 1812 5.2.7.1. */
static enum reason reason_of_icmp(uint8_t type, uint8_t code)
{
	if (type != ICMP_DEST_UNREACH)
		return REASON_NONE;
	switch (code) {
	case ICMP_NET_UNREACH:
	case ICMP_NET_UNKNOWN:
	case ICMP_NET_UNR_TOS:
		return REASON_NET_UNREACHABLE;
	case ICMP_PORT_UNREACH:
		return REASON_REFUSED;
	case ICMP_FRAG_NEEDED:
		return REASON_NONE;
	case ICMP_NET_ANO:
	case ICMP_HOST_ANO:
	case ICMP_PKT_FILTERED:
	case ICMP_PREC_VIOLATION:
	case ICMP_PREC_CUTOFF:
		return REASON_FORBIDDEN;
	default:
		return REASON_HOST_UNREACHABLE;
	}
}

/* RFC 4443 3.1; 5 and 6: source address failed policy, reject route. */
static enum reason reason_of_icmp6(uint8_t type, uint8_t code)
{
	if (type != ICMP6_DST_UNREACH)
		return REASON_NONE;
	switch (code) {
	case ICMP6_DST_UNREACH_NOROUTE:
		return REASON_NET_UNREACHABLE;
	case ICMP6_DST_UNREACH_ADMIN:
	case 5:
	case 6:
		return REASON_FORBIDDEN;
	case ICMP6_DST_UNREACH_NOPORT:
		return REASON_REFUSED;
	default:
		return REASON_HOST_UNREACHABLE;
	}
}

static enum reason reason_of(const struct sock_extended_err *error)
{
	switch (error->ee_origin) {
	case SO_EE_ORIGIN_ICMP:
		return reason_of_icmp(error->ee_type, error->ee_code);
	case SO_EE_ORIGIN_ICMP6:
		return reason_of_icmp6(error->ee_type, error->ee_code);
	default:
		return error->ee_errno == EMSGSIZE ? REASON_NONE
						   : reason_from_errno((int)error->ee_errno);
	}
}

static enum reason read_one(struct msghdr *msg)
{
	for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg); cmsg; cmsg = CMSG_NXTHDR(msg, cmsg)) {
		struct sock_extended_err error;

		if (!(cmsg->cmsg_level == IPPROTO_IP && cmsg->cmsg_type == IP_RECVERR) &&
			!(cmsg->cmsg_level == IPPROTO_IPV6 && cmsg->cmsg_type == IPV6_RECVERR))
			continue;
		if (cmsg->cmsg_len < CMSG_LEN(sizeof(error)))
			continue;
		memcpy(&error, CMSG_DATA(cmsg), sizeof(error));
		return reason_of(&error);
	}
	return REASON_NONE;
}

enum reason errqueue_take(int fd, bool *ret_any)
{
	enum reason found = REASON_NONE;

	*ret_any = false;
	for (unsigned int i = 0; i < BATCH; i++) {
		/* The error, and the address of who sent it. */
		_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(struct sock_extended_err) +
								 sizeof(struct sockaddr_in6)) +
						      CMSG_SPACE(64)];
		struct msghdr msg = {.msg_control = control, .msg_controllen = sizeof(control)};
		enum reason reason;

		if (recvmsg(fd, &msg, MSG_ERRQUEUE | MSG_DONTWAIT) < 0)
			break;
		*ret_any = true;
		reason = read_one(&msg);
		if (found == REASON_NONE)
			found = reason;
	}
	return found;
}

int errqueue_errno(int fd, int code)
{
	bool any;

	return code == EHOSTUNREACH && errqueue_take(fd, &any) == REASON_FORBIDDEN ? EACCES : code;
}
