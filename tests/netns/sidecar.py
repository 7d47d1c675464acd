# SPDX-License-Identifier: Apache-2.0
"""sidecar.py: a service mesh's proxy in a pod. What it is redirected to it takes to where it was meant for.

Port 15006 takes what comes in, and goes on to the app from 127.0.0.6 (::6), as Envoy does; 15001 what goes out. Each connection is a
line: "in" or "out", and its target.
"""
import socket
import struct
import threading

INBOUND, OUTBOUND = 15006, 15001
SO_ORIGINAL_DST, SOL_IPV6 = 80, 41


def meant_for(sock):
    if sock.family == socket.AF_INET:
        port, address = struct.unpack("!2xH4s8x", sock.getsockopt(socket.SOL_IP, SO_ORIGINAL_DST, 16))
        return socket.inet_ntop(socket.AF_INET, address), port
    port, address = struct.unpack("!2xH4x16s4x", sock.getsockopt(SOL_IPV6, SO_ORIGINAL_DST, 28))
    return socket.inet_ntop(socket.AF_INET6, address), port


def pump(source, sink):
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        source.close()
        sink.close()


def serve(sock, way):
    target = meant_for(sock)
    print(way, *target, flush=True)
    source = ("::6" if sock.family == socket.AF_INET6 else "127.0.0.6") if way == "in" else ""
    try:
        far = socket.create_connection(target, timeout=20, source_address=(source, 0))
    except OSError:
        sock.close()
        return
    far.settimeout(None)
    threading.Thread(target=pump, args=(far, sock), daemon=True).start()
    pump(sock, far)


def accept(listener, way):
    while True:
        sock, _ = listener.accept()
        threading.Thread(target=serve, args=(sock, way), daemon=True).start()


def main():
    for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        for port, way in ((INBOUND, "in"), (OUTBOUND, "out")):
            listener = socket.create_server((address, port), family=family, backlog=128)
            threading.Thread(target=accept, args=(listener, way), daemon=True).start()
    print("ready", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
