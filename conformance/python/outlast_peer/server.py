"""A server: sockets, one thread, any number of sessions (sections 15 and 17)."""

import socket
import time

from . import codes, wire
from .registry import Fenced, Refusal, Registry, canonical
from .sockets import Conn
from .wire import Refused


class Server:
    """Tells `on_event(session, event)` what happens. `turn` does what there is to do."""

    def __init__(self, config, on_event, address=("127.0.0.1", 0)):
        self.config = config
        self.on_event = on_event
        self.registry = Registry(config)
        self.listener = socket.create_server(address, backlog=512)
        self.listener.setblocking(False)
        self.conns = []
        self.by_session = {}

    def address(self):
        """Where it listens."""
        return self.listener.getsockname()[:2]

    # Turns -----------------------------------------------------------------------------------

    def turn(self, readable, writable):
        """Input first, then timers, then output (DRV-5)."""
        now = time.monotonic()
        for conn in readable:
            if conn is self.listener:
                self._accept(now)
            elif conn.mode != "gone":
                self._read(now, conn)
        now = time.monotonic()
        for conn in list(self.conns):
            self._tick(now, conn)
        self.registry.sweep(now)
        while self.registry.changed:
            self._tell(self.registry.changed.pop())
        for conn in writable:
            if conn.mode == "open":
                conn.pump(now)
            elif conn.mode != "gone":
                conn.flush()
        for conn in self.conns:
            if conn.mode == "open":
                self._after(now, conn)
        self.conns = [conn for conn in self.conns if conn.mode != "gone"]

    def interests(self):
        """What to wait for: (object, also writable) pairs."""
        yield self.listener, False
        for conn in self.conns:
            yield conn, bool(conn.out)

    def deadline(self):
        """When the next turn is due at the latest."""
        due = [self.registry.deadline()]
        for conn in self.conns:
            if conn.mode == "greeting":
                due.append(conn.since + self.config.handshake_timeout_ms / 1000)
            elif conn.mode == "closing":
                due.append(conn.linger_at)
            elif conn.mode == "open":
                due.append(conn.session.deadline())
        return min((moment for moment in due if moment is not None), default=None)

    def _accept(self, now):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.conns.append(Conn(sock, now))

    def _read(self, now, conn):
        data = conn.receive()
        if data is None:
            return
        if not data:
            if conn.mode == "open":
                conn.session.lost_connection()
                self._settle(now, conn.session)
            conn.drop()
        elif conn.mode == "greeting":
            conn.greeting += data
            self._greet(now, conn)
        elif conn.mode == "open":
            conn.session.on_bytes(now, data)
            self._after(now, conn)

    def _tick(self, now, conn):
        if conn.mode == "greeting":
            if now >= conn.since + self.config.handshake_timeout_ms / 1000:
                self._refuse(now, conn, codes.NAMES_TO_CODES["HS_TIMEOUT"])
        elif conn.mode == "closing":
            if now >= conn.linger_at:
                conn.drop()
        elif conn.mode == "open":
            conn.session.on_timer(now)

    # Greeting --------------------------------------------------------------------------------

    def _greet(self, now, conn):
        """HND-1 to HND-10."""
        data = conn.greeting
        try:
            size = wire.check_greeting(data, (wire.HELLO,))
            if size is None:
                return
            name, hello = wire.decode(data[0], data[1], False, bytes(data[4:size]))
            if name != "hello" or len(data) > size:
                raise Refused("BAD_STATE", "behind HELLO")
        except Refused as refused:
            self._refuse(now, conn, refused.code)
            return
        try:
            owner = canonical(conn.sock.getpeername()[0])
            session, welcome, old = self.registry.admit(now, hello, owner)
        except Refusal as refusal:
            conn.begin_closing(now, self.config.linger_ms, refusal.frame)
        except Fenced as fenced:
            self._fence(fenced.session, fenced.old)
            self._tell(fenced.session)
            conn.begin_closing(now, self.config.linger_ms, fenced.refusal.frame)
        except OSError:
            conn.drop()
        else:
            self._fence(session, old)
            self.by_session[session.sid] = conn
            conn.mode, conn.session, conn.link = "open", session, session.link
            conn.out += welcome
            conn.greeting = None
            self._after(now, conn)

    def _fence(self, session, frame):
        old = self.by_session.pop(session.sid, None)
        if old is not None and frame is not None and old.mode != "gone":
            old.fence(frame)

    def _refuse(self, now, conn, code):
        versions = (wire.VERSION, wire.VERSION) if code == codes.NAMES_TO_CODES["VERSION"] else None
        frame = wire.encode_close(code, versions=versions)
        conn.begin_closing(now, self.config.linger_ms, frame)

    # After something happened ----------------------------------------------------------------

    def _after(self, now, conn):
        session = conn.session
        self._settle(now, session)
        if session.link is conn.link:
            conn.pump(now)
            return
        if self.by_session.get(session.sid) is conn:
            del self.by_session[session.sid]
        frame = conn.link.close_frame
        if conn.link.is_dead:
            conn.drop()
        else:
            conn.begin_closing(now, self.config.linger_ms, frame)

    def _settle(self, now, session):
        self.registry.settle(now, session)
        self._tell(session)

    def _tell(self, session):
        while session.events:
            self.on_event(session, session.events.popleft())

    def held(self):
        """Bytes kept for all sessions and connections, besides what each of them needs."""
        kept = sum(entry.session.held() for entry in self.registry.entries.values())
        return kept + sum(len(conn.out) + len(conn.greeting or b"") for conn in self.conns)

    def close(self):
        """Stops at once."""
        for conn in self.conns:
            conn.drop()
        self.listener.close()
