# SPDX-License-Identifier: Apache-2.0
"""As much of HTTP/2 and gRPC as an app needs to answer the kubelet's health checks: a handler for nets.serve()."""

import socket
import struct

from nets import read_exactly

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS, PING = 0, 1, 4, 6
ACK = END_STREAM = 1
END_HEADERS = 4
STATUS_200 = b"\x88"
# HealthCheckResponse{status: SERVING}, uncompressed.
SERVING = b"\0\0\0\0\2\x08\x01"


def frame(kind, flags, stream, payload=b""):
    return struct.pack("!I", len(payload))[1:] + struct.pack("!BBI", kind, flags, stream) + payload


def field(name, value):
    """Of HPACK: a literal that no table remembers."""
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


def health(asked):
    """Answers every request with SERVING and notes it in asked."""

    def handle(connection):
        connection.sendall(frame(SETTINGS, 0, 0))
        assert read_exactly(connection, len(PREFACE)) == PREFACE
        while True:
            head = connection.recv(9, socket.MSG_WAITALL)
            if len(head) < 9:
                return
            length, (kind, flags, stream) = int.from_bytes(head[:3], "big"), struct.unpack("!BBI", head[3:])
            payload = read_exactly(connection, length)
            if kind in (SETTINGS, PING) and not flags & ACK:
                connection.sendall(frame(kind, ACK, 0, payload if kind == PING else b""))
            elif kind in (HEADERS, DATA) and flags & END_STREAM:
                asked.append(stream)
                connection.sendall(
                    frame(HEADERS, END_HEADERS, stream, STATUS_200 + field(b"content-type", b"application/grpc"))
                    + frame(DATA, 0, stream, SERVING)
                    + frame(HEADERS, END_HEADERS | END_STREAM, stream, field(b"grpc-status", b"0"))
                )

    return handle
