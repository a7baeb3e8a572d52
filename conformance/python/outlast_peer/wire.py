"""Frames: how they are laid out, checked and written (sections 2, 3 and 12).

A frame is read as a name and a dictionary of its fields. The names are those of the golden
vectors: "message", "hello", "ack" and so on.
"""

import struct

from . import codes

HELLO, WELCOME, AUTH = 0x01, 0x02, 0x03
ACK, PING, PONG, DRAIN, CLOSE, NOTE = 0x08, 0x09, 0x0A, 0x0C, 0x0D, 0x10
INFO, GREASE = 0x41, 0x5E
MSG, REQ, RSP, CANCEL, FIN, TOKEN, CONT = 0x80, 0x81, 0x82, 0x84, 0x85, 0x86, 0x8F
SKIP = 0xC0

KINDS = frozenset((HELLO, WELCOME, AUTH, ACK, PING, PONG, DRAIN, CLOSE, NOTE, INFO, GREASE, MSG,
                   REQ, RSP, CANCEL, FIN, TOKEN, CONT, SKIP))
FRAGMENTED = frozenset((MSG, REQ, RSP, CONT))
GREETINGS = frozenset((HELLO, WELCOME, AUTH))
HANDSHAKE = GREETINGS | {CLOSE}
UNTAGGED = frozenset((ACK, PING, PONG, DRAIN, CLOSE, FIN))

SEQUENCED = 0x80
IGNORABLE = 0x40
OPTIONS = 0x20

MAGIC = b"OUTL"
VERSION = 1
MAX_BODY = 16383
MIN_MAX_BODY = 60
HANDSHAKE_BODY = 1020
MORE, LANE = 1 << 14, 1 << 15

SESSION_ENDED, NO_RETRY, HAS_RX, HAS_ATTACH, HAS_RANGE = 1, 2, 4, 8, 16

_TERMS = struct.Struct("<HHIIIIII")
_TERM_NAMES = ("max_body", "max_requests", "idle_ms", "heartbeat_ms", "window", "max_msg",
               "ttl_s", "send_buffer")
_PROBE = struct.Struct("<IIII")
_ACK = struct.Struct("<II")
_WORD = struct.Struct("<H")


class Refused(Exception):
    """The peer broke a rule; the connection fails with this code."""

    def __init__(self, name, why=""):
        super().__init__(name + (": " + why if why else ""))
        self.code = codes.NAMES_TO_CODES[name]


def check_header(kind, word, max_body):
    """FRM-11: the checks that four bytes suffice for, in their order."""
    if kind == 0 or kind & 0x1F == 0x1F:
        raise Refused("BAD_FRAME", "kind %02x" % kind)
    if kind not in KINDS and (kind & OPTIONS or not kind & IGNORABLE):
        raise Refused("UNKNOWN_CRITICAL", "kind %02x" % kind)
    if word & LANE:
        raise Refused("BAD_LANE", "lane 1 is reserved")
    if word & MORE and kind not in FRAGMENTED:
        raise Refused("BAD_FRAME", "MORE on kind %02x" % kind)
    if word & 0x3FFF > max_body:
        raise Refused("TOO_LARGE", "%d bytes" % (word & 0x3FFF))


def header(kind, tag, length, more=False):
    """Four bytes."""
    return bytes((kind, tag, length & 0xFF, length >> 8 | (0x40 if more else 0)))


def frame(kind, tag=0, body=b"", more=False):
    """A whole frame."""
    return header(kind, tag, len(body), more) + body


# Routes -------------------------------------------------------------------------------------

def route_head(route):
    """FRM-16: the tag and the bytes in front of the payload, as short as can be."""
    if route < 0xFC:
        return route, b""
    if route <= 0xFFFF:
        return 0xFE, struct.pack("<H", route)
    return 0xFF, struct.pack("<I", route)


def _route(tag, body):
    """A route, and where the payload begins."""
    if tag < 0xFC:
        return tag, 0
    if tag == 0xFE and len(body) >= 2:
        return _WORD.unpack_from(body)[0], 2
    if tag == 0xFF and len(body) >= 4:
        return struct.unpack_from("<I", body)[0], 4
    raise Refused("BAD_FRAME", "route")


# Options ------------------------------------------------------------------------------------

def _options(body, known):
    """FRM-22 to FRM-24: a dictionary of the known options; `known` gives their lengths."""
    found = {}
    at = 0
    while at < len(body):
        if at + 2 > len(body) or at + 2 + body[at + 1] > len(body):
            raise Refused("BAD_OPTION", "cut")
        kind, length = body[at], body[at + 1]
        value = body[at + 2:at + 2 + length]
        at += 2 + length
        if kind in known:
            least, most = known[kind]
            if kind in found or not least <= length <= most:
                raise Refused("BAD_OPTION", "option %02x" % kind)
            found[kind] = value
        elif kind & 0x80:
            raise Refused("BAD_OPTION", "unknown and critical")
    return found


def _option(kind, value):
    return bytes((kind, len(value))) + value


_HELLO_OPTIONS = {0x01: (4, 4), 0x02: (48, 48), 0x03: (1, 255), 0x04: (0, 255), 0x05: (0, 255)}
_WELCOME_OPTIONS = {0x01: (4, 4), 0x10: (32, 32), 0x11: (20, 20), 0x12: (0, 255)}
_DRAIN_OPTIONS = {0x12: (0, 255)}
_RESUME = struct.Struct("<QIBBHQQ16s")
_SESSION = struct.Struct("<QIB3s16s")
_RESUMED = struct.Struct("<QQI")


# Handshake ----------------------------------------------------------------------------------

def _decode_hello(body):
    if body[:4] != MAGIC[:len(body)] or len(body) < 36 or len(body) > HANDSHAKE_BODY:
        raise Refused("BAD_FRAME", "HELLO")
    out = {"version_min": body[4], "version_max": body[5]}
    flags = _WORD.unpack_from(body, 6)[0]
    if flags & ~7:
        raise Refused("BAD_FRAME", "unknown flags")
    # HND-7
    if not 1 <= body[4] <= body[5]:
        raise Refused("BAD_FRAME", "versions")
    out.update(zip(_TERM_NAMES, _TERMS.unpack_from(body, 8)))
    options = _options(body[36:], _HELLO_OPTIONS)
    check_limits(out)
    out["wants_session"] = bool(flags & 2)
    out["caps"] = int.from_bytes(options.get(0x01, b""), "little")
    # HND-8
    if bool(flags & 1) != (0x02 in options) or bool(flags & 4) != (0x03 in options):
        raise Refused("BAD_OPTION", "flags and options differ")
    if 0x02 in options:
        sid, attach, key_id, proof_kind, reserved, rx_next, tx_first, proof = _RESUME.unpack(
            options[0x02])
        if reserved:
            raise Refused("BAD_OPTION", "reserved")
        out["resume"] = {"sid": sid, "attach": attach, "key_id": key_id,
                         "proof_kind": proof_kind, "rx_next": rx_next, "tx_first": tx_first,
                         "proof": proof}
    if 0x03 in options:
        out["auth_method"], out["auth_data"] = options[0x03][0], options[0x03][1:]
    if 0x04 in options:
        out["agent"] = options[0x04]
    if 0x05 in options:
        out["client_id"] = options[0x05]
    return "hello", out


def check_limits(terms):
    """HND-9."""
    if not (MIN_MAX_BODY <= terms["max_body"] <= MAX_BODY
            and terms["max_body"] + 4 <= terms["window"] < 1 << 31):
        raise Refused("LIMITS", "max_body or window")


def _encode_hello(fields):
    flags = 2 if fields.get("wants_session", True) else 0
    options = b""
    if fields.get("caps"):
        options += _option(0x01, struct.pack("<I", fields["caps"]))
    if "resume" in fields:
        flags |= 1
        claim = fields["resume"]
        options += _option(0x02, _RESUME.pack(
            claim["sid"], claim["attach"], claim["key_id"], claim["proof_kind"], 0,
            claim["rx_next"], claim["tx_first"], claim["proof"]))
    if "auth_method" in fields:
        flags |= 4
        options += _option(0x03, bytes((fields["auth_method"],)) + fields["auth_data"])
    if "agent" in fields:
        options += _option(0x04, fields["agent"])
    if "client_id" in fields:
        options += _option(0x05, fields["client_id"])
    body = MAGIC + bytes((fields["version_min"], fields["version_max"])) + _WORD.pack(flags)
    return frame(HELLO, 1, body + _terms(fields) + options)


def _terms(fields):
    return _TERMS.pack(*(fields[name] for name in _TERM_NAMES))


def _decode_welcome(body):
    if body[:4] != MAGIC[:len(body)] or len(body) < 36 or len(body) > HANDSHAKE_BODY or body[5]:
        raise Refused("BAD_FRAME", "WELCOME")
    out = {"version": body[4]}
    flags = _WORD.unpack_from(body, 6)[0]
    if flags & ~3:
        raise Refused("BAD_FRAME", "unknown flags")
    out.update(zip(_TERM_NAMES, _TERMS.unpack_from(body, 8)))
    options = _options(body[36:], _WELCOME_OPTIONS)
    check_limits(out)
    out["has_session"] = bool(flags & 2)
    out["caps"] = int.from_bytes(options.get(0x01, b""), "little")
    # HND-8 and HND-15
    one_of_two = (0x10 in options) + (0x11 in options)
    if bool(flags & 1) != (0x11 in options) or one_of_two != out["has_session"]:
        raise Refused("BAD_OPTION", "flags and options differ")
    if 0x10 in options:
        sid, epoch, key_id, reserved, key = _SESSION.unpack(options[0x10])
        if reserved != b"\0\0\0":
            raise Refused("BAD_OPTION", "reserved")
        out["session"] = {"sid": sid, "epoch": epoch, "key_id": key_id, "key": key}
    if 0x11 in options:
        rx_next, tx_first, epoch = _RESUMED.unpack(options[0x11])
        out["resumed"] = {"rx_next": rx_next, "tx_first": tx_first, "epoch": epoch}
    if 0x12 in options:
        out["address"] = options[0x12]
    return "welcome", out


def _encode_welcome(fields):
    flags = 2 if fields.get("has_session", True) else 0
    options = b""
    if fields.get("caps"):
        options += _option(0x01, struct.pack("<I", fields["caps"]))
    if "session" in fields:
        grant = fields["session"]
        options += _option(0x10, _SESSION.pack(grant["sid"], grant["epoch"], grant["key_id"],
                                               b"\0\0\0", grant["key"]))
    if "resumed" in fields:
        flags |= 1
        known = fields["resumed"]
        options += _option(0x11, _RESUMED.pack(known["rx_next"], known["tx_first"],
                                               known["epoch"]))
    if "address" in fields:
        options += _option(0x12, fields["address"])
    body = MAGIC + bytes((fields["version"], 0)) + _WORD.pack(flags)
    return frame(WELCOME, 1, body + _terms(fields) + options)


def _decode_greeting(tag, body, decode):
    # HND-2 before HND-5: what has another magic is no HELLO of any version.
    if body[:4] != MAGIC:
        raise Refused("BAD_FRAME", "magic")
    if tag != VERSION:
        raise Refused("VERSION", "layout %d" % tag)
    return decode(body)


# CLOSE and DRAIN ----------------------------------------------------------------------------

def _decode_close(body):
    if len(body) < 8 or len(body) > 150:
        raise Refused("BAD_FRAME", "CLOSE")
    code, flags, retry_ms = struct.unpack_from("<HHI", body)
    out = {"code": code, "flags": flags, "retry_ms": retry_ms}
    parts = (8 if flags & HAS_RX else 0) + (4 if flags & HAS_ATTACH else 0) + (
        2 if flags & HAS_RANGE else 0)
    if flags & ~31 or not 8 + parts <= len(body) <= 8 + parts + 128:
        raise Refused("BAD_FRAME", "CLOSE")
    at = 8
    if flags & HAS_RX:
        out["rx_next"] = struct.unpack_from("<Q", body, at)[0]
        at += 8
    if flags & HAS_ATTACH:
        out["last_attach"] = struct.unpack_from("<I", body, at)[0]
        at += 4
    if flags & HAS_RANGE:
        out["version_min"], out["version_max"] = body[at], body[at + 1]
        at += 2
    try:
        out["reason"] = body[at:].decode("utf-8")
    except UnicodeDecodeError:
        raise Refused("BAD_FRAME", "reason") from None
    return "close", out


def encode_close(code, flags=0, retry_ms=0, rx_next=None, last_attach=None, versions=None,
                 reason=""):
    """CLOSE; the flags of optional parts follow from what is given."""
    parts = b""
    if rx_next is not None:
        flags |= HAS_RX
        parts += struct.pack("<Q", rx_next)
    if last_attach is not None:
        flags |= HAS_ATTACH
        parts += struct.pack("<I", last_attach)
    if versions is not None:
        flags |= HAS_RANGE
        parts += bytes(versions)
    text = reason.encode("utf-8")[:128].decode("utf-8", "ignore").encode("utf-8")
    return frame(CLOSE, 0, struct.pack("<HHI", code, flags, retry_ms) + parts + text)


def _decode_drain(body):
    if len(body) < 12:
        raise Refused("BAD_FRAME", "DRAIN")
    code, reserved, grace_ms, spread_ms = struct.unpack_from("<HHII", body)
    if reserved:
        raise Refused("BAD_FRAME", "reserved")
    out = {"code": code, "grace_ms": grace_ms, "spread_ms": spread_ms}
    options = _options(body[12:], _DRAIN_OPTIONS)
    if 0x12 in options:
        out["address"] = options[0x12]
    return "drain", out


def _encode_drain(fields):
    body = struct.pack("<HHII", fields["code"], 0, fields["grace_ms"], fields["spread_ms"])
    if "address" in fields:
        body += _option(0x12, fields["address"])
    return frame(DRAIN, 0, body)


# The other frames ---------------------------------------------------------------------------

def _sized(body, *sizes):
    """FRM-12."""
    if len(body) not in sizes:
        raise Refused("BAD_FRAME", "%d bytes" % len(body))


def _probe(name, body):
    _sized(body, 0, 16)
    if not body:
        return name, {}
    nonce, tx, ack, limit = _PROBE.unpack(body)
    return name, {"nonce": nonce, "tx": tx, "ack": ack, "limit": limit}


def decode(kind, tag, more, body):
    """The name and the fields of a frame whose header was checked."""
    if kind == MSG or kind == NOTE:
        if tag < 0xFC:
            fields = {"route": tag, "payload": body}
        else:
            route, at = _route(tag, body)
            fields = {"route": route, "payload": body[at:]}
        if kind == NOTE:
            return "note", fields
        fields["more"] = more
        return "message", fields
    if kind in UNTAGGED and tag:
        raise Refused("BAD_FRAME", "tag %02x" % tag)
    if kind == ACK:
        _sized(body, 8)
        ack, limit = _ACK.unpack(body)
        return "ack", {"ack": ack, "limit": limit}
    if kind == REQ:
        route, at = _route(tag, body)
        if len(body) < at + 2:
            raise Refused("BAD_FRAME", "REQ")
        return "request", {"id": _WORD.unpack_from(body, at)[0], "route": route,
                           "payload": body[at + 2:], "more": more}
    if kind == RSP:
        if len(body) < 2:
            raise Refused("BAD_FRAME", "RSP")
        return "response", {"id": _WORD.unpack_from(body)[0], "status": tag,
                            "payload": body[2:], "more": more}
    if kind == CONT:
        return _decode_continue(tag, more, body)
    return _decode_rare(kind, tag, body)


def _decode_continue(tag, more, body):
    # FRG-8
    if tag > 1 or (tag == 1 and (body or more)) or (tag == 0 and not body):
        raise Refused("BAD_FRAME", "CONT")
    if tag == 1:
        return "abort", {}
    return "continue", {"payload": body, "more": more}


def _decode_rare(kind, tag, body):
    if kind == PING:
        return _probe("ping", body)
    if kind == PONG:
        return _probe("pong", body)
    if kind == CANCEL:
        _sized(body, 2)
        return "cancel", {"id": _WORD.unpack(body)[0], "reason": tag}
    if kind == FIN:
        _sized(body, 0)
        return "fin", {}
    if kind == TOKEN:
        _sized(body, 16)
        return "token", {"key_id": tag, "key": body}
    if kind == HELLO:
        return _decode_greeting(tag, body, _decode_hello)
    if kind == WELCOME:
        return _decode_greeting(tag, body, _decode_welcome)
    if kind == AUTH:
        if len(body) > HANDSHAKE_BODY:
            raise Refused("BAD_FRAME", "AUTH")
        return "auth", {"step": tag, "data": body}
    if kind == DRAIN:
        return _decode_drain(body)
    if kind == CLOSE:
        return _decode_close(body)
    if kind == SKIP:
        return "skip", {}
    return "ignored", {"sequenced": bool(kind & SEQUENCED)}


def encode(name, fields):
    """The frame of this name with these fields."""
    more = fields.get("more", False)
    payload = fields.get("payload", b"")
    if name in ("message", "note"):
        tag, head = route_head(fields["route"])
        return frame(MSG if name == "message" else NOTE, tag, head + payload, more)
    if name == "request":
        tag, head = route_head(fields["route"])
        return frame(REQ, tag, head + _WORD.pack(fields["id"]) + payload, more)
    if name == "response":
        return frame(RSP, fields["status"], _WORD.pack(fields["id"]) + payload, more)
    if name == "continue":
        return frame(CONT, 0, payload, more)
    if name == "ack":
        return frame(ACK, 0, _ACK.pack(fields["ack"], fields["limit"]))
    if name in ("ping", "pong"):
        body = b""
        if "nonce" in fields:
            body = _PROBE.pack(fields["nonce"], fields["tx"], fields["ack"], fields["limit"])
        return frame(PING if name == "ping" else PONG, 0, body)
    return _ENCODERS[name](fields)


_ENCODERS = {
    "abort": lambda fields: frame(CONT, 1),
    "fin": lambda fields: frame(FIN),
    "token": lambda fields: frame(TOKEN, fields["key_id"], fields["key"]),
    "cancel": lambda fields: frame(CANCEL, fields["reason"], _WORD.pack(fields["id"])),
    "auth": lambda fields: frame(AUTH, fields["step"], fields["data"]),
    "skip": lambda fields: frame(SKIP),
    "ignored": lambda fields: frame(0xDE if fields["sequenced"] else GREASE),
    "hello": _encode_hello,
    "welcome": _encode_welcome,
    "drain": _encode_drain,
    "close": lambda fields: encode_close(
        fields["code"], fields["flags"], fields["retry_ms"], fields.get("rx_next"),
        fields.get("last_attach"),
        (fields["version_min"], fields["version_max"]) if "version_min" in fields else None,
        fields["reason"]),
}


class Reader:
    """Takes frames out of a stream. Keeps what is not whole (DRV-10)."""

    def __init__(self, max_body):
        self.max_body = max_body
        self.buffer = bytearray()
        self.at = 0

    def feed(self, data):
        """Bytes as they came."""
        if self.at:
            del self.buffer[:self.at]
            self.at = 0
        self.buffer += data

    def partial(self):
        """Whether there is the beginning of a frame."""
        return self.at < len(self.buffer)

    def next(self):
        """The next whole frame: kind, tag, whether MORE, body, size; None if there is none."""
        buffer, at = self.buffer, self.at
        if len(buffer) - at < 4:
            return None
        kind = buffer[at]
        word = buffer[at + 2] | buffer[at + 3] << 8
        length = word & 0x3FFF
        if kind not in KINDS or word & ~0x3FFF or length > self.max_body:
            check_header(kind, word, self.max_body)
        end = at + 4 + length
        if end > len(buffer):
            return None
        self.at = end
        return kind, buffer[at + 1], bool(word & MORE), bytes(buffer[at + 4:end]), 4 + length


def check_greeting(buffer, kinds):
    """HND-1 and HND-2: the first bytes of a peer, checked as soon as they are there.

    `kinds` are those that may come first; returns the size of the frame, or None.
    """
    if not buffer:
        return None
    if buffer[0] not in HANDSHAKE:
        raise Refused("BAD_STATE" if buffer[0] in KINDS else "BAD_FRAME", "first byte")
    if len(buffer) >= 4:
        word = buffer[2] | buffer[3] << 8
        check_header(buffer[0], word, HANDSHAKE_BODY)
        size = 4 + (word & 0x3FFF)
    else:
        size = None
    if buffer[0] in (HELLO, WELCOME):
        seen = bytes(buffer[4:8])
        if seen != MAGIC[:len(seen)]:
            raise Refused("BAD_FRAME", "magic")
    if size is None or len(buffer) < size:
        return None
    if buffer[0] not in kinds:
        decode(buffer[0], buffer[1], False, bytes(buffer[4:size]))
        raise Refused("BAD_STATE", "not now")
    return size
