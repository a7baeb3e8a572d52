"""A subject of the conformance suite (docs/conformance.md, "Subjects in other programs").

The suite connects to this program once for each server or client it wants, says what it is to be,
and then commands it and is told what happens, all in lines of text.
"""

import os
import select
import signal
import socket
import sys
import time
from collections import deque

from . import config as settings
from .calls import DEAD, ENDED, Full, Impossible
from .client import Client
from .server import Server

# Bytes of messages that the suite may send ahead of "took".
AHEAD = 64 << 10


class Loop:
    """Waits for sockets and times of one server or client."""

    def __init__(self, end):
        self.end = end
        self.poll = select.poll()
        self.known = {}
        self.extra = {}

    def wait(self, at_once):
        """Waits; what can be read and what can be written."""
        wanted = {fd: (thing, select.POLLIN) for fd, thing in self.extra.items()}
        for thing, also_write in self.end.interests():
            mask = select.POLLIN | (select.POLLOUT if also_write else 0)
            wanted[thing.fileno()] = (thing, mask)
        for fd in [fd for fd in self.known if fd not in wanted]:
            self.poll.unregister(fd)
        for fd, (_, mask) in wanted.items():
            # A number may have been given to another socket meanwhile.
            self.poll.register(fd, mask)
        self.known = wanted
        due = self.end.deadline()
        millis = None
        if at_once:
            millis = 0
        elif due is not None:
            millis = max(0, int((due - time.monotonic()) * 1000) + 1)
        readable, writable = [], []
        for fd, mask in self.poll.poll(millis):
            thing = wanted[fd][0]
            if mask & ~select.POLLOUT:
                readable.append(thing)
            if mask & ~select.POLLIN:
                writable.append(thing)
        return readable, writable


def unhex(word):
    """Bytes of a word; none are written as a dash."""
    return b"" if word == "-" else bytes.fromhex(word)


def hexed(data):
    """The word of some bytes."""
    return data.hex() or "-"


class Subject:
    """A server or a client at the other end of a control connection."""

    def __init__(self, control):
        self.control = control
        self.rest = b""
        self.lines = []
        self.sessions = {}
        self.queues = {}
        self.end = None
        self.is_server = False

    # The loop --------------------------------------------------------------------------------

    def run(self):
        """Until the control connection ends."""
        while self.end is None:
            if not self._listen():
                return
        loop = Loop(self.end)
        loop.extra[self.control.fileno()] = self.control
        at_once = True
        while True:
            readable, writable = loop.wait(at_once)
            at_once = False
            if self.control in readable:
                readable.remove(self.control)
                if not self._listen():
                    self.end.close()
                    return
                at_once = True
            self.end.turn(readable, writable)
            # What was sent now leaves with the next turn.
            at_once = self._drain_queues() or at_once
            if not self.is_server:
                self.end.kick()
            self._speak()

    def _listen(self):
        try:
            data = self.control.recv(1 << 20)
        except OSError:
            data = b""
        lines = (self.rest + data).split(b"\n")
        self.rest = lines.pop()
        for line in lines:
            self._obey(line.decode("ascii").split(" "))
        self._speak()
        return bool(data)

    def _speak(self):
        if self.lines:
            text, self.lines = "\n".join(self.lines) + "\n", []
            try:
                self.control.sendall(text.encode("ascii"))
            except OSError:
                # Nobody listens any more; the next read tells so.
                pass

    # What happens ----------------------------------------------------------------------------

    def on_event(self, session, event):
        """Tells an event as a line."""
        place = session.sid if self.is_server else 0
        name = event[0]
        if name == "message":
            self.lines.append("message %d %d %s" % (place, event[1], event[2].hex() or "-"))
        elif name == "acked":
            self.lines.append("acked %d %d" % (place, event[1]))
        elif name == "request":
            self.lines.append("request %d %d %d %s" % (place, event[1], event[2],
                                                       hexed(event[3])))
        elif name == "response":
            self.lines.append("response %d %d %d %s" % (place, event[1], event[2],
                                                        hexed(event[3])))
        elif name == "disconnected":
            self.lines.append("disconnected %d %d" % (place, event[1]))
        elif name == "lost":
            known = "-" if event[2] is None else "%d" % event[2]
            self.queues.pop(place, None)
            self.lines.append("lost %d %d %s" % (place, event[1], known))
        elif name in ("opened", "resumed", "finished", "ended"):
            if name == "opened":
                self.sessions[place] = session
            self.lines.append("%s %d" % (name, place))
        else:
            self.lines.append("other %d" % place)
        if name in ("message", "request", "response") and session.inn.manual:
            session.release(time.monotonic(), event[-1])

    # Commands --------------------------------------------------------------------------------

    def _obey(self, words):
        name = words[0]
        if name == "send":
            self._send(int(words[1]), int(words[2]), unhex(words[3]))
            return
        try:
            answer = getattr(self, "_do_" + name)(*words[1:])
        except (Full, Impossible, KeyError, ValueError) as error:
            self.lines.append("no %s" % (str(error) or type(error).__name__))
        else:
            self.lines.append("ok" if answer is None else answer)

    def _session(self, place):
        session = self.sessions.get(int(place) if self.is_server else 0)
        if session is None or session.state in (DEAD, ENDED):
            raise Impossible("no such session")
        return session

    def _send(self, place, route, payload):
        place = place if self.is_server else 0
        queue = self.queues.get(place)
        if queue is None:
            queue = self.queues[place] = deque()
        if not queue:
            try:
                self._session(place).send(route, payload)
                self._took(place, 1)
                return
            except Full:
                pass
            except Impossible as error:
                self.lines.append("refused %d %s" % (place, error))
                return
        queue.append((route, payload))

    def _took(self, place, count):
        """Neighbouring lines that say the same become one."""
        self.lines.append("took %d %d" % (place, count))

    def _drain_queues(self):
        """Sends what waited for room; whether anything was."""
        any_sent = False
        for place, queue in self.queues.items():
            if not queue:
                continue
            session = self.sessions[place]
            count = 0
            try:
                while queue:
                    session.send(*queue[0])
                    queue.popleft()
                    count += 1
            except Full:
                pass
            except Impossible as error:
                queue.popleft()
                self.lines.append("refused %d %s" % (place, error))
            if count:
                any_sent = True
                self._took(place, count)
        return any_sent

    def _do_server(self, *words):
        self.is_server = True
        self.end = Server(settings.parse(settings.SERVER, words), self.on_event)
        return "ready %d %s:%d" % ((AHEAD,) + self.end.address())

    def _do_client(self, address, *words):
        host, _, port = address.rpartition(":")
        self.end = Client(settings.parse(settings.CLIENT, words), [(host, int(port))],
                          self.on_event)
        return "ready %d -" % AHEAD

    def _do_sync(self):
        """The answer comes behind "took" for everything that could be taken."""
        self._drain_queues()

    def _do_held(self):
        """What is kept for all sessions, as far as it depends on what was said."""
        queued = sum(len(payload) + 100 for queue in self.queues.values() for _, payload in queue)
        return "held %d" % (queued + self.end.held())

    def _do_request(self, place, route, payload):
        self._session(place).request(int(route), unhex(payload))

    def _do_respond(self, place, number, status, payload):
        self._session(place).respond(int(number), int(status), unhex(payload))

    def _do_finish(self, place):
        self._session(place).finish()

    def _do_close(self, place, code):
        self._session(place).close(int(code))

    def _do_end(self, place, code):
        self._session(place).end(int(code))

    def _do_drain(self, place, grace_ms, spread_ms):
        self._session(place).drain(time.monotonic(), int(grace_ms), int(spread_ms))

    def _do_stop(self):
        self.control.shutdown(socket.SHUT_RDWR)

    @staticmethod
    def _do_starve(millis):
        time.sleep(int(millis) / 1000)


def serve(listener):
    """A process for each control connection, until standard input ends."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    print("control %s:%d" % listener.getsockname()[:2], flush=True)
    while True:
        readable, _, _ = select.select([listener, sys.stdin], [], [])
        if sys.stdin in readable and not os.read(0, 1024):
            return
        if listener in readable:
            control, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                control.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                Subject(control).run()
                os._exit(0)
            control.close()
