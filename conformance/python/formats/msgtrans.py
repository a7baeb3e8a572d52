"""Packets of msgtrans: a header of 16 bytes, an extension header, a payload; zlib if wanted."""

import struct
import zlib

from .common import Peer, echo, expect, main

ONE_WAY, REQUEST, RESPONSE = 0, 1, 2
HEAD = struct.Struct(">BBBBIHIH")


def packet(kind, biz, number, payload, ext=b"", flags=0, packed=False):
    return kind, biz, number, payload, ext, flags, packed


def pack(message):
    kind, biz, number, payload, ext, flags, packed = message
    sent = zlib.compress(payload) if packed else payload
    compression = 2 if packed else 0
    head = HEAD.pack(1, compression, kind, biz, number, len(ext), len(sent), flags)
    return head + ext + sent


def read(peer):
    version, compression, kind, biz, number, ext, length, flags = HEAD.unpack(peer.exactly(16))
    expect("version", version, 1)
    expect("compression", compression in (0, 2), True)
    ext, payload = peer.exactly(ext), peer.exactly(length)
    if compression == 2:
        payload = zlib.decompress(payload)
    return kind, biz, number, payload, ext, flags, compression == 2


def talk(address):
    with Peer(address) as peer:
        for number in range(1, 51):
            peer.send(pack(packet(REQUEST, 10, number, b"ping %d" % number)))
            expect("response", read(peer), packet(RESPONSE, 10, number, b"ping %d" % number))
        for biz, number in ((255, 0xFFFFFFFF), (0, 0)):
            asked = packet(REQUEST, biz, number, b"a" * 5000, b"route:abc", 7, packed=True)
            peer.send(pack(asked))
            expect("response to zlib", read(peer)[:4], (RESPONSE, biz, number, b"a" * 5000))
    for what, head in (
        ("version 2", "02000000000000010000000000000000"),
        ("compression 3", "01030000000000010000000000000000"),
        ("type 3", "01000300000000010000000000000000"),
        ("a payload that is not zlib", "01020000000000010000000000020000" + "0000"),
        ("a payload of 4 GiB", "01000000000000010000ffffffff0000"),
    ):
        with Peer(address) as peer:
            peer.send(bytes.fromhex(head))
            peer.closed(what)
    with Peer(address) as peer:
        bomb = zlib.compress(bytes((16 << 20) + 1))
        peer.send(HEAD.pack(1, 2, ONE_WAY, 0, 1, 0, len(bomb), 0) + bomb)
        peer.closed("a payload that unpacks to more than 16 MiB")
    messages = [packet(ONE_WAY, 5, 42, b"hello"), packet(ONE_WAY, 0, 1, b""),
                packet(ONE_WAY, 255, 0xDEADBEEF, b"data")]
    bad = bytes.fromhex("01000000000000010000010000010000")
    echo(address, pack, read, messages, packet(ONE_WAY, 1, 2, b"big!" * (1 << 18)), bad)


if __name__ == "__main__":
    main(talk)
