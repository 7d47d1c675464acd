# SPDX-License-Identifier: Apache-2.0
"""DNS messages as bytes: making a query, and what stands in an answer whichever way it is written."""

import socket
import struct

TYPES = {"A": 1, "SOA": 6, "TXT": 16, "AAAA": 28}
OPT = 41

# ASK ADDRESS MESSAGE...: a line for each answer.
ASK = """
import socket, sys
for message in sys.argv[2:]:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(20)
    sock.connect((sys.argv[1], 53))
    sock.send(bytes.fromhex(message))
    print(sock.recv(65535).hex())
"""


def query(name, kind="A", edns=None, ident=0x1234):
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    message = struct.pack("!6H", ident, 0x0100, 1, 0, 0, 0 if edns is None else 1) + labels
    message += b"\0" + struct.pack("!2H", TYPES[kind], 1)
    return message + (b"" if edns is None else struct.pack("!BHHIH", 0, OPT, edns, 0, 0))


def read_name(data, pos):
    """Labels at pos, pointers followed, and where the message goes on."""
    labels, end = [], None
    while data[pos]:
        if data[pos] >= 0xC0:
            end = end or pos + 2
            pos = struct.unpack("!H", data[pos : pos + 2])[0] & 0x3FFF
            continue
        labels.append(data[pos + 1 : pos + 1 + data[pos]].decode())
        pos += 1 + data[pos]
    return ".".join(labels), end or pos + 1


def read_record(data, pos):
    name, pos = read_name(data, pos)
    kind, rclass, ttl, length = struct.unpack("!HHIH", data[pos : pos + 10])
    pos += 10
    value = data[pos : pos + length]
    if kind == TYPES["SOA"]:
        mname, at = read_name(data, pos)
        rname, at = read_name(data, at)
        value = (mname, rname, *struct.unpack("!5I", data[at : at + 20]))
    elif kind in (TYPES["A"], TYPES["AAAA"]):
        value = socket.inet_ntop(socket.AF_INET if length == 4 else socket.AF_INET6, value)
    return (name, kind, rclass, ttl, value), pos + length


def parse(data):
    """Flags, question and sections."""
    _, flags, questions, *counts = struct.unpack("!6H", data[:12])
    assert questions == 1
    name, pos = read_name(data, 12)
    kind, rclass = struct.unpack("!2H", data[pos : pos + 4])
    pos += 4
    sections = []
    for count in counts:
        records = []
        for _ in range(count):
            record, pos = read_record(data, pos)
            records.append(record)
        sections.append(records)
    assert pos == len(data)
    return flags, (name, kind, rclass), *sections
