"""What belongs to one connection: the budget, the timers and what is owed (sections 10, 11)."""

import random

from . import wire
from .wire import Refused

MOST_TOKENS = 256
TOKENS_PER_SECOND = 64
BYTES_PER_TOKEN = 4096


class Link:
    """One connection that carries a session. Times are seconds of a monotonic clock."""

    def __init__(self, now, max_body, bears, borne, frame_limit):
        self.reader = wire.Reader(max_body)
        self.bears, self.borne = bears, borne
        self.frame_limit = max(bears, frame_limit)
        self.opened = self.heard = self.spoke = now
        self.beat_at = self._beat(now)
        self.probed = self.forgiven = False
        self.frame_since = None
        self.progress_since = now
        self.ping_owed = self.ack_owed = False
        self.pong_owed = None
        self.nonce = None
        self.nonce_at = 0.0
        self.round_trip = 0.0
        self.ack_at = None
        self.close_frame = None
        self.drain_frame = None
        self.refuse_at = None
        self.leave_at = None
        self.moved = 0
        self.is_dead = False
        self._tokens, self._refilled, self._advanced = float(MOST_TOKENS), now, 0

    # Budget -------------------------------------------------------------------------------

    def charge(self, now, cost, received):
        """BUD-1, BUD-2. `received` counts the bytes that `next` advanced on this link."""
        gained = (now - self._refilled) * TOKENS_PER_SECOND
        gained += (received - self._advanced) / BYTES_PER_TOKEN
        self._refilled, self._advanced = now, received
        self._tokens = min(self._tokens + gained, float(MOST_TOKENS))
        if self._tokens < cost:
            raise Refused("CALM")
        self._tokens -= cost

    # Timers -------------------------------------------------------------------------------

    def _beat(self, now):
        """HBT-2, HBT-15, HBT-16: when silence of ours has to end."""
        if not self.borne:
            return None
        third = self.borne / 3
        return now + max(third * random.uniform(0.9, 1.0), 0.01)

    def on_heard(self, now):
        """Any byte is a sign of life."""
        self.heard = now
        self.probed = self.forgiven = False

    def on_spoke(self, now):
        """A byte of ours was handed over."""
        self.spoke = now
        self.beat_at = self._beat(now)

    def on_frames(self, now, took):
        """After input: a frame that is not whole has its time from its first byte on."""
        if not self.reader.partial():
            self.frame_since = None
        elif took or self.frame_since is None:
            self.frame_since = now

    def deadlines(self, in_flight):
        """All moments at which something is to be done."""
        due = [self.beat_at, self.ack_at, self.leave_at]
        if self.bears:
            due.append(self.heard + self.bears)
            if not self.probed:
                due.append(self.heard + self.bears * 2 / 3)
            if in_flight:
                if self.nonce is not None:
                    due.append(self.answer_due())
                elif not self.ping_owed:
                    due.append(self.progress_since + self.bears)
        if self.frame_since is not None:
            due.append(self.frame_since + self.frame_limit)
        return [moment for moment in due if moment is not None]

    def answer_due(self):
        """When a full PING has waited for its answer for too long."""
        return self.nonce_at + max(self.bears, 4 * self.round_trip)

    def forgive(self, now):
        """HBT-6: this end slept; that is not the peer's silence."""
        self.forgiven = self.probed = True
        self.heard = now - self.bears * 2 / 3
        self.ping_owed = True
        self.progress_since = now
        self.nonce_at = max(self.nonce_at, now - self.bears * 2 / 3)
        if self.frame_since is not None:
            self.frame_since = now

    def on_pong(self, now, nonce):
        """HBT-5: whether this answers the PING that is out."""
        if nonce is None or nonce != self.nonce:
            return False
        sample = now - self.nonce_at
        first = self.round_trip == 0.0
        self.round_trip = sample if first else self.round_trip + (sample - self.round_trip) / 8
        self.nonce = None
        return True
