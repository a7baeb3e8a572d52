-- Shows outlast frames in Wireshark and tshark. docs/wireshark/README.md says how to install it.
--
-- Every rule that a frame can break by itself, without knowing what came before on its connection,
-- is an expert item of the group "malformed" whose text begins with the code of the specification.
-- Keys, proofs and what clients authenticate with are not shown.

local outlast = Proto("outlast", "outlast session protocol")

local HEADER = 4
local MAX_BODY = 16383
local GREETING_MAX = 1020
local REASON_MAX = 128

local KINDS = {
    [0x01] = "HELLO", [0x02] = "WELCOME", [0x03] = "AUTH", [0x08] = "ACK", [0x09] = "PING",
    [0x0A] = "PONG", [0x0C] = "DRAIN", [0x0D] = "CLOSE", [0x10] = "NOTE", [0x41] = "INFO",
    [0x5E] = "GREASE", [0x80] = "MSG", [0x81] = "REQ", [0x82] = "RSP", [0x84] = "CANCEL",
    [0x85] = "FIN", [0x86] = "TOKEN", [0x8F] = "CONT", [0xC0] = "SKIP",
}

local CODES = {
    [0x0000] = "OK", [0x0001] = "GOING_AWAY", [0x0002] = "SUPERSEDED", [0x0003] = "IDLE",
    [0x0004] = "CALM", [0x0005] = "BUSY", [0x0006] = "MOVED", [0x0007] = "INTERNAL",
    [0x0101] = "BAD_FRAME", [0x0102] = "TOO_LARGE", [0x0103] = "FLOW_VIOLATION",
    [0x0104] = "BAD_STATE", [0x0105] = "BAD_LANE", [0x0106] = "HS_TIMEOUT",
    [0x0107] = "FRAME_TIMEOUT", [0x0108] = "UNKNOWN_CRITICAL", [0x0109] = "BAD_OPTION",
    [0x010A] = "BAD_REQUEST", [0x0201] = "VERSION", [0x0202] = "CAPABILITY",
    [0x0203] = "AUTH_FAILED", [0x0204] = "AUTH_REQUIRED", [0x0205] = "FORBIDDEN",
    [0x0206] = "LIMITS", [0x0301] = "NO_SESSION", [0x0302] = "EXPIRED", [0x0303] = "BAD_TOKEN",
    [0x0304] = "STALE_ATTACH", [0x0305] = "PEER_STATE_LOST", [0x0306] = "SELF_STATE_LOST",
    [0x0307] = "ACK_BEYOND_SENT", [0x0308] = "ACK_REGRESS", [0x0309] = "SEQ_DESYNC",
    [0x030A] = "POISON", [0x030B] = "IDENTITY_MISMATCH", [0x030C] = "EVICTED",
    [0x030D] = "CREDIT_SHRINK",
}

local STATUS = {
    [0] = "OK", [1] = "APP", [2] = "NO_ROUTE", [3] = "REFUSED", [4] = "CANCELLED",
    [5] = "DEADLINE", [6] = "OVERLOADED", [7] = "DENIED", [8] = "INVALID", [9] = "INTERNAL",
    [10] = "OVERRUN",
}

local OPTIONS = {
    [0x01] = "CAPS", [0x02] = "RESUME", [0x03] = "AUTHM", [0x04] = "AGENT", [0x05] = "CLIENT_ID",
    [0x10] = "SESSION", [0x11] = "RESUMED", [0x12] = "ADDR",
}

local f = {
    kind = ProtoField.uint8("outlast.kind", "Kind", base.HEX, KINDS),
    sequenced = ProtoField.bool("outlast.sequenced", "Sequenced"),
    tag = ProtoField.uint8("outlast.tag", "Tag", base.HEX),
    len = ProtoField.uint16("outlast.len", "Body length", base.DEC),
    more = ProtoField.bool("outlast.more", "More fragments follow"),
    lane = ProtoField.bool("outlast.lane", "Lane (reserved)"),
    route = ProtoField.uint32("outlast.route", "Route", base.DEC_HEX),
    request = ProtoField.uint16("outlast.request", "Request", base.DEC),
    status = ProtoField.uint8("outlast.status", "Status", base.DEC, STATUS),
    payload = ProtoField.bytes("outlast.payload", "Payload"),
    ack = ProtoField.uint32("outlast.ack", "Acknowledged position (low half)", base.DEC),
    limit = ProtoField.uint32("outlast.limit", "Credit up to position (low half)", base.DEC),
    nonce = ProtoField.uint32("outlast.nonce", "Nonce", base.HEX),
    tx = ProtoField.uint32("outlast.tx", "Position sent (low half)", base.DEC),
    code = ProtoField.uint16("outlast.code", "Code", base.HEX, CODES),
    flags = ProtoField.uint16("outlast.flags", "Flags", base.HEX),
    retry_ms = ProtoField.uint32("outlast.retry_ms", "Come back after (ms)", base.DEC),
    rx_next = ProtoField.uint64("outlast.rx_next", "Next position expected", base.DEC),
    tx_first = ProtoField.uint64("outlast.tx_first", "First position kept", base.DEC),
    attach = ProtoField.uint32("outlast.attach", "Attach number", base.DEC),
    reason = ProtoField.string("outlast.reason", "Reason"),
    grace_ms = ProtoField.uint32("outlast.grace_ms", "Grace (ms)", base.DEC),
    spread_ms = ProtoField.uint32("outlast.spread_ms", "Spread (ms)", base.DEC),
    version = ProtoField.uint8("outlast.version", "Version", base.DEC),
    max_body = ProtoField.uint16("outlast.max_body", "Longest body", base.DEC),
    max_reqs = ProtoField.uint16("outlast.max_reqs", "Open requests", base.DEC),
    idle_ms = ProtoField.uint32("outlast.idle_ms", "Silence borne (ms)", base.DEC),
    beat_ms = ProtoField.uint32("outlast.beat_ms", "Fastest beat, or silence granted (ms)", base.DEC),
    window = ProtoField.uint32("outlast.window", "Window", base.DEC),
    max_msg = ProtoField.uint32("outlast.max_msg", "Longest message", base.DEC),
    ttl_s = ProtoField.uint32("outlast.ttl_s", "Retention (s)", base.DEC),
    send_buf = ProtoField.uint32("outlast.send_buf", "Send buffer", base.DEC),
    option = ProtoField.uint8("outlast.option", "Option", base.HEX, OPTIONS),
    sid = ProtoField.uint64("outlast.sid", "Session", base.HEX),
    epoch = ProtoField.uint32("outlast.epoch", "Epoch", base.DEC),
    key_id = ProtoField.uint8("outlast.key_id", "Key number", base.DEC),
    method = ProtoField.uint8("outlast.method", "Method", base.DEC),
    text = ProtoField.string("outlast.text", "Text"),
}
outlast.fields = f

local broken = ProtoExpert.new(
    "outlast.broken", "The frame breaks a rule", expert.group.MALFORMED, expert.severity.ERROR)
outlast.experts = { broken }

-- What a frame may have besides its header, before its body is looked at.
local SIZES = {
    [0x01] = { 36, GREETING_MAX }, [0x02] = { 36, GREETING_MAX }, [0x03] = { 0, GREETING_MAX },
    [0x08] = { 8, 8 }, [0x0C] = { 12, MAX_BODY }, [0x0D] = { 8, 150 }, [0x81] = { 2, MAX_BODY },
    [0x82] = { 2, MAX_BODY }, [0x84] = { 2, 2 }, [0x85] = { 0, 0 }, [0x86] = { 16, 16 },
}

-- Kinds whose tag is zero.
local TAGLESS = { [0x08] = 1, [0x09] = 1, [0x0A] = 1, [0x0C] = 1, [0x0D] = 1, [0x85] = 1 }
-- Kinds that may go on in a later frame.
local GO_ON = { [0x80] = 1, [0x81] = 1, [0x82] = 1, [0x8F] = 1 }

local function refuse(tree, code, why)
    tree:add_proto_expert_info(broken, code .. ": " .. why)
    return code
end

-- The code with which a header alone is refused, and why: in the order of the specification.
local function header_fault(kind, len, lane, more)
    if kind == 0 or bit.band(kind, 0x1F) == 31 then
        return "BAD_FRAME", "no frame has this kind"
    end
    local known, options = KINDS[kind], bit.band(kind, 0x20) ~= 0
    -- GREASE has bits that would mean options elsewhere.
    if not known and (options or bit.band(kind, 0x40) == 0) then
        return "UNKNOWN_CRITICAL", "a kind that may not be skipped"
    end
    if lane then
        return "BAD_LANE", "the second lane is reserved"
    end
    if more and not GO_ON[kind] then
        return "BAD_FRAME", "this kind has no fragments"
    end
    return nil
end

-- The code with which a whole frame is refused for its tag or the size of its body.
local function frame_fault(kind, tag, len)
    local size = SIZES[kind]
    if size and (len < size[1] or len > size[2]) then
        return "BAD_FRAME", "a body of " .. len .. " bytes"
    end
    if (kind == 0x09 or kind == 0x0A) and len ~= 0 and len ~= 16 then
        return "BAD_FRAME", "a body of " .. len .. " bytes"
    end
    if TAGLESS[kind] and tag ~= 0 then
        return "BAD_FRAME", "a tag of " .. tag
    end
    if kind == 0x8F and (tag > 1 or (tag == 0) == (len == 0)) then
        return "BAD_FRAME", "no fragment has this tag and size"
    end
    return nil
end

-- Adds the route of NOTE, MSG or REQ; where the body goes on, or nothing after a fault.
local function add_route(tree, frame, tag)
    local size = (tag == 0xFE and 2) or (tag == 0xFF and 4) or 0
    if tag == 0xFC or tag == 0xFD then
        refuse(tree, "BAD_FRAME", "a reserved route")
        return nil
    end
    if frame:len() < HEADER + size then
        refuse(tree, "BAD_FRAME", "no room for the route")
        return nil
    end
    if size == 0 then
        tree:add(f.route, frame(1, 1), tag)
        return HEADER, tag
    end
    local range = frame(HEADER, size)
    tree:add_le(f.route, range)
    return HEADER + size, range:le_uint()
end

local function add_payload(tree, frame, at)
    if frame:len() > at then
        tree:add(f.payload, frame(at))
    end
end

local function hidden(tree, frame, at, size, what)
    tree:add(outlast, frame(at, size), what .. " (" .. size .. " bytes, not shown)")
end

local add_option = {
    [0x02] = function(tree, frame, at)
        tree:add_le(f.sid, frame(at, 8))
        tree:add_le(f.attach, frame(at + 8, 4))
        tree:add(f.key_id, frame(at + 12, 1))
        tree:add_le(f.rx_next, frame(at + 16, 8))
        tree:add_le(f.tx_first, frame(at + 24, 8))
        hidden(tree, frame, at + 32, 16, "Proof")
    end,
    [0x03] = function(tree, frame, at, size)
        tree:add(f.method, frame(at, 1))
        if size > 1 then
            hidden(tree, frame, at + 1, size - 1, "Credentials")
        end
    end,
    [0x10] = function(tree, frame, at)
        tree:add_le(f.sid, frame(at, 8))
        tree:add_le(f.epoch, frame(at + 8, 4))
        tree:add(f.key_id, frame(at + 12, 1))
        hidden(tree, frame, at + 16, 16, "Key")
    end,
    [0x11] = function(tree, frame, at)
        tree:add_le(f.rx_next, frame(at, 8))
        tree:add_le(f.tx_first, frame(at + 8, 8))
        tree:add_le(f.epoch, frame(at + 16, 4))
    end,
}

local OPTION_SIZES = { [0x01] = 4, [0x02] = 48, [0x10] = 32, [0x11] = 20 }

local function add_text(tree, frame, at, size)
    if size > 0 then
        tree:add(f.text, frame(at, size))
    end
end

local function add_options(tree, frame, at)
    local seen = {}
    while at < frame:len() do
        if at + 2 > frame:len() then
            return refuse(tree, "BAD_OPTION", "half an option")
        end
        local kind, size = frame(at, 1):uint(), frame(at + 1, 1):uint()
        if at + 2 + size > frame:len() then
            return refuse(tree, "BAD_OPTION", "an option that runs beyond the body")
        end
        local name = OPTIONS[kind] or string.format("unknown option 0x%02x", kind)
        local option = tree:add(outlast, frame(at, 2 + size), name)
        option:add(f.option, frame(at, 1))
        if not OPTIONS[kind] and kind >= 0x80 then
            return refuse(option, "BAD_OPTION", "an option that may not be skipped")
        end
        if OPTIONS[kind] and seen[kind] then
            return refuse(option, "BAD_OPTION", "an option that comes twice")
        end
        if (OPTION_SIZES[kind] or size) ~= size or (kind == 0x03 and size == 0) then
            return refuse(option, "BAD_OPTION", "an option of a wrong length")
        end
        seen[kind] = true
        local add = add_option[kind] or (OPTIONS[kind] and kind ~= 0x01 and add_text)
        if add then
            add(option, frame, at + 2, size)
        end
        at = at + 2 + size
    end
    return nil
end

local function add_greeting(tree, frame, kind)
    if frame(HEADER, 4):string() ~= "OUTL" then
        return refuse(tree, "BAD_FRAME", "not the magic")
    end
    tree:add(f.version, frame(HEADER + 4, 1))
    if kind == 0x01 then
        tree:add(f.version, frame(HEADER + 5, 1))
    end
    tree:add_le(f.flags, frame(HEADER + 6, 2))
    local terms = { f.max_body, f.max_reqs }
    for index, field in ipairs(terms) do
        tree:add_le(field, frame(HEADER + 6 + 2 * index, 2))
    end
    terms = { f.idle_ms, f.beat_ms, f.window, f.max_msg, f.ttl_s, f.send_buf }
    for index, field in ipairs(terms) do
        tree:add_le(field, frame(HEADER + 8 + 4 * index, 4))
    end
    return add_options(tree, frame, HEADER + 36)
end

local function add_close(tree, frame)
    local flags = frame(HEADER + 2, 2):le_uint()
    tree:add_le(f.code, frame(HEADER, 2))
    tree:add_le(f.flags, frame(HEADER + 2, 2))
    tree:add_le(f.retry_ms, frame(HEADER + 4, 4))
    if flags > 31 then
        return refuse(tree, "BAD_FRAME", "unknown flags")
    end
    local at = HEADER + 8
    local parts = { { 4, 8, f.rx_next }, { 8, 4, f.attach }, { 16, 2, f.version } }
    for _, part in ipairs(parts) do
        local bits, size, field = part[1], part[2], part[3]
        if bit.band(flags, bits) ~= 0 then
            if at + size > frame:len() then
                return refuse(tree, "BAD_FRAME", "shorter than its flags say")
            end
            if size == 2 then
                tree:add(field, frame(at, 1))
                tree:add(field, frame(at + 1, 1))
            else
                tree:add_le(field, frame(at, size))
            end
            at = at + size
        end
    end
    if frame:len() - at > REASON_MAX then
        return refuse(tree, "BAD_FRAME", "a reason of more than 128 bytes")
    end
    if frame:len() > at then
        tree:add(f.reason, frame(at))
    end
    return nil
end

local function code_name(frame)
    local code = frame(HEADER, 2):le_uint()
    return CODES[code] or string.format("0x%04x", code)
end

-- Adds the body of a frame; a word on it for the list of packets.
local add_body = {
    [0x01] = add_greeting,
    [0x02] = add_greeting,
    [0x03] = function(tree, frame)
        if frame:len() > HEADER then
            hidden(tree, frame, HEADER, frame:len() - HEADER, "Data of the method")
        end
    end,
    [0x08] = function(tree, frame)
        tree:add_le(f.ack, frame(HEADER, 4))
        tree:add_le(f.limit, frame(HEADER + 4, 4))
    end,
    [0x0C] = function(tree, frame)
        tree:add_le(f.code, frame(HEADER, 2))
        if frame(HEADER + 2, 2):uint() ~= 0 then
            return refuse(tree, "BAD_FRAME", "reserved bits that are not zero")
        end
        tree:add_le(f.grace_ms, frame(HEADER + 4, 4))
        tree:add_le(f.spread_ms, frame(HEADER + 8, 4))
        return add_options(tree, frame, HEADER + 12)
    end,
    [0x0D] = add_close,
    [0x84] = function(tree, frame)
        tree:add_le(f.request, frame(HEADER, 2))
    end,
    [0x86] = function(tree, frame)
        tree:add(f.key_id, frame(1, 1))
        hidden(tree, frame, HEADER, 16, "Key")
    end,
    [0x8F] = function(tree, frame)
        add_payload(tree, frame, HEADER)
    end,
}

local function add_probe(tree, frame)
    if frame:len() == HEADER then
        return
    end
    for index, field in ipairs({ f.nonce, f.tx, f.ack, f.limit }) do
        tree:add_le(field, frame(HEADER + 4 * (index - 1), 4))
    end
end
add_body[0x09], add_body[0x0A] = add_probe, add_probe

local function add_message(tree, frame, kind, tag)
    local at, route = add_route(tree, frame, tag)
    if not at then
        return "BAD_FRAME"
    end
    local word = " route " .. route
    if kind == 0x81 then
        if frame:len() < at + 2 then
            return refuse(tree, "BAD_FRAME", "no room for the request's number")
        end
        tree:add_le(f.request, frame(at, 2))
        word = word .. " id " .. frame(at, 2):le_uint()
        at = at + 2
    end
    add_payload(tree, frame, at)
    return nil, word
end
add_body[0x10], add_body[0x80], add_body[0x81] = add_message, add_message, add_message

add_body[0x82] = function(tree, frame, _, tag)
    tree:add(f.status, frame(1, 1))
    tree:add_le(f.request, frame(HEADER, 2))
    add_payload(tree, frame, HEADER + 2)
    return nil, " " .. (STATUS[tag] or tag) .. " id " .. frame(HEADER, 2):le_uint()
end

-- One whole frame. Wireshark puts it together from segments.
local function dissect_frame(frame, pinfo, root)
    local kind, tag = frame(0, 1):uint(), frame(1, 1):uint()
    local high = frame(2, 2):le_uint()
    local len, more = bit.band(high, 0x3FFF), bit.band(high, 0x4000) ~= 0
    local lane = bit.band(high, 0x8000) ~= 0
    local name = KINDS[kind] or string.format("0x%02x", kind)
    local tree = root:add(outlast, frame(), "outlast " .. name)
    tree:add(f.kind, frame(0, 1))
    tree:add(f.sequenced, frame(0, 1), kind >= 0x80)
    tree:add(f.tag, frame(1, 1))
    tree:add_le(f.len, frame(2, 2), len)
    tree:add(f.more, frame(3, 1), more)
    tree:add(f.lane, frame(3, 1), lane)
    local fault, why = header_fault(kind, len, lane, more)
    if not fault then
        fault, why = frame_fault(kind, tag, len)
    end
    local word = ""
    if fault then
        refuse(tree, fault, why)
    elseif add_body[kind] then
        fault, word = add_body[kind](tree, frame, kind, tag)
    elseif len > 0 then
        add_payload(tree, frame, HEADER)
    end
    if kind == 0x0D and not fault then
        word = " " .. code_name(frame)
    end
    local shown = name .. (word or "") .. (more and " ..." or "")
    if fault then
        shown = "[" .. fault .. "] " .. name
    end
    tree:append_text((word or ""))
    local info = tostring(pinfo.cols.info)
    pinfo.cols.info:append((string.find(info, "outlast: ", 1, true) and ", " or "outlast: ") .. shown)
    return frame:len()
end

local function frame_size(tvb, _, at)
    local high = tvb(at + 2, 2):le_uint()
    local len = bit.band(high, 0x3FFF)
    local lane, more = bit.band(high, 0x8000) ~= 0, bit.band(high, 0x4000) ~= 0
    if header_fault(tvb(at, 1):uint(), len, lane, more) then
        -- The connection ends here: nothing behind this header is a frame.
        return tvb:len() - at
    end
    return HEADER + len
end

local function dissect(tvb, pinfo, root)
    pinfo.cols.protocol = "outlast"
    pinfo.cols.info = ""
    dissect_tcp_pdus(tvb, root, HEADER, frame_size, dissect_frame)
    return tvb:len()
end
outlast.dissector = dissect

DissectorTable.get("tcp.port"):add(7411, outlast)

-- On any other port a connection is known by the magic of its HELLO. That of a WELCOME alone says
-- nothing about where the client's frames begin, if none of its segments began with a HELLO.
local function is_greeting(tvb)
    return tvb:len() >= 8 and tvb(0, 1):uint() == 0x01 and tvb(4, 4):string() == "OUTL"
end

outlast:register_heuristic("tcp", function(tvb, pinfo, root)
    if not is_greeting(tvb) then
        return false
    end
    pinfo.conversation = outlast
    -- Not by way of the protocol: a dissector that another one calls cannot ask for more segments.
    dissect(tvb, pinfo, root)
    return true
end)
