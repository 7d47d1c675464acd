/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/integration/lookups.c - looks names up as a program of this C library does; built for glibc
 * and, static, for musl
 *
 * lookups COUNT NAME...: for each name its addresses, sorted, on a line ("name a b"); then each
 * name COUNT times, and the times in microseconds on the last line.
 */
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define ADDRESSES 16

static int compare(const void *a, const void *b)
{
	return strcmp(a, b);
}

static void print_addresses(const char *name)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	char texts[ADDRESSES][INET6_ADDRSTRLEN];
	struct addrinfo *list = NULL;
	size_t count = 0;

	printf("%s", name);
	if (getaddrinfo(name, NULL, &hints, &list) != 0)
		list = NULL;
	for (const struct addrinfo *at = list; at && count < ADDRESSES; at = at->ai_next)
		if (getnameinfo(at->ai_addr, at->ai_addrlen, texts[count], sizeof(texts[0]), NULL,
			    0, NI_NUMERICHOST) == 0)
			count++;
	if (list)
		freeaddrinfo(list);
	qsort(texts, count, sizeof(texts[0]), compare);
	for (size_t i = 0; i < count; i++)
		printf(" %s", texts[i]);
	printf("\n");
}

static long look_up_us(const char *name)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	struct addrinfo *list = NULL;
	struct timespec from, to;

	(void)clock_gettime(CLOCK_MONOTONIC, &from);
	if (getaddrinfo(name, NULL, &hints, &list) == 0)
		freeaddrinfo(list);
	(void)clock_gettime(CLOCK_MONOTONIC, &to);
	return (to.tv_sec - from.tv_sec) * 1000000 + (to.tv_nsec - from.tv_nsec) / 1000;
}

int main(int argc, char **argv)
{
	long count = argc > 2 ? strtol(argv[1], NULL, 10) : 0;

	for (int i = 2; i < argc; i++)
		print_addresses(argv[i]);
	for (long n = 0; n < count; n++)
		for (int i = 2; i < argc; i++)
			printf("%ld ", look_up_us(argv[i]));
	printf("\n");
	return 0;
}
