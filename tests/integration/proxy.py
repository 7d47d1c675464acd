# SPDX-License-Identifier: Apache-2.0
"""proxy.py KIND [USER:PASSWORD [PEM]]: one that a company puts before the Internet, on a port of 127.0.0.1 which it prints

KIND: http (CONNECT, RFC 9110), socks5 (RFC 1928, 1929), or inspect: as http, but it has a certificate of its own for the target, and the
first line of what it reads is said, too; it lets WebSocket through, but no SPDY. For each connection a line: its target, or what was wrong.
"""

import base64
import contextlib
import select
import socket
import ssl
import sys
import tempfile
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


def inspect(sock, far, pem):
    """Both ends are TLS of its own. One thread: a TLS connection is not for two."""
    with tempfile.NamedTemporaryFile("w") as file:
        file.write(pem)
        file.flush()
        inside = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        inside.load_cert_chain(file.name)
    outside = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    outside.check_hostname, outside.verify_mode = False, ssl.CERT_NONE
    near, far = inside.wrap_socket(sock, server_side=True), outside.wrap_socket(far)
    other = {near: far, far: near}
    seen = False
    while True:
        for one in [each for each in other if each.pending()] or select.select([near, far], [], [])[0]:
            data = one.recv(1 << 16)
            if not data:
                return
            if one is near and not seen:
                seen = True
                print(data.split(b"\r\n")[0].decode(), flush=True)
                if b"SPDY/3.1" in data:
                    near.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
                    return
            other[one].sendall(data)


def serve(sock, greet, credentials, pem):
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
        if pem:
            with contextlib.suppress(OSError), far:
                inspect(sock, far, pem)
            return
        thread = threading.Thread(target=pump, args=(far, sock), daemon=True)
        thread.start()
        pump(sock, far)
        thread.join()


def main(kind, credentials="", pem=""):
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    while True:
        sock, _ = listener.accept()
        greet = {"http": http, "inspect": http, "socks5": socks5}[kind]
        threading.Thread(target=serve, args=(sock, greet, credentials, pem), daemon=True).start()


if __name__ == "__main__":
    main(*sys.argv[1:])
