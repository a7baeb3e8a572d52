"""Length and id, both little-endian, then the data."""

import struct

from .common import Peer, echo, expect, main

HEARTBEAT = 99999


def pack(message):
    number, data = message
    return struct.pack("<II", len(data), number) + data


def read(peer):
    length, number = struct.unpack("<II", peer.exactly(8))
    return number, peer.exactly(length)


def beats(address, pack, read):
    """A heartbeat is answered with one, and is no message."""
    with Peer(address) as peer:
        peer.send(pack((HEARTBEAT, b"heartbeat [a->b]")) + pack((1, b"behind it")))
        number, text = read(peer)
        expect("id of the answer to a heartbeat", number, HEARTBEAT)
        expect("text of the answer to a heartbeat", text[:11], b"heartbeat [")
        expect("the answer has the server's addresses", text == b"heartbeat [a->b]", False)
        expect("echo behind a heartbeat", read(peer), (1, b"behind it"))


MESSAGES = [(1, b"ping"), (0, b""), (0xDEADBEEF, b"\x00\x01\x02"), (200, b"x" * 1000)]


def talk(address):
    beats(address, pack, read)
    echo(address, pack, read, MESSAGES, (7, b"big!" * 1024), b"\x01\x10\x00\x00\x01\x00\x00\x00")


if __name__ == "__main__":
    main(talk)
