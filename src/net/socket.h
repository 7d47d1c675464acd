/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net/socket.h - how a TCP connection is ended that has failed
 */
#ifndef NET_SOCKET_H
#define NET_SOCKET_H

/* Closes the socket, by RST instead of FIN: the other end gets an error and no end of file, and no
 * port stays in TIME_WAIT (SO_LINGER of socket(7); RFC 9293 3.10.5). */
void socket_reset(int fd);

#endif /* NET_SOCKET_H */
