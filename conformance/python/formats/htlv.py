"""Head, function, length, data, and a CRC-16/MODBUS with its low byte first."""

import struct

from .common import echo, expect, main


def crc16(data):
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc


def pack(message):
    head, function, data = message
    covered = bytes([head, function, len(data)]) + data
    return covered + struct.pack("<H", crc16(covered))


def read(peer):
    start = peer.exactly(3)
    data = peer.exactly(start[2])
    expect("checksum", peer.exactly(2), struct.pack("<H", crc16(start + data)))
    return start[0], start[1], data


def talk(address):
    messages = [(0xA2, 0x10, bytes(range(14))), (0xA2, 0, b""), (1, 255, b"x" * 100)]
    wrong = bytes.fromhex("a2100e0102030405060708091011121314050b")
    echo(address, pack, read, messages, (0xA2, 7, b"b" * 255), wrong)


if __name__ == "__main__":
    main(talk)
