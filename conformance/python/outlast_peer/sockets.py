"""A socket and what is to be written to it (section 15)."""

import socket

from .session import AHEAD

# TCP_NOTSENT_LOWAT of Linux: what the kernel keeps unsent (DRV-14).
NOTSENT_LOWAT = 25


class Conn:
    """One connection. Modes: greeting, open, closing (CLOSE was written), gone."""

    def __init__(self, sock, now):
        sock.setblocking(False)
        for option, value in ((socket.TCP_NODELAY, 1), (NOTSENT_LOWAT, 128 << 10)):
            try:
                sock.setsockopt(socket.IPPROTO_TCP, option, value)
            except OSError:
                pass
        self.sock = sock
        self.mode = "greeting"
        self.greeting = bytearray()
        self.out = bytearray()
        self.since = now
        self.linger_at = None
        self.session = self.link = None
        self.is_shut = False

    def fileno(self):
        """For selectors."""
        return self.sock.fileno()

    def receive(self):
        """What has come: bytes, b"" at the end of the stream, None if nothing."""
        try:
            return self.sock.recv(1 << 16)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError:
            return b""

    def flush(self):
        """Writes what the transport takes."""
        while self.out:
            try:
                count = self.sock.send(self.out)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                self.out.clear()
                return
            del self.out[:count]
        if self.mode == "closing" and not self.is_shut:
            self.is_shut = True
            try:
                self.sock.shutdown(socket.SHUT_WR)
            except OSError:
                pass

    def pump(self, now):
        """Output of the session, as long as the transport takes it."""
        while len(self.out) < AHEAD:
            data = self.session.output(now)
            if not data:
                break
            self.out += data
            if len(self.out) >= AHEAD:
                self.flush()
        self.flush()

    def begin_closing(self, now, linger_ms, frame=None):
        """CLS-7, DRV-8: writes CLOSE if there is one, and what is left; then reads to the end."""
        self.mode = "closing"
        self.session = self.link = None
        self.linger_at = now + linger_ms / 1000
        if frame is not None:
            self.out += frame
        self.flush()

    def fence(self, frame):
        """RSM-10: another connection took over; this one is closed at once."""
        if not self.out:
            self.out += frame
            while self.receive():
                pass
            self.mode = "closing"
            self.flush()
        self.drop()

    def drop(self):
        """The end."""
        self.mode = "gone"
        self.session = self.link = None
        self.sock.close()
