/* SPDX-License-Identifier: Apache-2.0 */
/* Records that belong together leave together, and a full socket loses and repeats none. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "cluster/tls_batch.h"
#include "core/alloc.h"

#define RECORD_BYTES 16406

struct rig {
	BIO *batch;
	int peer; /* every write(2) of the batch is a message here */
};

static void rig_init(struct rig *rig)
{
	int fds[2] = {-1, -1};

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, fds), 0);
	rig->peer = fds[0];
	rig->batch = tls_batch_new();
	assert_non_null(rig->batch);
	BIO_push(rig->batch, BIO_new_socket(fds[1], BIO_CLOSE));
}

static void rig_done(struct rig *rig)
{
	BIO_free_all(rig->batch);
	close(rig->peer);
}

/* Length of the next message; 0: there is none. All its bytes must be `fill`, +1 a record. */
static size_t take(struct rig *rig, uint8_t fill)
{
	static uint8_t message[256 * 1024];
	ssize_t n = recv(rig->peer, message, sizeof(message), 0);

	if (n < 0) {
		assert_int_equal(errno, EAGAIN);
		return 0;
	}
	for (ssize_t i = 0; i < n; i++)
		assert_int_equal(message[i], fill + i / RECORD_BYTES);
	return (size_t)n;
}

static int put(struct rig *rig, uint8_t fill, int len)
{
	uint8_t record[RECORD_BYTES];

	memset(record, fill, sizeof(record));
	return BIO_write(rig->batch, record, len);
}

static void test_records_leave_together(void **state UNUSED)
{
	struct rig rig;

	rig_init(&rig);
	tls_batch_announce(rig.batch, 4 * 16384);
	for (uint8_t i = 0; i < 3; i++) {
		assert_int_equal(put(&rig, i, RECORD_BYTES), RECORD_BYTES);
		assert_int_equal(take(&rig, 0), 0);
	}
	assert_int_equal(put(&rig, 3, RECORD_BYTES), RECORD_BYTES);
	assert_int_equal(take(&rig, 0), 4 * RECORD_BYTES);
	rig_done(&rig);
}

static void test_what_is_not_announced_leaves_at_once(void **state UNUSED)
{
	struct rig rig;

	rig_init(&rig);
	for (int round = 0; round < 2; round++) {
		assert_int_equal(put(&rig, 7, 24), 24);
		assert_int_equal(take(&rig, 7), 24);
		/* What was announced before is over. */
		tls_batch_announce(rig.batch, 100);
		assert_int_equal(put(&rig, 9, 122), 122);
		assert_int_equal(take(&rig, 9), 122);
	}
	rig_done(&rig);
}

/* An alert or a key update may come between two records: nothing waits for what does not come. */
static void test_more_than_announced_leaves(void **state UNUSED)
{
	struct rig rig;
	size_t n = 0, more;

	rig_init(&rig);
	tls_batch_announce(rig.batch, 2 * 16384);
	assert_int_equal(put(&rig, 0, RECORD_BYTES), RECORD_BYTES);
	assert_int_equal(put(&rig, 1, 24), 24);
	assert_int_equal(put(&rig, 1, RECORD_BYTES - 24), RECORD_BYTES - 24);
	while ((more = take(&rig, (uint8_t)(n / RECORD_BYTES))) > 0)
		n += more;
	assert_int_equal(n, 2 * RECORD_BYTES);
	rig_done(&rig);
}

static void test_full_socket(void **state UNUSED)
{
	struct rig rig;
	size_t sent = 0, got = 0;

	rig_init(&rig);
	/* Until the socket takes no more: the last record was not written, as far as TLS knows. */
	for (;;) {
		tls_batch_announce(rig.batch, 2 * 16384);
		assert_int_equal(put(&rig, 0, RECORD_BYTES), RECORD_BYTES);
		if (put(&rig, 1, RECORD_BYTES) != RECORD_BYTES)
			break;
		sent++;
	}
	assert_true(sent > 0);
	for (int round = 0; round < 3; round++) {
		assert_true(BIO_should_write(rig.batch));
		tls_batch_announce(rig.batch, 2 * 16384);
		assert_int_equal(put(&rig, 1, RECORD_BYTES), -1);
	}
	while (take(&rig, 0) == 2 * RECORD_BYTES)
		got++;
	assert_int_equal(got, sent);
	assert_int_equal(put(&rig, 1, RECORD_BYTES), RECORD_BYTES);
	assert_int_equal(take(&rig, 0), 2 * RECORD_BYTES);
	/* And the next ones are a batch of their own. */
	tls_batch_announce(rig.batch, 2 * 16384);
	assert_int_equal(put(&rig, 0, RECORD_BYTES), RECORD_BYTES);
	assert_int_equal(take(&rig, 0), 0);
	rig_done(&rig);
}

static void test_broken_socket(void **state UNUSED)
{
	struct rig rig;

	rig_init(&rig);
	shutdown(rig.peer, SHUT_RDWR);
	tls_batch_announce(rig.batch, 2 * 16384);
	assert_int_equal(put(&rig, 0, RECORD_BYTES), RECORD_BYTES);
	assert_int_equal(put(&rig, 1, RECORD_BYTES), -1);
	assert_false(BIO_should_retry(rig.batch));
	rig_done(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_records_leave_together),
		cmocka_unit_test(test_what_is_not_announced_leaves_at_once),
		cmocka_unit_test(test_more_than_announced_leaves),
		cmocka_unit_test(test_full_socket),
		cmocka_unit_test(test_broken_socket),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
