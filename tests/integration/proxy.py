# SPDX-License-Identifier: Apache-2.0
"""proxy.py KIND [USER:PASSWORD]: one that a company puts before the Internet, on a port of 127.0.0.1 which it prints

KIND: http (CONNECT, RFC 9110) or socks5 (RFC 1928, 1929). For each connection a line: its target, or what was wrong.
"""

import base64
import socket
import sys
import threading


def exactly(sock, count):
    data = b""
    while len(data) < count:
        part = sock.recv(count - len(data))
        if not part:
            raise ConnectionError("ended early")
        data += part
    return data


def http(sock, credentials):
    head = b""
    while b"\r\n\r\n" not in head:
        head += exactly(sock, 1)
    line, *fields = head.decode().split("\r\n")
    method, target, _ = line.split()
    wanted = base64.b64encode(credentials.encode()).decode()
    if credentials and f"proxy-authorization: basic {wanted}".lower() not in (field.lower() for field in fields):
        sock.sendall(b"HTTP/1.1 407 Who are you\r\nProxy-Authenticate: Basic realm=x\r\nContent-Length: 0\r\n\r\n")
        raise PermissionError("no credentials")
    if method != "CONNECT":
        raise ValueError(line)
    host, _, port = target.rpartition(":")
    return (host.strip("[]"), int(port)), b"HTTP/1.1 200 Go ahead\r\n\r\n"


def socks5(sock, credentials):
    methods = exactly(sock, exactly(sock, 2)[1])
    method = 2 if credentials else 0
    if method not in methods:
        sock.sendall(b"\x05\xff")
        raise PermissionError("no credentials")
    sock.sendall(bytes([5, method]))
    if credentials:
        user = exactly(sock, exactly(sock, 2)[1]).decode()
        password = exactly(sock, exactly(sock, 1)[0]).decode()
        sock.sendall(bytes([1, f"{user}:{password}" != credentials]))
        if f"{user}:{password}" != credentials:
            raise PermissionError("wrong credentials")
    kind = exactly(sock, 4)[3]
    if kind == 3:
        host = exactly(sock, exactly(sock, 1)[0]).decode()
    else:
        host = socket.inet_ntop(*((socket.AF_INET, exactly(sock, 4)) if kind == 1 else (socket.AF_INET6, exactly(sock, 16))))
    return (host, int.from_bytes(exactly(sock, 2), "big")), b"\x05\0\0\x01" + bytes(6)


def pump(source, sink):
    try:
        while data := source.recv(1 << 16):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        sink.close()


def serve(sock, greet, credentials):
    with sock:
        try:
            target, answer = greet(sock, credentials)
            far = socket.create_connection(target, timeout=20)
        except (OSError, ValueError) as error:
            print(type(error).__name__, error, flush=True)
            return
        print(*target, flush=True)
        far.settimeout(None)
        sock.sendall(answer)
        thread = threading.Thread(target=pump, args=(far, sock), daemon=True)
        thread.start()
        pump(sock, far)
        thread.join()


def main(kind, credentials=""):
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    while True:
        sock, _ = listener.accept()
        threading.Thread(target=serve, args=(sock, {"http": http, "socks5": socks5}[kind], credentials), daemon=True).start()


if __name__ == "__main__":
    main(*sys.argv[1:])
