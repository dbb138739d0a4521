"""A waypoint or gateway out of Python's h2 and ssl modules: takes tunnels, and leads each CONNECT on.

The only argument is a JSON object: `port`, `ca`, `cert`, `key` (files), and `routes`, for each authority that may be asked
for. A waypoint opens a further tunnel: `to` is the authority to ask for there, at the port above, and `identity` the SPIFFE
id its server must have. A gateway does not look into what it passes on: `bytes` is the address they go to, as they are.

Prints a line of JSON for each CONNECT, before it is answered:

    authority, baggage, forwarded, traceparent, x-forwarded-network   as they were sent, null when they were not
    peer        the SPIFFE id in the client's certificate
    connection  the number of the tunnel it came on
    status      what it is answered
"""

import asyncio
import itertools
import json
import socket
import ssl
import struct
import sys

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    RequestReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
)
from h2.exceptions import ProtocolError

# How long anything of another program's may take.
PATIENCE = 10

# A peer that is gone without a word is found out: when it has been silent for so long, what it is asked, and when what was sent to it
# is not taken (milliseconds).
SILENT, AGAIN, TIMES, UNTAKEN = 5, 5, 3, 20_000

# What is told of a CONNECT, and what of that is passed on.
TOLD = ("authority", "baggage", "forwarded", "traceparent", "x-forwarded-network")
PASSED_ON = ("baggage", "forwarded", "traceparent")


class Broken(Exception):
    """The stream, or what carries it, ended early."""


class Stream:
    """One direction to read and one to write, on a tunnel."""

    def __init__(self, tunnel, number):
        self.tunnel, self.number = tunnel, number
        self.arrived = asyncio.Queue()
        self.answer = asyncio.get_running_loop().create_future()

    async def read(self):
        """The next bytes; none at the end."""
        data, length = await self.arrived.get()
        if data is None:
            raise Broken
        if length:
            self.tunnel.h2.acknowledge_received_data(length, self.number)
            self.tunnel.flush()
        return data

    async def write(self, data):
        h2 = self.tunnel.h2
        while data:
            room = min(h2.local_flow_control_window(self.number), h2.max_outbound_frame_size)
            if not room:
                await self.tunnel.news()
                continue
            h2.send_data(self.number, data[:room])
            data = data[room:]
            await self.tunnel.pushed()

    def end(self):
        self.tunnel.h2.end_stream(self.number)
        self.tunnel.flush()

    def reset(self):
        try:
            self.tunnel.h2.reset_stream(self.number, ErrorCodes.CANCEL)
            self.tunnel.flush()
        except ProtocolError:
            pass  # It has ended already.

    def close(self):
        self.tunnel.writer.close()

    def breaks(self):
        self.arrived.put_nowait((None, 0))
        if not self.answer.done():
            self.answer.set_result(None)


class Connection:
    """A plain connection, to be used like a stream."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    async def read(self):
        return await self.reader.read(1 << 16)

    async def write(self, data):
        self.writer.write(data)
        await self.writer.drain()

    def end(self):
        self.writer.write_eof()

    def reset(self):
        # Without lingering it is a reset (socket(7)).
        lingering = struct.pack("ii", 1, 0)
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, lingering)
        self.writer.transport.abort()

    def close(self):
        self.writer.close()


class Tunnel:
    """A connection: h2 says what the bytes mean, this moves them."""

    def __init__(self, reader, writer, client_side):
        # h2 wants every request to have a path; a CONNECT has none.
        checks = {"validate_inbound_headers": False, "validate_outbound_headers": False}
        self.h2 = H2Connection(H2Configuration(client_side=client_side, header_encoding="utf-8", **checks))
        self.reader, self.writer, self.over = reader, writer, False
        self.ask_for_life(writer.get_extra_info("socket"))
        self.streams, self.waiting, self.draining = {}, asyncio.Event(), asyncio.Lock()
        self.h2.initiate_connection()
        self.flush()

    def ask_for_life(self, tcp):
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, SILENT)
        tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, AGAIN)
        tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, TIMES)
        tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNTAKEN)

    def peer(self):
        names = (self.writer.get_extra_info("peercert") or {}).get("subjectAltName", ())
        return next((name for kind, name in names if kind == "URI"), None)

    def flush(self):
        self.writer.write(self.h2.data_to_send())

    async def pushed(self):
        self.flush()
        async with self.draining:
            await self.writer.drain()

    async def news(self):
        """Waits until something has been received."""
        if self.over:
            raise Broken
        await self.waiting.wait()

    def stream(self, number):
        return self.streams.setdefault(number, Stream(self, number))

    async def run(self, asked):
        """Reads to the end; `asked` is called with each request."""
        try:
            while data := await self.reader.read(1 << 16):
                for event in self.h2.receive_data(data):
                    self.take(event, asked)
                self.flush()
                self.waiting.set()
                self.waiting = asyncio.Event()
        except (OSError, ProtocolError):
            pass
        finally:
            self.over = True
            for stream in self.streams.values():
                stream.breaks()
            self.waiting.set()
            self.writer.close()

    def take(self, event, asked):
        if isinstance(event, RequestReceived):
            asked(self.stream(event.stream_id), dict(event.headers))
        elif isinstance(event, ResponseReceived):
            self.stream(event.stream_id).answer.set_result(dict(event.headers).get(":status"))
        elif isinstance(event, DataReceived) and not event.data:
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, DataReceived):
            self.stream(event.stream_id).arrived.put_nowait((event.data, event.flow_controlled_length))
        elif isinstance(event, StreamEnded):
            self.stream(event.stream_id).arrived.put_nowait((b"", 0))
        elif isinstance(event, StreamReset):
            self.stream(event.stream_id).breaks()
        elif isinstance(event, ConnectionTerminated) and event.error_code:
            raise ProtocolError(f"the peer has left with code {event.error_code}")


def split(address):
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


async def pipe(source, sink):
    while data := await source.read():
        await sink.write(data)
    sink.end()


async def relay(near, far):
    """Moves bytes both ways; what breaks at one end is broken at the other."""
    ways = [asyncio.create_task(pipe(*ends)) for ends in ((near, far), (far, near))]
    done, pending = await asyncio.wait(ways, return_when=asyncio.FIRST_EXCEPTION)
    for way in pending:
        way.cancel()
    if any(way.exception() for way in done):
        near.reset()
        far.reset()


class Waypoint:
    def __init__(self, wish):
        self.wish, self.tasks, self.numbers = wish, set(), itertools.count(1)

    def context(self, purpose):
        context = ssl.SSLContext(purpose)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        # Workload certificates name identities, not hosts.
        context.check_hostname = False
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(self.wish["ca"])
        context.load_cert_chain(self.wish["cert"], self.wish["key"])
        context.set_alpn_protocols(["h2"])
        return context

    def spawn(self, work):
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def accepted(self, reader, writer):
        tunnel, number = Tunnel(reader, writer, client_side=False), next(self.numbers)
        await tunnel.run(lambda stream, headers: self.spawn(self.serve(stream, headers, number)))

    async def serve(self, stream, headers, number):
        route = self.wish["routes"].get(headers.get(":authority"))
        status, onward = "404", None
        if headers.get(":method") != "CONNECT":
            status = "405"
        elif route:
            status, onward = await self.onward(route, headers)
        line = {"peer": stream.tunnel.peer(), "connection": number, "status": status}
        line |= {name: headers.get(":authority" if name == "authority" else name) for name in TOLD}
        print(json.dumps(line), flush=True)
        try:
            stream.tunnel.h2.send_headers(stream.number, [(":status", status)], end_stream=onward is None)
            stream.tunnel.flush()
        except ProtocolError:
            stream.breaks()  # The client has gone meanwhile.
        if onward:
            await relay(stream, onward)
            onward.close()

    async def onward(self, route, headers):
        """The status of getting to where the route leads, and what leads there when it is open."""
        try:
            way = self.connect(route["bytes"]) if "bytes" in route else self.open(route, headers)
            return await asyncio.wait_for(way, PATIENCE)
        except (OSError, ProtocolError, asyncio.TimeoutError):
            return "503", None

    async def connect(self, address):
        return "200", Connection(*await asyncio.open_connection(*split(address)))

    async def open(self, route, headers):
        host, _ = split(route["to"])
        tls = self.context(ssl.PROTOCOL_TLS_CLIENT)
        connection = await asyncio.open_connection(host, self.wish["port"], ssl=tls, server_hostname="")
        tunnel = Tunnel(*connection, client_side=True)
        if tunnel.peer() != route["identity"]:
            raise ssl.SSLError(f"{host} is {tunnel.peer()}")
        self.spawn(tunnel.run(None))
        stream = tunnel.stream(tunnel.h2.get_next_available_stream_id())
        passed_on = [(name, headers[name]) for name in PASSED_ON if name in headers]
        connect = [(":method", "CONNECT"), (":authority", route["to"]), *passed_on]
        tunnel.h2.send_headers(stream.number, connect)
        tunnel.flush()
        status = await stream.answer
        return (status, stream) if status == "200" else (status or "503", None)


async def main():
    waypoint = Waypoint(json.loads(sys.argv[1]))
    tls = waypoint.context(ssl.PROTOCOL_TLS_SERVER)
    server = await asyncio.start_server(waypoint.accepted, None, waypoint.wish["port"], ssl=tls)
    await server.serve_forever()


asyncio.run(main())
