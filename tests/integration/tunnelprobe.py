# SPDX-License-Identifier: Apache-2.0
"""Drives tests/netns/tunnelprobe.c: a client's end of a tunnel, request by request."""

import json
import queue
import subprocess
import threading
import time


def varint(value):
    """RFC 9000 16."""
    for size, prefix in ((1, 0), (2, 0x40), (4, 0x80)):
        if value < 1 << (8 * size - 2):
            return (value | prefix << (8 * (size - 1))).to_bytes(size, "big")
    raise ValueError(value)


def capsule(payload):
    return b"\0" + varint(len(payload) + 1) + b"\0" + payload


def capsules(data):
    """The payloads of the whole DATAGRAM capsules in data."""
    found, pos = [], 0

    def take():
        nonlocal pos
        size = 1 << (data[pos] >> 6)
        value = int.from_bytes(data[pos : pos + size], "big") & ((1 << (8 * size - 2)) - 1)
        pos += size
        return value

    while pos < len(data):
        assert take() == 0
        length = take()
        if pos + length > len(data):
            break
        assert data[pos] == 0
        found.append(data[pos + 1 : pos + length])
        pos += length
    return found


class Stream:
    def __init__(self):
        self.status = None
        self.reason = None
        self.data = b""
        self.ended = False
        self.code = None

    @property
    def lines(self):
        return [json.loads(line) for line in self.data.split(b"\n")[:-1]]


class TunnelProbe:
    """The process; its events arrive while one waits for something."""

    def __init__(self, argv):
        self.process = subprocess.Popen(
            [str(arg) for arg in argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self.streams = {}
        self.ready = False
        self.closed = None
        self.public_key = None
        self.events = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        self.wait(lambda: self.public_key)

    def _read(self):
        for line in self.process.stdout:
            self.events.put(json.loads(line))
        self.events.put({"event": "closed", "why": "the probe ended"})

    def _take(self, event):
        kind = event["event"]
        stream = self.streams.get(event.get("id"))
        if kind == "key":
            self.public_key = event["publicKey"]
        elif kind == "ready":
            self.ready = True
        elif kind == "closed":
            self.closed = self.closed or event["why"]
        elif kind == "head":
            stream.status, stream.reason = event["status"], event["reason"]
        elif kind == "data":
            stream.data += bytes.fromhex(event["hex"])
        elif kind == "end":
            stream.ended = True
        elif kind == "close":
            stream.code = event["code"]
        else:
            raise AssertionError(event)

    def wait(self, condition, seconds=30):
        deadline = time.monotonic() + seconds
        while not condition():
            left = deadline - time.monotonic()
            assert left > 0, f"not within {seconds} s"
            try:
                self._take(self.events.get(timeout=left))
            except queue.Empty:
                continue
        return True

    def say(self, line):
        self.process.stdin.write(line + "\n")

    def open(self, uid):
        self.say(f"uid {uid}")
        self.wait(lambda: self.ready or self.closed)

    def start(self, method, path=None, authority=None, protocol=None, content_type=None, payload=b"", fin=True):
        name = str(len(self.streams))
        self.streams[name] = stream = Stream()
        stream.name = name
        words = [name, method, path, authority, protocol, content_type, payload.hex(), "1" if fin else "0"]
        self.say("request " + " ".join(word or "-" for word in words))
        return stream

    def finish(self, stream, seconds=30):
        self.wait(lambda: stream.code is not None or self.closed, seconds)
        return stream

    def request(self, *args, **kwargs):
        return self.finish(self.start(*args, **kwargs))

    def head(self, stream, seconds=30):
        self.wait(lambda: stream.status is not None or stream.code is not None, seconds)
        return stream

    def reset(self, stream):
        self.say(f"reset {stream.name}")
        return self.finish(stream)

    def stop(self):
        self.process.stdin.close()
        self.process.wait(30)
