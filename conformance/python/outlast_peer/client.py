"""A client: one session at a time, dialled again with growing delays (section 16)."""

import random
import socket
import time

from . import claims, codes, wire
from .session import ENDED, NEW, Session
from .sockets import Conn
from .wire import Refused

WAITING, DIALING, GREETING, OPEN, STOPPED = "waiting", "dialing", "greeting", "open", "stopped"


class Client:
    """Tells `on_event(session, event)` what happens. `turn` does what there is to do."""

    def __init__(self, config, addresses, on_event):
        self.config = config
        self.addresses = list(addresses)
        self.on_event = on_event
        self.state = WAITING
        self.session = Session(config, "client")
        self.conn = None
        self.parting = []
        self.tries = 0
        self.dial_at = time.monotonic()
        self.give_up_at = None
        self.stale_once = False
        self.retry_ms = 0
        self.leaving = False
        self.hello = None
        self.opened_at = self.moved_before = 0

    # Turns -----------------------------------------------------------------------------------

    def turn(self, readable, writable):
        """Input first, then timers, then output (DRV-5)."""
        now = time.monotonic()
        for conn in readable:
            if conn.mode == "closing":
                if conn.receive() == b"":
                    conn.drop()
            elif conn is self.conn and self.state in (GREETING, OPEN):
                self._read(now)
        now = time.monotonic()
        if self.conn is not None and self.conn in writable and self.state == DIALING:
            self._connected(now)
        for conn in writable:
            if conn.mode == "closing":
                conn.flush()
        self.parting = [conn for conn in self.parting
                        if conn.mode != "gone" and not self._linger(now, conn)]
        if self.give_up_at is not None and now >= self.give_up_at:
            # CLI-7, HND-3
            self._part(now, wire.encode_close(codes.NAMES_TO_CODES["HS_TIMEOUT"]))
            self._failed(now)
        if self.state == OPEN:
            self.session.on_timer(now)
            self._after(now)
        if self.state == WAITING and now >= self.dial_at:
            self._dial(now)

    @staticmethod
    def _linger(now, conn):
        if now >= conn.linger_at:
            conn.drop()
        return conn.mode == "gone"

    def interests(self):
        """What to wait for: (object, also writable) pairs."""
        if self.conn is not None:
            yield self.conn, self.state == DIALING or bool(self.conn.out)
        for conn in self.parting:
            yield conn, bool(conn.out)

    def deadline(self):
        """When the next turn is due at the latest."""
        due = [conn.linger_at for conn in self.parting]
        if self.state == WAITING:
            due.append(self.dial_at)
        if self.give_up_at is not None:
            due.append(self.give_up_at)
        if self.state == OPEN:
            due.append(self.session.deadline())
        return min((moment for moment in due if moment is not None), default=None)

    def kick(self):
        """After a call of the application: what it said is handed over."""
        if self.state == OPEN:
            self._after(time.monotonic())

    # Dialling --------------------------------------------------------------------------------

    def _dial(self, now):
        self.state = DIALING
        self.give_up_at = now + min(self.config.attempt_ms, 600_000) / 1000
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.conn = Conn(sock, now)
        sock.connect_ex(self.addresses[0])

    def _connected(self, now):
        if self.conn.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._part(now)
            # CLI-12
            self.addresses.append(self.addresses.pop(0))
            self._failed(now)
            return
        self.state = GREETING
        self.give_up_at = min(self.give_up_at, now + self.config.handshake_timeout_ms / 1000)
        session, config = self.session, self.config
        fields = dict(session.terms(), version_min=wire.VERSION, version_max=wire.VERSION,
                      idle_ms=config.idle_timeout_ms, heartbeat_ms=config.heartbeat_min_ms)
        if session.state != NEW:
            # RSM-1, RSM-2
            session.attach_number += 1
            claim = {"sid": session.sid, "attach": session.attach_number,
                     "key_id": session.key_id, "proof_kind": 1, "rx_next": session.inn.next,
                     "tx_first": session.out.acked}
            claim["proof"] = claims.proof(session.keys[session.key_id], claim["sid"],
                                          claim["attach"], claim["key_id"], claim["rx_next"],
                                          claim["tx_first"])
            fields["resume"] = claim
        self.hello = fields
        self.conn.out += wire.encode("hello", fields)
        self.conn.flush()

    def _failed(self, now, at_once=False):
        """CLI-1, CLI-2: when the next attempt begins."""
        self.give_up_at = None
        if self.state == STOPPED:
            return
        self.state = WAITING
        if at_once:
            self.dial_at = now
            return
        most = min(self.config.backoff_cap_ms, self.config.backoff_base_ms << min(self.tries, 30))
        self.tries += 1
        self.dial_at = now + (self.retry_ms + random.uniform(0, most)) / 1000
        self.retry_ms = 0

    def _part(self, now, frame=None):
        """The present connection is of no more use."""
        conn, self.conn = self.conn, None
        if conn is None:
            return
        if frame is None:
            conn.drop()
        else:
            conn.begin_closing(now, self.config.linger_ms, frame)
            self.parting.append(conn)

    def stop(self):
        """No more attempts."""
        self.state = STOPPED
        self.give_up_at = None

    # Greeting --------------------------------------------------------------------------------

    def _read(self, now):
        data = self.conn.receive()
        if data is None:
            return
        if self.state == GREETING:
            if not data:
                self._part(now)
                self.addresses.append(self.addresses.pop(0))
                self._failed(now)
                return
            self.conn.greeting += data
            self._greet(now)
        elif not data:
            self.session.lost_connection()
            self._after(now)
        else:
            self.session.on_bytes(now, data)
            self._after(now)

    def _greet(self, now):
        data = self.conn.greeting
        try:
            size = wire.check_greeting(data, (wire.WELCOME, wire.CLOSE))
            if size is None:
                return
            name, fields = wire.decode(data[0], data[1], False, bytes(data[4:size]))
            if name == "close":
                self._refused(now, fields)
                return
            self._check_welcome(fields)
        except Refused as refused:
            self._part(now, wire.encode_close(refused.code))
            self._failed(now)
            return
        self._welcomed(now, fields, bytes(data[size:]))

    def _check_welcome(self, fields):
        """HND-7, HND-16, RSM-13, RSM-14."""
        if fields["version"] != wire.VERSION:
            raise Refused("VERSION")
        resuming = "resume" in self.hello
        if not fields["has_session"] or ("resumed" in fields) != resuming:
            raise Refused("BAD_STATE", "not what was asked for")
        if resuming:
            if fields["resumed"]["epoch"] < self.session.epoch:
                raise Refused("BAD_STATE", "an older epoch")
            self.session.check_limits(fields)

    def _welcomed(self, now, fields, rest):
        session = self.session
        # HND-13
        asked = self.hello["idle_ms"]
        bears = max(asked, fields["heartbeat_ms"]) if asked else 0
        borne = fields["idle_ms"]
        if "resumed" in fields:
            known = fields["resumed"]
            try:
                session.check_positions(known["rx_next"], known["tx_first"])
            except Refused as refused:
                # RSM-7
                frame = wire.encode_close(refused.code, wire.SESSION_ENDED,
                                          rx_next=session.inn.next)
                self._part(now, frame)
                session.end(refused.code)
                self._over(now)
                return
            session.epoch = known["epoch"]
            session.attach(now, bears, borne, known["rx_next"], fields["window"])
        else:
            grant = fields["session"]
            session.sid, session.epoch = grant["sid"], grant["epoch"]
            session.key_id, session.keys = grant["key_id"], {grant["key_id"]: grant["key"]}
            session.attach_number = 1
            session.adopt_peer(fields)
            session.attach(now, bears, borne)
        self.give_up_at = None
        self.stale_once = self.leaving = False
        self.state = OPEN
        self.opened_at = now
        self.moved_before = session.out.acked + session.inn.next
        self.conn.mode, self.conn.session, self.conn.link = "open", session, session.link
        if rest:
            session.on_bytes(now, rest)
        self._after(now)

    def _refused(self, now, fields):
        """CLOSE instead of WELCOME."""
        code, flags, session = fields["code"], fields["flags"], self.session
        self._part(now, b"")
        self.retry_ms = fields["retry_ms"]
        self.on_event(session, ("disconnected", code))
        resuming = session.state != NEW
        if code == codes.NAMES_TO_CODES["STALE_ATTACH"]:
            # RSM-20, CLI-6
            session.attach_number = max(session.attach_number, fields.get("last_attach", 0))
            at_once, self.stale_once = not self.stale_once, True
            self._failed(now, at_once)
            return
        if resuming and (flags & wire.SESSION_ENDED or codes.retry_class(code) == "new"):
            known = fields.get("rx_next")
            if known is not None and not session.out.acked <= known <= session.out.end:
                known = None
            if code == 0 and flags & wire.SESSION_ENDED and known == session.out.end:
                session.state, session.over = ENDED, (code, session.inn.next)
                session.events.append(("ended",))
            else:
                session._die(code, known)
            self._over(now, flags & wire.NO_RETRY)
            return
        if flags & wire.NO_RETRY or codes.retry_class(code) == "never":
            self.stop()
            return
        self._failed(now)

    # After something happened ----------------------------------------------------------------

    def _after(self, now):
        session, conn = self.session, self.conn
        closed = None
        while session.events:
            event = session.events.popleft()
            if event[0] == "closed":
                closed = event
            elif event[0] == "leaving":
                self.leaving = True
            else:
                self.on_event(session, event)
        if conn is None:
            return
        if session.link is conn.link:
            conn.pump(now)
            return
        moved = session.out.acked + session.inn.next > self.moved_before
        if moved and now - self.opened_at >= 2 * conn.link.bears:
            self.tries = 0
        frame = conn.link.close_frame
        if frame is None and closed is None and session.over is None:
            self._part(now)
        else:
            self._part(now, frame or b"")
        no_retry = False
        if closed is not None:
            code, fields = closed[1], closed[2]
            no_retry = fields["flags"] & wire.NO_RETRY or codes.retry_class(code) == "never"
            self.retry_ms = fields["retry_ms"]
        if session.over is not None:
            self._over(now, no_retry)
        elif no_retry:
            self.stop()
        else:
            self._failed(now, self.leaving)

    def _over(self, now, no_retry=False):
        """CLI-8: the session is over; another one takes its place unless it ended well."""
        session = self.session
        while session.events:
            self.on_event(session, session.events.popleft())
        if session.state == ENDED or no_retry:
            self.stop()
            return
        self.session = Session(self.config, "client")
        self._failed(now)

    def held(self):
        """Bytes kept for the session and its connection."""
        return self.session.held() + (len(self.conn.out) if self.conn is not None else 0)

    def close(self):
        """Stops at once."""
        self.stop()
        for conn in self.parting:
            conn.drop()
        self._part(time.monotonic())
