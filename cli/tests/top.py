"""Runs a program in a terminal of its own and says what is on its screen.

usage: top.py COLUMNS ROWS PROGRAM ARGUMENT...

Reads orders from standard input, one a line: `screen` prints the screen and a line `--`, `type
TEXT` types, `size COLUMNS ROWS` changes the size, `wait` waits for the end and prints `exit CODE`
and whether the terminal is as it was before. Only the standard library is used.
"""

import fcntl
import os
import pty
import re
import select
import struct
import sys
import termios
import time

# Orders of a terminal: cursor positions, modes, colours, and what else begins with an escape.
ORDER = re.compile(rb"\x1b(?:\[([?>0-9;]*)([ -/]*)([@-~])|[()][0-9A-Z]|\][^\x07]*\x07|[=>78])")


class Screen:
    """As much of a terminal as one needs to see what is on it."""

    def __init__(self, columns, rows):
        self.rest = b""
        self.modes = set()
        self.resize(columns, rows)

    def resize(self, columns, rows):
        self.columns, self.rows = columns, rows
        self.clear()

    def clear(self):
        self.cells = [[" "] * self.columns for _ in range(self.rows)]
        self.row = self.column = 0

    def feed(self, data):
        data = self.rest + data
        at = 0
        while at < len(data):
            if data[at] == 0x1B:
                order = ORDER.match(data, at)
                if order is None and len(data) - at < 32:
                    break
                if order is None:
                    raise SystemExit("unknown order %r" % data[at : at + 32])
                self.obey(order)
                at = order.end()
                continue
            length = 1
            while length < 4 and data[at] >= 0xC0 and data[at] << length & 0x80:
                length += 1
            if at + length > len(data):
                break
            self.put(data[at : at + length].decode("utf-8", "replace"))
            at += length
        self.rest = data[at:]

    def obey(self, order):
        arguments, _, final = order.groups()
        if final is None:
            return
        if arguments.startswith(b"?"):
            for mode in arguments[1:].split(b";"):
                (self.modes.add if final == b"h" else self.modes.discard)(int(mode or 0))
            return
        numbers = [int(n or 0) for n in arguments.split(b";")] if b">" not in arguments else [0]
        if final in b"Hf":
            numbers = (numbers + [1, 1])[:2]
            self.row, self.column = max(numbers[0], 1) - 1, max(numbers[1], 1) - 1
        elif final == b"J":
            self.clear()
        elif final == b"K":
            for column in range(self.column, self.columns):
                self.cells[self.row][column] = " "

    def put(self, letter):
        if letter == "\r":
            self.column = 0
        elif letter == "\n":
            self.row = min(self.row + 1, self.rows - 1)
        elif letter >= " ":
            if self.row < self.rows and self.column < self.columns:
                self.cells[self.row][self.column] = letter
            self.column += 1

    def text(self):
        return "\n".join("".join(row).rstrip() for row in self.cells)


def set_size(terminal, columns, rows):
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def main():
    columns, rows, program = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    terminal, inner = pty.openpty()
    set_size(inner, columns, rows)
    before = termios.tcgetattr(inner)
    child = os.fork()
    if child == 0:
        os.setsid()
        fcntl.ioctl(inner, termios.TIOCSCTTY, 0)
        for descriptor in (0, 1, 2):
            os.dup2(inner, descriptor)
        os.environ["TERM"] = "xterm-256color"
        os.execv(program[0], program)
    screen, orders, status = Screen(columns, rows), b"", None
    deadline = time.monotonic() + 120
    waiting = False
    while time.monotonic() < deadline:
        ready, _, _ = select.select([terminal] if waiting else [terminal, 0], [], [], 0.05)
        if terminal in ready:
            screen.feed(os.read(terminal, 65536))
            continue
        if 0 in ready:
            data = os.read(0, 65536)
            if not data:
                waiting = True
            orders += data
        while b"\n" in orders and not waiting:
            line, orders = orders.split(b"\n", 1)
            words = line.decode().split(" ")
            if words[0] == "screen":
                print(screen.text() + "\n--", flush=True)
            elif words[0] == "type":
                os.write(terminal, words[1].encode())
            elif words[0] == "size":
                columns, rows = int(words[1]), int(words[2])
                screen.resize(columns, rows)
                set_size(inner, columns, rows)
            elif words[0] == "wait":
                waiting = True
        if waiting and not ready:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                restored = termios.tcgetattr(inner) == before and 1049 not in screen.modes
                code = os.waitstatus_to_exitcode(status)
                print("exit %d %s" % (code, "restored" if restored else "spoilt"), flush=True)
                return
    os.kill(child, 9)
    print("exit -1 it did not end")


main()
