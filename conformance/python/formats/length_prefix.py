"""A big-endian length of four bytes, then the body."""

import struct

from .common import echo, main


def pack(body):
    return struct.pack(">I", len(body)) + body


def read(peer):
    (length,) = struct.unpack(">I", peer.exactly(4))
    return peer.exactly(length)


def talk(address):
    messages = [b"hello", b"", b"\x00\xff\r\n", b"x" * 3000]
    echo(address, pack, read, messages, b"big!" * (1 << 18), b"\x00\x10\x00\x01")


if __name__ == "__main__":
    main(talk)
