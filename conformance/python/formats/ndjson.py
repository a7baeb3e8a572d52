"""A JSON object on each line, as Python's json module writes it."""

import json
import time

from .common import Peer, echo, expect, main

MALFORMED, UNKNOWN, SERVER = "消息格式错误", "未知的消息类型", "服务器内部错误"


def message(name, **fields):
    return {"message_type": name, "timestamp": 1700000000.5, **fields}


def pack(value):
    return json.dumps(value, ensure_ascii=False).encode() + b"\n"


def read(peer):
    return json.loads(peer.line())


def complaint(peer, what, code, text):
    """An error, written as the original writes it."""
    line = peer.line().decode()
    said = json.loads(line)
    expect(f"{what}: the time is now", abs(time.time() - said["timestamp"]) < 60, True)
    wanted = {"message_type": "error_message", "timestamp": said["timestamp"],
              "error_code": code, "error_message": text}
    expect(what, line, json.dumps(wanted, ensure_ascii=False))


def talk(address):
    with Peer(address) as peer:
        peer.send(b"\n \t\n\r\n" + pack(message("a")))
        expect("echo behind blank lines", read(peer), message("a"))
        peer.send(pack(message("a"))[:-1] + b"\r\n")
        expect("echo of a line with a carriage return", peer.line() + b"\n", pack(message("a")))
        peer.send(b'{"message_type": "\xff"}\n' + pack(message("b")))
        expect("echo behind a line that is not UTF-8", read(peer), message("b"))
        for what, line, code, text in (
            ("no JSON", b"{x\n", 1008, MALFORMED), ("no name", b"{}\n", 1008, MALFORMED),
            ("a list", b"[1]\n", 1009, SERVER), ("a number", b"7\n", 1009, SERVER),
            ("a name nobody handles", pack(message("nobody")), 1008, UNKNOWN),
        ):
            peer.send(line + pack(message("behind", what=what)))
            complaint(peer, what, code, text)
            expect(f"echo behind {what}", read(peer), message("behind", what=what))
        peer.send(pack(message("heartbeat")))
        beat = read(peer)
        expect("answer to a heartbeat", beat["message_type"], "heartbeat")
        expect("its time is the server's", beat["timestamp"] == 1700000000.5, False)
    messages = [message("login_request", username="alice", password="passw0rd"),
                message("chat_message", content="你好\nthere", message_id=None),
                {"x": [1, {"message_type": "no"}], "message_type": "last"}]
    big = message("chat_message", content="b" * 1000000)
    echo(address, pack, read, messages, big, b"x" * ((1 << 20) + 1))


if __name__ == "__main__":
    main(talk)
