# SPDX-License-Identifier: Apache-2.0
"""Streams that are held, by other people's programs: gRPC, server-sent events, a WebSocket, and plain connections.

held.py serve: in a pod. held.py hold SECONDS ADDRESS: on the laptop; a JSON line of what came over each. held.py crowd COUNT ADDRESS:
opens so many connections, holds all, speaks on each again; a JSON line of it. held.py busy COUNT ADDRESS: opens so many, and each
sends and gets back bytes of its own all the time; a JSON line of it. Both say "open" and go on after a line of their input.
"""

import asyncio
import concurrent.futures
import http.client
import json
import sys
import threading
import time

import grpc
import websockets

EVENTS, SOCKET, RPC, PLAIN = 8000, 8001, 8002, 8003
METHOD = "/held.Held/Count"
PAUSE = 0.1
SOON = 20
# Of a busy connection: round trips, each of about 6 KB.
ROUNDS, BUSY_WORDS = 10, 1000


async def count_events(reader, writer):
    """Server-sent events: one number after the other until nobody listens."""
    while (await reader.readline()).strip():
        pass
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
    number = 0
    while not writer.is_closing():
        writer.write(f"data: {number}\n\n".encode())
        number += 1
        try:
            await writer.drain()
        except OSError:
            return
        await asyncio.sleep(PAUSE)


async def echo_socket(socket, _path=None):
    async for message in socket:
        await socket.send(message)


async def echo_plain(reader, writer):
    try:
        while data := await reader.read(4096):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    writer.close()


def count_rpc(_request, context):
    number = 0
    while context.is_active():
        yield str(number).encode()
        number += 1
        time.sleep(PAUSE)


async def serve():
    rpc = grpc.server(concurrent.futures.ThreadPoolExecutor(8))
    method = grpc.unary_stream_rpc_method_handler(count_rpc)
    rpc.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("held.Held", {"Count": method})])
    rpc.add_insecure_port(f"0.0.0.0:{RPC}")
    rpc.start()
    await asyncio.start_server(count_events, "0.0.0.0", EVENTS)
    await websockets.serve(echo_socket, "0.0.0.0", SOCKET)
    await asyncio.start_server(echo_plain, "0.0.0.0", PLAIN, backlog=4096)
    await asyncio.Event().wait()


def hold_events(address, until):
    connection = http.client.HTTPConnection(address, EVENTS, timeout=SOON)
    connection.request("GET", "/")
    answer = connection.getresponse()
    while time.monotonic() < until:
        line = answer.readline().decode().strip()
        if line:
            yield int(line.removeprefix("data: "))


def hold_rpc(address, until):
    with grpc.insecure_channel(f"{address}:{RPC}") as channel:
        for number in channel.unary_stream(METHOD)(b"", timeout=until - time.monotonic() + SOON):
            yield int(number)
            if time.monotonic() >= until:
                return


def hold_socket(address, until):
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    socket = loop.run_until_complete(websockets.connect(f"ws://{address}:{SOCKET}/"))
    number = 0
    while time.monotonic() < until:
        loop.run_until_complete(socket.send(str(number)))
        yield int(loop.run_until_complete(asyncio.wait_for(socket.recv(), SOON)))
        number += 1
        time.sleep(PAUSE)
    loop.run_until_complete(socket.close())


def watch(name, numbers, seen):
    """Counts what comes; says what came instead of the next number, or why it ended."""
    seen[name] = {"count": 0, "longest_s": 0.0, "wrong": None}
    last = time.monotonic()
    try:
        for number in numbers:
            now = time.monotonic()
            seen[name]["longest_s"] = round(max(seen[name]["longest_s"], now - last), 2)
            last = now
            if number != seen[name]["count"]:
                seen[name]["wrong"] = f"{number} instead of {seen[name]['count']}"
                return
            seen[name]["count"] += 1
    except Exception as error:  # noqa: BLE001  (it is what the test wants to know)
        seen[name]["wrong"] = repr(error)


def hold(seconds, address):
    until = time.monotonic() + seconds
    seen = {}
    holders = {"events": hold_events, "rpc": hold_rpc, "socket": hold_socket}
    threads = [threading.Thread(target=watch, args=(n, f(address, until), seen)) for n, f in holders.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps(seen))


async def one_of_crowd(address, turn, opened):
    async with turn:
        started = time.monotonic()
        reader, writer = await asyncio.wait_for(asyncio.open_connection(address, PLAIN), SOON)
        took = time.monotonic() - started
    opened.append(took)
    return reader, writer


async def speak(pair, text):
    reader, writer = pair
    writer.write(text)
    return await asyncio.wait_for(reader.readexactly(len(text)), 3 * SOON) == text


async def told_to_go_on():
    print("open", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)


async def crowd(count, address):
    turn, opened = asyncio.Semaphore(200), []
    started = time.monotonic()
    pairs = await asyncio.gather(*(one_of_crowd(address, turn, opened) for _ in range(count)))
    took = time.monotonic() - started
    await told_to_go_on()
    answers = []
    for begin in range(0, count, 500):
        answers += await asyncio.gather(*(speak(pair, b"%d" % i) for i, pair in enumerate(pairs[begin : begin + 500])))
    print(json.dumps({"open_s": round(took, 2), "answered": sum(answers)}), flush=True)


async def be_busy(number, pair):
    """How many rounds came back as they were sent."""
    right = 0
    for turn in range(ROUNDS):
        text = (b"%d:%d " % (number, turn)) * BUSY_WORDS
        right += await speak(pair, text)
    pair[1].close()
    return right


async def busy(count, address):
    turn, opened = asyncio.Semaphore(200), []
    pairs = await asyncio.gather(*(one_of_crowd(address, turn, opened) for _ in range(count)))
    await told_to_go_on()
    started = time.monotonic()
    right = await asyncio.gather(*(be_busy(number, pair) for number, pair in enumerate(pairs)))
    print(json.dumps({"busy_s": round(time.monotonic() - started, 2), "right": sum(right), "of": count * ROUNDS}))


if sys.argv[1] == "serve":
    asyncio.run(serve())
elif sys.argv[1] == "hold":
    hold(float(sys.argv[2]), sys.argv[3])
elif sys.argv[1] == "busy":
    asyncio.run(busy(int(sys.argv[2]), sys.argv[3]))
else:
    asyncio.run(crowd(int(sys.argv[2]), sys.argv[3]))
