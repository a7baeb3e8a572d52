"""Sockets, comparing, and what every conversation has."""

import os
import socket
import sys

# Seconds of silence after which a server is given up.
TIMEOUT = float(os.environ.get("FORMATS_TIMEOUT", "20"))


class Mismatch(Exception):
    """What came is not what should have come."""


def expect(what, got, wanted):
    if got != wanted:
        raise Mismatch(f"{what}:\n  wanted {show(wanted)}\n  got    {show(got)}")


def show(value):
    text = value.hex(" ") if isinstance(value, bytes) else repr(value)
    return text if len(text) <= 400 else f"{text[:400]}... ({len(text)} letters)"


class Peer:
    """One connection."""

    def __init__(self, address):
        self.socket = socket.create_connection(address, TIMEOUT)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.held = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def drip(self, data):
        """One write for each byte."""
        for at in range(len(data)):
            self.socket.sendall(data[at:at + 1])

    def finish(self):
        self.socket.shutdown(socket.SHUT_WR)

    def more(self):
        data = self.socket.recv(1 << 16)
        if not data:
            raise Mismatch(f"the connection ended behind {show(self.held)}")
        self.held += data

    def exactly(self, count):
        while len(self.held) < count:
            self.more()
        data, self.held = self.held[:count], self.held[count:]
        return data

    def line(self):
        while b"\n" not in self.held:
            self.more()
        line, self.held = self.held.split(b"\n", 1)
        return line

    def closed(self, what):
        """The server closes and says nothing more."""
        try:
            data = self.held or self.socket.recv(1)
        except ConnectionResetError:
            # It closed with bytes unread.
            return
        expect(f"{what}: the connection should end", data, b"")


def echo(address, pack, read, messages, big, bad):
    """What every format has in common. `pack` makes bytes of a message, `read` takes one from a
    peer; `messages` come back as they are. `bad` ends a connection."""
    with Peer(address) as peer:
        for message in messages:
            peer.send(pack(message))
            expect("echo", read(peer), message)
        for message in messages:
            peer.drip(pack(message))
            expect("echo of single bytes", read(peer), message)
        peer.send(b"".join(pack(message) for message in messages * 50))
        for number, message in enumerate(messages * 50):
            expect(f"echo {number} of many in one write", read(peer), message)
        peer.send(pack(big))
        expect("echo of a big message", read(peer), big)
        peer.send(pack(messages[0]) + bad)
        expect("echo before a bad frame", read(peer), messages[0])
        peer.closed("after a bad frame")
    with Peer(address) as peer:
        peer.send(pack(messages[0]) + pack(messages[-1])[:-1])
        peer.finish()
        expect("echo before a truncated message", read(peer), messages[0])
        peer.closed("after a truncated message")


def main(conversation):
    if len(sys.argv) != 3:
        sys.exit(f"usage: {sys.argv[0]} HOST PORT")
    try:
        conversation((sys.argv[1], int(sys.argv[2])))
    except (Mismatch, OSError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
    print("ok")
