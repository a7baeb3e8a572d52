"""The sending direction of a session (sections 5 and 6)."""

from collections import deque

from .wire import Refused

HALF = 1 << 31
MASK = 0xFFFFFFFF


def widen(received, known):
    """POS-2: how far a position of 32 bits lies ahead of a known one."""
    return (received - known) & MASK


class Outbound:
    """What was accepted for sending and is not acknowledged yet, as whole encoded frames."""

    def __init__(self, capacity):
        self.capacity = capacity
        self.handed = deque()
        self.waiting = deque()
        self.acked = self.sent = self.high = self.end = self.limit = 0

    def has_room(self, size):
        """POS-5."""
        return self.end - self.acked + size <= self.capacity

    def put(self, frame):
        """Accepts a frame; returns its end (POS-3)."""
        self.waiting.append(frame)
        self.end += len(frame)
        return self.end

    def take(self, most):
        """Whole frames for the connection, within the credit (CRD-2), about `most` bytes."""
        out = []
        waiting, limit, sent = self.waiting, self.limit, self.sent
        stop = sent + most
        while waiting and sent < stop and sent + len(waiting[0]) <= limit:
            frame = waiting.popleft()
            self.handed.append(frame)
            sent += len(frame)
            out.append(frame)
        self.sent = sent
        if sent > self.high:
            self.high = sent
        return out

    def acknowledge(self, ack, limit):
        """POS-8, POS-9: takes an ack and a limit; whether each has moved."""
        ahead = widen(ack, self.acked)
        if ahead >= HALF:
            raise Refused("ACK_REGRESS")
        if self.acked + ahead > self.sent:
            raise Refused("ACK_BEYOND_SENT")
        more = widen(limit, self.limit)
        if more >= HALF:
            raise Refused("CREDIT_SHRINK")
        if ahead:
            count, rest = 0, ahead
            for frame in self.handed:
                if rest <= 0:
                    break
                rest -= len(frame)
                count += 1
            if rest:
                raise Refused("ACK_BEYOND_SENT", "half a frame")
            for _ in range(count):
                self.handed.popleft()
            self.acked += ahead
        self.limit += more
        return ahead, more

    def check_resume(self, rx_next):
        """Steps 7 to 9 of section 9, as far as they are about this direction."""
        if rx_next < self.acked:
            raise Refused("PEER_STATE_LOST")
        if rx_next > self.high:
            raise Refused("SELF_STATE_LOST")
        position = self.acked
        for frames in (self.handed, self.waiting):
            for frame in frames:
                if position >= rx_next:
                    break
                position += len(frame)
        if position != rx_next:
            raise Refused("PEER_STATE_LOST", "not the end of a frame")

    def resume(self, rx_next, window):
        """RSM-9: what lies behind `rx_next` is sent again; step 10."""
        while self.sent > rx_next:
            frame = self.handed.pop()
            self.waiting.appendleft(frame)
            self.sent -= len(frame)
        while self.sent < rx_next:
            frame = self.waiting.popleft()
            self.handed.append(frame)
            self.sent += len(frame)
        self.limit = max(self.limit, self.acked + window)
