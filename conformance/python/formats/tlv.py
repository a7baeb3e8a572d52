"""Id and length, both big-endian, then the data."""

import struct

from .common import echo, main
from .ltv import MESSAGES, beats


def pack(message):
    number, data = message
    return struct.pack(">II", number, len(data)) + data


def read(peer):
    number, length = struct.unpack(">II", peer.exactly(8))
    return number, peer.exactly(length)


def talk(address):
    beats(address, pack, read)
    echo(address, pack, read, MESSAGES, (7, b"big!" * 1024), b"\x00\x00\x00\x01\x00\x00\x10\x01")


if __name__ == "__main__":
    main(talk)
