"""python3 -m outlast_peer serve [PORT] | echo HOST:PORT | control"""

import socket
import sys

from . import config, control
from .client import Client
from .control import Loop
from .server import Server


class Echo:
    """Gives every message and every request back; says FIN when the peer has."""

    def __init__(self):
        self.waiting = []

    def on_event(self, session, event):
        """What to answer to an event."""
        if event[0] == "message":
            self.waiting.append((session, lambda: session.send(event[1], event[2])))
        elif event[0] == "request":
            self.waiting.append((session, lambda: session.respond(event[1], 0, event[3])))
        elif event[0] == "finished":
            self.waiting.append((session, session.finish))
        if event[0] in ("message", "request") and session.inn.manual:
            session.release(0, event[-1])

    def answer(self):
        """Answers as far as there is room, for each session in its order."""
        held, rest = set(), []
        for session, act in self.waiting:
            if session in held:
                rest.append((session, act))
                continue
            try:
                act()
            except control.Full:
                held.add(session)
                rest.append((session, act))
            except control.Impossible:
                pass
        changed = len(rest) < len(self.waiting)
        self.waiting = rest
        return changed


def run(end, echo):
    """Turns until there is nothing to be done any more."""
    loop = Loop(end)
    while True:
        readable, writable = loop.wait(False)
        end.turn(readable, writable)
        if echo.answer():
            end.turn([], [])
            if isinstance(end, Client):
                end.kick()
        if isinstance(end, Client) and end.state == "stopped" and not end.parting:
            return


def main(words):
    """The command line."""
    what = words[0] if words else ""
    echo = Echo()
    if what == "serve":
        port = int(words[1]) if len(words) > 1 else 0
        base = config.parse(config.SERVER, words[2:])
        server = Server(base, echo.on_event, ("127.0.0.1", port))
        print("serving on %s:%d" % server.address(), flush=True)
        run(server, echo)
    elif what == "echo":
        host, _, port = words[1].rpartition(":")
        base = config.parse(config.CLIENT, words[2:])
        run(Client(base, [(host, int(port))], echo.on_event), echo)
    elif what == "control":
        control.serve(socket.create_server(("127.0.0.1", 0), backlog=512))
    else:
        print(__doc__, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
