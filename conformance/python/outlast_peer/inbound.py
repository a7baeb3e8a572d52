"""The receiving direction of a session (sections 5, 6 and 8)."""

from collections import deque

from .wire import Refused


class Inbound:
    """Positions, credit, and the message that comes in fragments."""

    def __init__(self, window, max_msg, manual=False):
        self.window = window
        self.max_msg = max_msg
        self.manual = manual
        self.reported = self.done = self.next = 0
        self.granted = window
        self.open = None
        self.parts = bytearray()
        self.finished = False
        self._kept = deque()

    def admit(self, size):
        """CRD-1: whether the credit covers a frame of this size."""
        if self.next + size > self.granted:
            raise Refused("FLOW_VIOLATION")

    def take(self, size, for_application):
        """POS-4: a frame was checked; its bytes count."""
        start = self.next
        self.next = start + size
        if not self.manual:
            self.done = self.next
        elif for_application:
            self._kept.append((start, self.next))
        elif not self._kept:
            self.done = self.next

    def release(self, position):
        """POS-15: the application has taken everything up to here."""
        while self._kept and self._kept[0][1] <= position:
            self._kept.popleft()
        self.done = self._kept[0][0] if self._kept else self.next

    def report(self):
        """CRD-3: what ACK says now; the credit is raised."""
        self.reported = self.done
        self.granted = max(self.granted, self.done + self.window)
        return self.done & 0xFFFFFFFF, self.granted & 0xFFFFFFFF

    def begin(self, head, payload):
        """FRG-5: the first frame of a message that goes on."""
        if len(payload) > self.max_msg:
            raise Refused("TOO_LARGE", "message")
        self.open, self.parts = head, bytearray(payload)

    def extend(self, payload):
        """FRG-4."""
        if len(self.parts) + len(payload) > self.max_msg:
            raise Refused("TOO_LARGE", "message")
        self.parts += payload

    def finish_open(self):
        """The message that was open, and its payload."""
        head, payload = self.open, bytes(self.parts)
        self.open, self.parts = None, bytearray()
        return head, payload
