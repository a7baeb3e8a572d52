"""What the application of a session may do: send, ask, answer, finish, close."""

from . import codes, wire

NEW, ATTACHED, DETACHED, ENDED, DEAD = "new", "attached", "detached", "ended", "dead"


class Full(Exception):
    """There is no room; there will be when the peer has acknowledged more."""


class Impossible(Exception):
    """The state, or a limit that does not change, does not admit it (STM-5)."""


class Calls:
    """The part of a session that its application sees."""

    def send(self, route, payload):
        """A one-way message; its end as a position."""
        tag, head = wire.route_head(route)
        return self._say(wire.MSG, tag, head, payload)

    def request(self, route, payload):
        """A request; its number (REQ-1)."""
        self._check_open()
        most = min(self.peer["max_requests"], self.config.max_requests_out)
        number = next((n for n in range(most) if n not in self.asked), None)
        if number is None:
            raise Full("no request is free")
        tag, head = wire.route_head(route)
        end = self._say(wire.REQ, tag, head + number.to_bytes(2, "little"), payload)
        self.asked[number] = end
        return number

    def respond(self, number, status, payload):
        """The one response to a request (REQ-3)."""
        if number not in self.owing or number in self.refusals:
            raise Impossible("no such request")
        end = self._say(wire.RSP, status, number.to_bytes(2, "little"), payload)
        self.owing.discard(number)
        return end

    def cancel(self, number, reason=0):
        """REQ-8: asks the peer to stop."""
        if number not in self.asked:
            raise Impossible("no such request")
        self._check_open()
        frame = wire.encode("cancel", {"id": number, "reason": reason})
        if self.tail or not self.out.has_room(len(frame)):
            raise Full("no room")
        self.out.put(frame)

    def finish(self):
        """CLS-1: nothing more will be sent."""
        self._check_open()
        if self.tail or not self.out.has_room(4):
            raise Full("no room")
        self.fin_at = self.out.put(wire.frame(wire.FIN))

    def rotate(self, key_id, key):
        """AUT-12, AUT-13: a server gives its client another key."""
        if self.next_key is not None or self.role != "server":
            raise Impossible("one TOKEN at a time, from the server")
        self._check_open()
        frame = wire.frame(wire.TOKEN, key_id, key)
        if not self.out.has_room(len(frame)):
            raise Full("no room")
        self.keys[key_id] = key
        self.next_key, self.rotation_end = key_id, self.out.put(frame)

    def release(self, now, position):
        """POS-15, where releasing is the application's."""
        self.inn.release(position)
        self._after_input(now)

    def close(self, code, retry_ms=0):
        """Ends the connection; the session stays."""
        if self.link is not None:
            self.link.close_frame = wire.encode_close(code, 0, retry_ms)
            self._detach(code)

    def end(self, code):
        """CLS-6: ends the session."""
        if self.state in (ENDED, DEAD):
            return
        if self.link is not None:
            self.link.close_frame = wire.encode_close(
                code, wire.SESSION_ENDED, rx_next=self.inn.next)
        self._die(code, None)

    def drain(self, now, grace_ms, spread_ms):
        """CLS-8: announces that this end will leave."""
        if self.link is None:
            raise Impossible("not attached")
        fields = {"code": codes.NAMES_TO_CODES["GOING_AWAY"], "grace_ms": grace_ms,
                  "spread_ms": spread_ms}
        self.link.drain_frame = wire.encode("drain", fields)
        self.link.refuse_at = now + grace_ms / 1000

    def _check_open(self):
        if self.state not in (ATTACHED, DETACHED):
            raise Impossible("the session is %s" % self.state)
        if self.fin_at is not None:
            raise Impossible("nothing may follow FIN")

    def _say(self, kind, tag, head, payload):
        """A message, whole or in fragments (section 8)."""
        self._check_open()
        if self.tail:
            raise Full("a message is under way")
        out, most = self.out, self.max_body - len(head)
        if len(payload) <= most:
            frame = wire.frame(kind, tag, head + payload)
            if not out.has_room(len(frame)):
                raise Full("no room")
            return out.put(frame)
        if len(payload) > self.peer["max_msg"]:
            raise Impossible("longer than the peer takes")
        frame = wire.frame(kind, tag, head + payload[:most], True)
        if not out.has_room(len(frame)):
            raise Full("no room")
        rest = [payload[at:at + self.max_body] for at in range(most, len(payload), self.max_body)]
        last = len(rest) - 1
        end = out.put(frame)
        for at, part in enumerate(rest):
            self.tail.append(wire.frame(wire.CONT, 0, part, at < last))
        end += sum(map(len, self.tail))
        self._push_tail()
        return end

    def _push_tail(self):
        while self.tail and self.out.has_room(len(self.tail[0])):
            self.out.put(self.tail.popleft())
        # CLS-10: refusals wait for room and for the end of an open message.
        while self.refusals and not self.tail and self.fin_at is None and self.out.has_room(6):
            number = min(self.refusals)
            self.refusals.discard(number)
            self.owing.discard(number)
            self.out.put(wire.frame(wire.RSP, 3, number.to_bytes(2, "little")))
