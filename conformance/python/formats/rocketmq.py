"""RocketMQ commands: two lengths, a compact JSON header, a body."""

import json
import struct

from .common import Peer, echo, expect, main

RESPONSE, ONE_WAY = 1, 2


def command(code, opaque, flag=0, **more):
    return {"code": code, "language": 3, "version": 1, "opaque": opaque, "flag": flag, **more}


def pack(message):
    header, body = message
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    return struct.pack(">II", 4 + len(text) + len(body), len(text)) + text + body


def read(peer):
    length, codec_and_header = struct.unpack(">II", peer.exactly(8))
    header = codec_and_header & 0xFFFFFF
    text = peer.exactly(header)
    return json.loads(text), peer.exactly(length - 4 - header)


def answered(header):
    return command(0, header["opaque"], RESPONSE)


def ask(peer, header, body):
    """A request; its response has the same opaque id, success, and what was asked."""
    peer.send(pack((header, body)))
    expect("response", read(peer), (answered(header), body))


def talk(address):
    with Peer(address) as peer:
        for opaque in range(1, 51):
            ask(peer, command(105, opaque), b"body %d" % opaque)
        ask(peer, command(105, 0x7FFFFFFF), b"")
        ask(peer, command(105, -1), b"a negative id")
        ask(peer, command(310, 2, extFields={"topic": "TopicTest"}, unknown=[1]), b"hi")
        ask(peer, command(10, 3), b"big!" * 260000)
        for opaque, body in ((4, b"one"), (5, b"by one")):
            peer.drip(pack((command(105, opaque), body)))
            expect("response to single bytes", read(peer), (command(0, opaque, RESPONSE), body))
        peer.send(pack((command(404, 9), b"")))
        header, body = read(peer)
        expect("code for a code nobody handles", header["code"], 3)
        expect("what ties it to the request", (header["opaque"], header["flag"] & 1), (9, 1))
        expect("its body and the type of its remark", (body, type(header["remark"])), (b"", str))
        ask(peer, command(105, 10), b"and the connection goes on")
    one_way = [(command(105, n, ONE_WAY, **more), body) for n, more, body in
               ((1, {}, b"one-way"), (2, {"remark": "你"}, b""), (3, {"x": {"y": 1}}, b"z"))]
    bad = b"\x00\x10\x00\x01"
    echo(address, pack, read, one_way, (command(1, 4, ONE_WAY), b"b" * 1000000), bad)


if __name__ == "__main__":
    main(talk)
