"""A session over any number of connections (sections 5 to 12), without sockets and clocks.

What happens is told as tuples in `events`, the first item of each is its name:

    ("opened",)  ("resumed",)  ("message", route, payload, position)
    ("request", id, route, payload, position)  ("response", id, status, payload, position)
    ("cancelled", id, reason)  ("note", route, payload)  ("acked", position)  ("finished",)
    ("disconnected", code)  ("draining", spread_ms)  ("ended",)  ("lost", code, position or None)
    ("unanswered", id, "not sent" or "unknown")
    ("closed", code, fields of the CLOSE that came)  ("leaving",)
"""

import random
from collections import deque

from . import codes, wire
from .calls import ATTACHED, DEAD, DETACHED, ENDED, NEW, Calls
from .inbound import Inbound
from .link import Link
from .outbound import Outbound
from .wire import Refused


# What one turn hands to a connection before its transport has taken it (DRV-14).
AHEAD = 32 << 10


class Session(Calls):
    """One end of a session."""

    def __init__(self, config, role):
        self.config = config
        self.role = role
        self.state = NEW
        self.sid = 0
        self.epoch = 0
        self.attach_number = 0
        self.keys = {}
        self.key_id = 0
        self.out = Outbound(config.send_buffer)
        self.inn = Inbound(config.window, config.max_message, config.release == "manual")
        self.peer = None
        self.max_body = 0
        self.ttl_s = 0
        self.asked = {}
        self.owing = set()
        self.refusals = set()
        self.tail = deque()
        self.fin_at = None
        self.next_key = None
        self.fault = None
        self.detached_at = None
        self.over = None
        self.heard = False
        self.link = None
        self.events = deque()
        self.rotation_end = None

    # Attaching ---------------------------------------------------------------------------------

    def terms(self):
        """What HELLO and WELCOME say of this end's limits, without the timers."""
        config = self.config
        return {"max_body": config.max_body, "max_requests": config.max_requests,
                "window": self.inn.window, "max_msg": config.max_message,
                "send_buffer": config.send_buffer, "ttl_s": config.retention_s}

    def adopt_peer(self, terms):
        """HND-20: what may be sent to this peer, for as long as the session lives."""
        self.peer = dict(terms)
        self.max_body = min(terms["max_body"], terms["window"] - 4, self.config.send_buffer - 4)
        self.out.limit = terms["window"]

    def check_limits(self, terms):
        """RSM-14: a resume may not take back what the session uses."""
        if (terms["max_body"] < self.max_body
                or terms["max_requests"] < min(self.peer["max_requests"],
                                               self.config.max_requests_out)
                or terms["max_msg"] < self.peer["max_msg"]):
            raise Refused("LIMITS", "less than the session uses")

    def check_positions(self, rx_next, tx_first):
        """RSM-6."""
        if rx_next >= self.out.acked and tx_first > self.inn.next:
            raise Refused("SELF_STATE_LOST")
        self.out.check_resume(rx_next)

    def attach(self, now, bears_ms, borne_ms, resumed_at=None, window=0):
        """A connection was greeted: `resumed_at` is what the peer has received."""
        self.link = Link(now, self.config.max_body, bears_ms / 1000, borne_ms / 1000,
                         self.config.frame_timeout_ms / 1000)
        self.state = ATTACHED
        self.detached_at = None
        if resumed_at is None:
            self.link.ack_owed = self.role == "client"
            self.events.append(("opened",))
            return
        self.out.resume(resumed_at, window)
        # RSM-11, RSM-15
        self.inn.granted = max(self.inn.granted, self.inn.done + self.inn.window)
        self.link.ack_owed = True
        self.events.append(("resumed",))

    def fence(self):
        """RSM-8, RSM-10: the connection loses the session; returns its CLOSE."""
        frame = wire.encode_close(codes.NAMES_TO_CODES["SUPERSEDED"], wire.NO_RETRY,
                                  rx_next=self.inn.next)
        self.fault = None
        self._let_go()
        return frame

    def lost_connection(self):
        """DRV-7: the stream ended or failed."""
        if self.link is not None:
            self.fault = None
            self._let_go()

    def _let_go(self):
        self.link = None
        if self.state == ATTACHED:
            self.state = DETACHED

    def held(self):
        """Bytes kept for this session, besides what every session needs."""
        kept = self.out.end - self.out.acked + len(self.inn.parts) + sum(map(len, self.tail))
        if self.link is not None:
            kept += len(self.link.reader.buffer)
        return kept + 64 * (len(self.asked) + len(self.owing) + len(self.events))

    # Input -------------------------------------------------------------------------------------

    def on_bytes(self, now, data):
        """Bytes of the connection. Afterwards `link` is None if it is of no more use."""
        link = self.link
        link.on_heard(now)
        link.reader.feed(data)
        took = False
        inn, before = self.inn, self.inn.next
        try:
            while True:
                found = link.reader.next()
                if found is None:
                    break
                took = self.heard = True
                kind, tag, more, body, size = found
                if (kind == wire.MSG and tag < 0xFC and not more and inn.open is None
                        and not inn.finished):
                    inn.admit(size)
                    inn.take(size, True)
                    self.events.append(("message", tag, body, inn.next))
                else:
                    if kind in wire.GREETINGS:
                        raise Refused("BAD_STATE", "%02x on an open connection" % kind)
                    name, fields = wire.decode(kind, tag, more, body)
                    if kind & wire.SEQUENCED:
                        inn.admit(size)
                        self._sequenced(now, name, fields, size)
                    elif not self._control(now, name, fields):
                        return
        except Refused as refused:
            link.moved += inn.next - before
            self._violated(refused.code)
            return
        link.moved += inn.next - before
        link.on_frames(now, took)
        self._after_input(now)

    def _after_input(self, now):
        """CRD-5: whether to acknowledge, and when; whether everything is done."""
        link, inn = self.link, self.inn
        if self.is_done():
            self._end_well()
            return
        unreported = inn.done - inn.reported
        if link is None or unreported == 0:
            return
        if unreported >= min(inn.window // 4, self.peer["send_buffer"] // 2):
            link.ack_owed = True
        elif self.config.ack_delay_ms == 0:
            link.ack_owed = True
        elif link.ack_at is None:
            link.ack_at = now + self.config.ack_delay_ms / 1000

    def _sequenced(self, now, name, fields, size):
        inn = self.inn
        if inn.finished:
            raise Refused("BAD_STATE", "behind FIN")
        event = None
        if name in ("message", "request", "response"):
            if inn.open is not None:
                raise Refused("BAD_LANE", "between fragments")
            head = self._head(name, fields, now)
            if fields["more"]:
                inn.begin(head, fields["payload"])
            else:
                event = self._whole(head, fields["payload"], inn.next + size)
        elif name in ("continue", "abort"):
            event = self._continued(name, fields, size)
        elif name == "cancel":
            event = self._cancelled(now, fields)
        elif name == "fin":
            if inn.open is not None:
                raise Refused("BAD_LANE", "FIN between fragments")
            inn.finished = True
            event = ("finished",)
        elif name == "token":
            if self.role == "server":
                raise Refused("BAD_STATE", "TOKEN is the server's")
            self.keys = {fields["key_id"]: fields["key"]}
            self.key_id = fields["key_id"]
        elif name == "ignored":
            self._charge(now, 1)
        inn.take(size, event is not None and event[0] in ("message", "request", "response"))
        if event is not None:
            self.events.append(event)

    def _head(self, name, fields, now):
        """Checks the first frame of a message against the open requests (section 7)."""
        if name == "message":
            return ("message", fields["route"])
        number = fields["id"]
        if name == "request":
            if number >= self.config.max_requests or number in self.owing:
                raise Refused("BAD_REQUEST", "%d" % number)
            link = self.link
            late = link.refuse_at is not None and now >= link.refuse_at
            if late:
                self._charge(now, 1)
            self.owing.add(number)
            return ("request", number, fields["route"], late)
        if number not in self.asked:
            raise Refused("BAD_REQUEST", "%d was not asked" % number)
        return ("response", number, fields["status"])

    def _whole(self, head, payload, position):
        if head[0] == "request":
            if head[3]:
                if self.fin_at is None:
                    self.refusals.add(head[1])
                    self._push_tail()
                return None
            return ("request", head[1], head[2], payload, position)
        if head[0] == "response":
            self.asked.pop(head[1], None)
            return ("response", head[1], head[2], payload, position)
        return ("message", head[1], payload, position)

    def _continued(self, name, fields, size):
        inn = self.inn
        if inn.open is None:
            raise Refused("BAD_LANE", "nothing to continue")
        if name == "abort":
            head, _ = inn.finish_open()
            if head[0] == "request":
                self.owing.discard(head[1])
            return None
        inn.extend(fields["payload"])
        if fields["more"]:
            return None
        head, payload = inn.finish_open()
        return self._whole(head, payload, inn.next + size)

    def _cancelled(self, now, fields):
        if fields["id"] >= self.config.max_requests:
            raise Refused("BAD_REQUEST", "CANCEL")
        self._charge(now, 2)
        if fields["id"] not in self.owing:
            return None
        return ("cancelled", fields["id"], fields["reason"])

    def _charge(self, now, cost):
        self.link.charge(now, cost, self.link.moved)

    def _control(self, now, name, fields):
        """A frame without a position; whether the connection goes on."""
        link = self.link
        if name == "ack":
            if not self._acknowledged(now, fields):
                self._charge(now, 1)
        elif name == "ping":
            self._charge(now, 1)
            if fields:
                self._positions(now, fields)
                link.pong_owed = fields["nonce"]
            elif link.pong_owed is None:
                link.pong_owed = b""
        elif name == "pong":
            if fields:
                if not link.on_pong(now, fields["nonce"]):
                    self._charge(now, 1)
                self._positions(now, fields)
        elif name == "drain":
            if self.role == "client" and link.leave_at is None:
                link.leave_at = now + random.uniform(0, fields["spread_ms"] / 1000)
                self.events.append(("draining", fields["spread_ms"]))
        elif name == "close":
            self._closed(fields)
            return False
        elif name in ("note", "ignored"):
            self._charge(now, 1)
            if name == "note":
                self.events.append(("note", fields["route"], fields["payload"]))
        else:
            raise Refused("BAD_STATE", "%s on an open connection" % name)
        return True

    def _positions(self, now, fields):
        """POS-10, POS-11."""
        if fields["tx"] != self.inn.next & 0xFFFFFFFF:
            raise Refused("SEQ_DESYNC")
        self._acknowledged(now, fields)

    def _acknowledged(self, now, fields):
        ahead, more = self.out.acknowledge(fields["ack"], fields["limit"])
        if ahead:
            self.link.progress_since = now
            if self.rotation_end is not None and self.out.acked >= self.rotation_end:
                # AUT-13
                self.keys = {self.next_key: self.keys[self.next_key]}
                self.next_key = self.rotation_end = None
            self._push_tail()
            self.events.append(("acked", self.out.acked))
        return ahead or more

    def _closed(self, fields):
        """CLS-4, CLS-5: CLOSE came."""
        code, flags = fields["code"], fields["flags"]
        known = fields.get("rx_next")
        if known is not None and not self.out.acked <= known <= self.out.end:
            known = None
        self.events.append(("closed", code, fields))
        if flags & wire.SESSION_ENDED or codes.ends_session(code):
            if flags & wire.SESSION_ENDED and code == 0 and known == self.out.end:
                self.over = (code, self.inn.next)
                self.state = ENDED
                self.link = None
                self.events.append(("ended",))
            else:
                self._die(code, known)
            return
        if self._poisoned(code):
            self._die(codes.NAMES_TO_CODES["POISON"], None)
            return
        self._detach(code)

    # The end of connections and of the session ------------------------------------------------

    def _violated(self, code):
        """STM-4: the peer broke a rule."""
        if not codes.ends_session(code) and self._poisoned(code):
            code = codes.NAMES_TO_CODES["POISON"]
        if codes.ends_session(code):
            self.end(code)
            return
        retry_ms = 1000 if code == codes.NAMES_TO_CODES["CALM"] else 0
        self.link.close_frame = wire.encode_close(code, 0, retry_ms)
        self._detach(code)

    def _poisoned(self, code):
        """CLS-12: whether the same place broke two connections in a row."""
        if codes.scope(code) != "connection":
            self.fault = None
            return False
        if code in (codes.NAMES_TO_CODES["FRAME_TIMEOUT"], codes.NAMES_TO_CODES["HS_TIMEOUT"]):
            return False
        place = (self.inn.next, self.out.acked)
        again = self.fault == place
        self.fault = place
        return again

    def _detach(self, code):
        self.events.append(("disconnected", code))
        self._let_go()

    def _die(self, code, known):
        """CLS-13, CLS-14, REQ-12: the session is over and not well."""
        # CLS-18
        gone = ("EXPIRED", "EVICTED", "NO_SESSION")
        if code in [codes.NAMES_TO_CODES[name] for name in gone] and self._was_complete(known):
            self.state, self.link = ENDED, None
            self.over = (code, self.inn.next)
            self.events.append(("ended",))
            return
        for number, end in sorted(self.asked.items()):
            sent = end <= (self.out.high if known is None else known)
            self.events.append(("unanswered", number, "unknown" if sent else "not sent"))
        self.state, self.link = DEAD, None
        self.over = (code, self.inn.next)
        self.events.append(("lost", code, known))

    def _was_complete(self, known):
        taken = known if known is not None else self.out.acked
        data_end = None if self.fin_at is None else self.fin_at - 4
        return (data_end is not None and taken >= data_end
                and self.inn.finished and self.inn.done == self.inn.next)

    def is_done(self):
        """CLS-3: both FINs are acknowledged and released."""
        return (self.link is not None and self.fin_at is not None
                and self.out.acked == self.fin_at and self.inn.finished
                and self.inn.done == self.inn.next)

    def _end_well(self):
        self.link.close_frame = wire.encode_close(0, wire.SESSION_ENDED, rx_next=self.inn.next)
        self.over = (0, self.inn.next)
        self.state, self.link = ENDED, None
        self.events.append(("ended",))

    # Output and timers ------------------------------------------------------------------------

    def output(self, now):
        """Bytes for the connection; it asks for more when the transport took them (FRM-14)."""
        link = self.link
        out = []
        if link.pong_owed is not None:
            out.append(self._probe("pong", link.pong_owed))
            link.pong_owed = None
        if link.drain_frame is not None:
            out.append(link.drain_frame)
            link.drain_frame = None
        if link.ping_owed:
            link.ping_owed = False
            # HBT-3, HBT-5: one full PING is unanswered at most.
            if link.nonce is None:
                link.nonce, link.nonce_at = random.getrandbits(32), now
                out.append(self._probe("ping", link.nonce))
        if link.ack_owed:
            ack, limit = self.inn.report()
            out.append(wire.encode("ack", {"ack": ack, "limit": limit}))
            link.ack_owed, link.ack_at = False, None
        if self.out.waiting:
            idle = self.out.sent == self.out.acked
            data = self.out.take(AHEAD)
            if idle and data:
                link.progress_since = now
            out += data
        if out:
            link.on_spoke(now)
        return b"".join(out)

    def _probe(self, name, nonce):
        if nonce == b"":
            return wire.encode(name, {})
        ack, limit = self.inn.report()
        self.link.ack_owed, self.link.ack_at = False, None
        return wire.encode(name, {"nonce": nonce, "tx": self.out.sent & 0xFFFFFFFF,
                                  "ack": ack, "limit": limit})

    def deadline(self):
        """When `on_timer` is to be called."""
        if self.link is None:
            return None
        return min(self.link.deadlines(self.out.sent > self.out.acked), default=None)

    def on_timer(self, now):
        """Section 10; input that came is handed over before (DRV-5)."""
        link, due = self.link, self.deadline()
        if due is None or now < due:
            return
        if link.bears and now - due > link.bears / 3 and not link.forgiven:
            link.forgive(now)
        if link.frame_since is not None and now >= link.frame_since + link.frame_limit:
            self._violated(codes.NAMES_TO_CODES["FRAME_TIMEOUT"])
            return
        if link.leave_at is not None and now >= link.leave_at:
            self.events.append(("leaving",))
            self.close(codes.NAMES_TO_CODES["GOING_AWAY"])
            return
        if link.beat_at is not None and now >= link.beat_at:
            if link.pong_owed is None:
                link.pong_owed = b""
        if link.ack_at is not None and now >= link.ack_at:
            link.ack_owed, link.ack_at = True, None
        if link.bears:
            self._watch(now)

    def _watch(self, now):
        """HBT-3, HBT-4, HBT-7: silence, and data that nobody acknowledges."""
        link = self.link
        if now >= link.heard + link.bears:
            self._silent()
            return
        if not link.probed and now >= link.heard + link.bears * 2 / 3:
            link.probed = link.ping_owed = True
        if self.out.sent > self.out.acked:
            if link.nonce is not None and now >= link.answer_due():
                self._silent()
            elif link.nonce is None and now >= link.progress_since + link.bears:
                link.ping_owed = True
                link.progress_since = now

    def _silent(self):
        """The peer is not heard any more: there is nobody to say CLOSE to."""
        self.fault = None
        self.link.is_dead = True
        self._detach(codes.NAMES_TO_CODES["IDLE"])
