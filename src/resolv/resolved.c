/* SPDX-License-Identifier: Apache-2.0 */
#include "resolv/resolved.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "core/alloc.h"
#include "core/err.h"
#include "core/log.h"

#define LIBRARY   "libsystemd.so.0"
#define SERVICE   "org.freedesktop.resolve1"
#define OBJECT    "/org/freedesktop/resolve1"
#define INTERFACE SERVICE ".Manager"
#define BUS       "org.freedesktop.DBus"
#define BUS_PATH  "/org/freedesktop/DBus"
/* Signals handled per wake-up. */
#define PROCESS_MAX 64

/* What sd-bus(3) documents; the library's headers are not needed to build. */
struct sd_bus;
struct sd_bus_message;
struct sd_bus_error {
	const char *name, *message;
	int need_free;
};
typedef int (*sd_bus_message_handler)(
	struct sd_bus_message *message, void *user, struct sd_bus_error *error);

struct sd_bus_calls {
	int (*open_system)(struct sd_bus **ret_bus);
	struct sd_bus *(*flush_close_unref)(struct sd_bus *bus);
	int (*set_method_call_timeout)(struct sd_bus *bus, uint64_t us);
	int (*get_fd)(struct sd_bus *bus);
	int (*process)(struct sd_bus *bus, struct sd_bus_message **ret_message);
	int (*add_match)(struct sd_bus *bus, void **ret_slot, const char *match,
		sd_bus_message_handler handler, void *user);
	int (*call)(struct sd_bus *bus, struct sd_bus_message *message, uint64_t us,
		struct sd_bus_error *error, struct sd_bus_message **ret_reply);
	int (*new_method_call)(struct sd_bus *bus, struct sd_bus_message **ret_message,
		const char *destination, const char *path, const char *interface,
		const char *member);
	int (*append)(struct sd_bus_message *message, const char *types, ...);
	int (*append_array)(
		struct sd_bus_message *message, char type, const void *data, size_t size);
	int (*open_container)(struct sd_bus_message *message, char type, const char *contents);
	int (*close_container)(struct sd_bus_message *message);
	int (*read)(struct sd_bus_message *message, const char *types, ...);
	struct sd_bus_message *(*unref)(struct sd_bus_message *message);
	void (*error_free)(struct sd_bus_error *error);
};

static const struct {
	const char *name;
	size_t offset;
} symbols[] = {
	{"sd_bus_open_system", offsetof(struct sd_bus_calls, open_system)},
	{"sd_bus_flush_close_unref", offsetof(struct sd_bus_calls, flush_close_unref)},
	{"sd_bus_set_method_call_timeout", offsetof(struct sd_bus_calls, set_method_call_timeout)},
	{"sd_bus_get_fd", offsetof(struct sd_bus_calls, get_fd)},
	{"sd_bus_process", offsetof(struct sd_bus_calls, process)},
	{"sd_bus_add_match", offsetof(struct sd_bus_calls, add_match)},
	{"sd_bus_call", offsetof(struct sd_bus_calls, call)},
	{"sd_bus_message_new_method_call", offsetof(struct sd_bus_calls, new_method_call)},
	{"sd_bus_message_append", offsetof(struct sd_bus_calls, append)},
	{"sd_bus_message_append_array", offsetof(struct sd_bus_calls, append_array)},
	{"sd_bus_message_open_container", offsetof(struct sd_bus_calls, open_container)},
	{"sd_bus_message_close_container", offsetof(struct sd_bus_calls, close_container)},
	{"sd_bus_message_read", offsetof(struct sd_bus_calls, read)},
	{"sd_bus_message_unref", offsetof(struct sd_bus_calls, unref)},
	{"sd_bus_error_free", offsetof(struct sd_bus_calls, error_free)},
};

struct resolved {
	struct sd_bus_calls calls;
	struct sd_bus *bus; /* NULL: it has hung up */
	bool came; /* since the last resolved_process() */
	/* What is set; bytes 0: nothing. */
	uint32_t ifindex;
	uint16_t port;
	char *domains;
	size_t bytes;
};

DEFINE_AUTO(resolved, resolved_free);

static int load(struct sd_bus_calls *calls, struct err *err)
{
	/* Stays loaded: the process needs it until its end. */
	void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);

	if (!library)
		return err_set(err, -ENOENT, ERR_UNSUPPORTED, "%s is not there", LIBRARY);
	for (size_t i = 0; i < ARRAY_SIZE(symbols); i++) {
		void *symbol = dlsym(library, symbols[i].name);

		if (!symbol)
			return err_set(err, -ENOENT, ERR_UNSUPPORTED, "%s without %s", LIBRARY,
				symbols[i].name);
		memcpy((char *)calls + symbols[i].offset, &symbol, sizeof(symbol));
	}
	return 0;
}

/* Takes the message. */
static int call(struct resolved *resolved, struct sd_bus_message *message, const char *member,
	struct sd_bus_message **ret_reply, struct err *err)
{
	const struct sd_bus_calls *bus = &resolved->calls;
	struct sd_bus_error error = {.name = NULL};
	int r = bus->call(resolved->bus, message, 0, &error, ret_reply);

	if (r < 0)
		(void)err_set(err, r, ERR_UNSUPPORTED, "%s: %s", member,
			error.message ? error.message : strerror(-r));
	bus->error_free(&error);
	(void)bus->unref(message);
	return r < 0 ? r : 0;
}

static int new_call(
	struct resolved *resolved, const char *member, struct sd_bus_message **ret_message)
{
	if (!resolved->bus)
		return -ENOTCONN;
	return resolved->calls.new_method_call(
		resolved->bus, ret_message, SERVICE, OBJECT, INTERFACE, member);
}

/* Sends what was put together with result r; the message is gone afterwards. */
static int finish(struct resolved *resolved, struct sd_bus_message *message, int r,
	const char *member, struct err *err)
{
	if (r >= 0)
		return call(resolved, message, member, NULL, err);
	if (message)
		(void)resolved->calls.unref(message);
	return err_set_errno(err, r, "%s", member);
}

/* A method of a link and, unless it is NULL, one text or switch. */
static int call_simple(struct resolved *resolved, const char *member, const char *text,
	const int *on, struct err *err)
{
	const struct sd_bus_calls *bus = &resolved->calls;
	struct sd_bus_message *message = NULL;
	int r = new_call(resolved, member, &message);

	if (r >= 0)
		r = bus->append(message, "i", (int)resolved->ifindex);
	if (r >= 0 && text)
		r = bus->append(message, "s", text);
	if (r >= 0 && on)
		r = bus->append(message, "b", *on);
	return finish(resolved, message, r, member, err);
}

/* One server of type (family, address, port, name for TLS). */
static int set_server(struct resolved *resolved, struct err *err)
{
	static const uint8_t loopback[] = {127, 0, 0, 1};
	static const char member[] = "SetLinkDNSEx";
	const struct sd_bus_calls *bus = &resolved->calls;
	struct sd_bus_message *message = NULL;
	int r = new_call(resolved, member, &message);

	if (r >= 0)
		r = bus->append(message, "i", (int)resolved->ifindex);
	if (r >= 0)
		r = bus->open_container(message, 'a', "(iayqs)");
	if (r >= 0)
		r = bus->open_container(message, 'r', "iayqs");
	if (r >= 0)
		r = bus->append(message, "i", AF_INET);
	if (r >= 0)
		r = bus->append_array(message, 'y', loopback, sizeof(loopback));
	if (r >= 0)
		r = bus->append(message, "qs", (int)resolved->port, "");
	if (r >= 0)
		r = bus->close_container(message);
	if (r >= 0)
		r = bus->close_container(message);
	return finish(resolved, message, r, member, err);
}

static int set_domains(struct resolved *resolved, struct err *err)
{
	static const char member[] = "SetLinkDomains";
	const struct sd_bus_calls *bus = &resolved->calls;
	struct sd_bus_message *message = NULL;
	int r = new_call(resolved, member, &message);

	if (r >= 0)
		r = bus->append(message, "i", (int)resolved->ifindex);
	if (r >= 0)
		r = bus->open_container(message, 'a', "(sb)");
	for (size_t at = 0; r >= 0 && at < resolved->bytes;
		at += strlen(resolved->domains + at) + 1) {
		const char *name = resolved->domains + at;
		bool route = *name == '~';

		r = bus->append(message, "(sb)", name + route, (int)route);
	}
	if (r >= 0)
		r = bus->close_container(message);
	return finish(resolved, message, r, member, err);
}

/* The domains last: only then is anything asked over the link. */
static int apply(struct resolved *resolved, struct err *err)
{
	static const char *const off[] = {
		"SetLinkLLMNR", "SetLinkMulticastDNS", "SetLinkDNSSEC", "SetLinkDNSOverTLS"};
	static const int no;
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(off); i++)
		r = call_simple(resolved, off[i], "no", NULL, err);
	if (r == 0)
		r = call_simple(resolved, "SetLinkDefaultRoute", NULL, &no, err);
	if (r == 0)
		r = set_server(resolved, err);
	return r < 0 ? r : set_domains(resolved, err);
}

static void forget(struct resolved *resolved)
{
	free(TAKE_PTR(resolved->domains));
	resolved->bytes = 0;
}

/* What is left of it goes with the device. */
static void revert(struct resolved *resolved)
{
	struct err err = ERR_INIT;

	forget(resolved);
	if (call_simple(resolved, "RevertLink", NULL, NULL, &err) < 0)
		log_debug("the link keeps its DNS server", "error=%s", err.msg);
}

int resolved_set(struct resolved *resolved, uint32_t ifindex, uint16_t port, const char *domains,
	size_t bytes, struct err *err)
{
	int r = 0;

	if (bytes == 0) {
		if (resolved->bytes > 0)
			revert(resolved);
	} else {
		forget(resolved);
		resolved->ifindex = ifindex;
		resolved->port = port;
		resolved->domains = xcalloc(1, bytes + 1);
		memcpy(resolved->domains, domains, bytes);
		resolved->bytes = bytes;
		r = apply(resolved, err);
	}
	if (r < 0)
		revert(resolved);
	return r < 0 ? err_wrap(err, r, "systemd-resolved") : 0;
}

/* NameOwnerChanged: name, old owner, new owner. */
static int on_owner(struct sd_bus_message *message, void *user, struct sd_bus_error *error)
{
	struct resolved *resolved = user;
	const char *name = "", *before = "", *now = "";

	(void)error;
	if (resolved->calls.read(message, "sss", &name, &before, &now) >= 0 && *now)
		resolved->came = true;
	return 0;
}

void resolved_process(struct resolved *resolved)
{
	struct err err = ERR_INIT;
	int r = resolved->bus ? 1 : 0;

	for (unsigned int i = 0; r > 0 && i < PROCESS_MAX; i++)
		r = resolved->calls.process(resolved->bus, NULL);
	if (r < 0) {
		log_warn("the system bus is gone: systemd-resolved is told nothing any more",
			"error=%s", strerror(-r));
		resolved->bus = resolved->calls.flush_close_unref(resolved->bus);
		return;
	}
	if (!resolved->came)
		return;
	resolved->came = false;
	if (resolved->bytes == 0)
		return;
	if (apply(resolved, &err) < 0)
		log_warn("systemd-resolved came anew and was not told", "error=%s", err.msg);
	else
		log_info("systemd-resolved came anew and was told", "link=%u", resolved->ifindex);
}

int resolved_fd(const struct resolved *resolved)
{
	return resolved->bus ? resolved->calls.get_fd(resolved->bus) : -1;
}

/* Whether somebody has the daemon's name. */
static int check_running(struct resolved *resolved, struct err *err)
{
	static const char member[] = "NameHasOwner";
	const struct sd_bus_calls *bus = &resolved->calls;
	struct sd_bus_message *message = NULL, *reply = NULL;
	int running = 0;
	int r = bus->new_method_call(resolved->bus, &message, BUS, BUS_PATH, BUS, member);

	if (r >= 0)
		r = bus->append(message, "s", SERVICE);
	if (r < 0)
		return err_set_errno(err, r, "%s", member);
	r = call(resolved, message, member, &reply, err);
	if (r == 0)
		r = bus->read(reply, "b", &running);
	(void)bus->unref(reply);
	if (r < 0)
		return r;
	return running ? 0
		       : err_set(err, -ENOENT, ERR_UNSUPPORTED, "systemd-resolved does not run");
}

int resolved_open(struct resolved **ret_resolved, struct err *err)
{
	AUTO(resolved) resolved = XNEW(struct resolved);
	const struct sd_bus_calls *bus = &resolved->calls;
	int r = load(&resolved->calls, err);

	if (r < 0)
		return r;
	/* Root's bus, whoever started us. */
	(void)unsetenv("DBUS_SYSTEM_BUS_ADDRESS");
	r = bus->open_system(&resolved->bus);
	if (r < 0)
		return err_set(err, -ENOENT, ERR_UNSUPPORTED, "no system bus: %s", strerror(-r));
	(void)bus->set_method_call_timeout(resolved->bus, (uint64_t)RESOLVED_CALL_MS * 1000);
	r = bus->add_match(resolved->bus, NULL,
		"type='signal',sender='" BUS "',path='" BUS_PATH "',interface='" BUS
		"',member='NameOwnerChanged',arg0='" SERVICE "'",
		on_owner, resolved);
	if (r < 0)
		return err_set(err, -ENOENT, ERR_UNSUPPORTED, "system bus: %s", strerror(-r));
	r = check_running(resolved, err);
	if (r < 0)
		return r;
	*ret_resolved = TAKE_PTR(resolved);
	return 0;
}

void resolved_free(struct resolved *resolved)
{
	if (!resolved)
		return;
	if (resolved->bus)
		(void)resolved->calls.flush_close_unref(resolved->bus);
	free(resolved->domains);
	free(resolved);
}
