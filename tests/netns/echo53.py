# SPDX-License-Identifier: Apache-2.0
"""echo53.py NAME ADDR PORT: answers "NAME:" and what was sent, by UDP and TCP; says "up" first."""
import selectors
import socket
import sys


def main():
    name, host, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    udp = socket.socket(family, socket.SOCK_DGRAM)
    tcp = socket.socket(family, socket.SOCK_STREAM)
    tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    selector = selectors.DefaultSelector()
    for sock in (udp, tcp):
        sock.bind((host, port))
        selector.register(sock, selectors.EVENT_READ)
    tcp.listen()
    print("up", flush=True)
    while True:
        for key, _ in selector.select():
            if key.fileobj is udp:
                data, peer = udp.recvfrom(2048)
                udp.sendto(name.encode() + b":" + data, peer)
            else:
                connection, _ = tcp.accept()
                with connection:
                    connection.sendall(name.encode() + b":" + connection.recv(2048))


main()
