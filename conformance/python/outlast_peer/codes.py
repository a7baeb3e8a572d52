"""Close codes (section 13)."""

_TABLE = """
0000 OK never
0001 GOING_AWAY later
0002 SUPERSEDED never
0003 IDLE now
0004 CALM later
0005 BUSY later
0006 MOVED later
0007 INTERNAL later
0101 BAD_FRAME now
0102 TOO_LARGE now
0103 FLOW_VIOLATION now
0104 BAD_STATE now
0105 BAD_LANE now
0106 HS_TIMEOUT now
0107 FRAME_TIMEOUT now
0108 UNKNOWN_CRITICAL now
0109 BAD_OPTION now
010A BAD_REQUEST now
0201 VERSION never
0202 CAPABILITY never
0203 AUTH_FAILED never
0204 AUTH_REQUIRED never
0205 FORBIDDEN never
0206 LIMITS new
0301 NO_SESSION new
0302 EXPIRED new
0303 BAD_TOKEN new
0304 STALE_ATTACH now
0305 PEER_STATE_LOST new
0306 SELF_STATE_LOST new
0307 ACK_BEYOND_SENT new
0308 ACK_REGRESS new
0309 SEQ_DESYNC new
030A POISON new
030B IDENTITY_MISMATCH new
030C EVICTED new
030D CREDIT_SHRINK new
"""

NAMES = {}
CLASSES = {}
for _line in _TABLE.split("\n"):
    if _line:
        _number, _name, _class = _line.split()
        NAMES[int(_number, 16)] = _name
        CLASSES[int(_number, 16)] = _class
        globals()[_name] = int(_number, 16)


def name(code):
    """The name of a code, or its number if none is assigned (COD-1)."""
    return NAMES.get(code, "%04X" % code)


def scope(code):
    """What a code is about, by its range (COD-2)."""
    if code >= 0x8000:
        return "application"
    names = {0: "normal", 1: "connection", 2: "handshake", 3: "session"}
    return names.get(code >> 8, "reserved")


def retry_class(code):
    """now, later, new or never (COD-3)."""
    if code in CLASSES:
        return CLASSES[code]
    return {0: "later", 1: "now", 2: "never", 3: "new"}.get(code >> 8, "later")


def ends_session(code):
    """Whether a code ends the session at both ends (COD-4)."""
    return scope(code) == "session" and code != NAMES_TO_CODES["STALE_ATTACH"]


NAMES_TO_CODES = {value: key for key, value in NAMES.items()}
