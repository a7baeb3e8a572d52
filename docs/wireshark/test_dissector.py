"""The Wireshark dissector, with tshark: whole, split, coalesced and bad frames.

Run it as ``cargo xtask test wireshark``, or with ``python3 -m unittest`` from this folder. The
frames are the examples of the specification.
"""

import pathlib
import re
import struct
import subprocess
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
DISSECTOR = HERE / "outlast.lua"
SPEC = (HERE.parent / "spec.md").read_text(encoding="utf-8")
PORT = 7411

# It depends on the state of the connection, which a capture may have begun in the midst of.
NEEDS_STATE = "another protocol at the start of a connection"


def frames_of(text):
    """The frames of the first block of examples in ``text``, with their labels."""
    block = re.search(r"```hex\n(.*?)```", text, re.S).group(1)
    frames, label = [], []
    for line in block.splitlines():
        if not line.startswith(" "):
            label = [line] if not frames or frames[-1][0] == " ".join(label) else [*label, line]
            continue
        numbers = []
        for word in line.replace("|", " ").split():
            byte, _, times = word.partition("*")
            numbers += [int(byte, 16)] * int(times or 1)
        name = " ".join(label)
        if frames and frames[-1][0] == name:
            frames[-1] = (name, frames[-1][1] + bytes(numbers))
        else:
            frames.append((name, bytes(numbers)))
    return frames


EXAMPLES = SPEC[SPEC.index("## 20 Examples"):]
GOOD = frames_of(EXAMPLES)
BAD = frames_of(EXAMPLES[EXAMPLES.index("These must be refused"):])


def kinds_in(stream):
    """The kinds of the frames that stand back to back."""
    kinds = []
    while stream:
        kinds.append(stream[0])
        stream = stream[4 + (int.from_bytes(stream[2:4], "little") & 0x3FFF):]
    return kinds


def capture(segments, port=PORT, answer=b""):
    """A classic capture of one TCP connection whose client sent these segments, and whose server
    answered the first of them."""
    out = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101)
    sequence = 1000

    def packet(flags, data=b"", back=False):
        nonlocal sequence, out
        ports = (port, 50000) if back else (50000, port)
        numbers = (5001 - bool(flags & 2), sequence) if back else (sequence, 5001)
        tcp = struct.pack(">HHIIBBHHH", *ports, *numbers, 0x50, flags, 65535, 0, 0) + data
        ends = (b"\x7f\0\0\x02", b"\x7f\0\0\x01") if back else (b"\x7f\0\0\x01", b"\x7f\0\0\x02")
        total = 20 + len(tcp)
        head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, total, 0, 0, 64, 6, 0, *ends)
        out += struct.pack("<IIII", 1700000000, 0, total, total) + head + tcp

    packet(0x02)
    sequence += 1
    packet(0x12, back=True)
    for index, segment in enumerate(segments):
        packet(0x18, segment)
        sequence += len(segment)
        if answer and index == 0:
            packet(0x18, answer, back=True)
    packet(0x11)
    return out


class Dissector(unittest.TestCase):
    def tshark(self, segments, *fields, **more):
        """What tshark says of each packet, as far as it knows these fields."""
        with tempfile.NamedTemporaryFile(suffix=".pcap") as file:
            file.write(capture(segments, **more))
            file.flush()
            wanted = [word for field in fields for word in ("-e", field)]
            command = ["tshark", "-X", f"lua_script:{DISSECTOR}", "-r", file.name,
                       "-Y", "outlast", "-T", "fields", *wanted]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
        self.assertNotIn("Lua", done.stderr, done.stderr)
        return [line.split("\t") for line in done.stdout.splitlines()]

    def column(self, segments, field, **more):
        """All values of one field, in order."""
        rows = self.tshark(segments, field, **more)
        return [value for row in rows for value in row[0].split(",") if value]

    def kinds(self, segments, **more):
        return [int(kind, 16) for kind in self.column(segments, "outlast.kind", **more)]

    def test_every_example_is_shown_and_none_is_called_broken(self):
        self.assertGreater(len(GOOD), 20)
        frames = [frame for _, frame in GOOD]
        self.assertEqual(self.kinds(frames), kinds_in(b"".join(frames)))
        self.assertEqual(self.column(frames, "_ws.expert.message"), [])

    def test_frames_that_are_split_at_every_byte_are_put_together(self):
        stream = b"".join(frame for _, frame in GOOD)
        expected = kinds_in(stream)
        for size in (1, 3, 7, 64):
            pieces = [stream[at:at + size] for at in range(0, len(stream), size)]
            self.assertEqual(self.kinds(pieces), expected, f"pieces of {size}")

    def test_frames_that_come_together_are_taken_apart(self):
        stream = b"".join(frame for _, frame in GOOD)
        self.assertEqual(self.kinds([stream]), kinds_in(stream))

    def test_bad_frames_are_called_what_the_specification_calls_them(self):
        checked = 0
        for label, frame in BAD:
            if NEEDS_STATE in label:
                continue
            code = label.split(":")[0]
            messages = " ".join(self.column([frame], "_ws.expert.message"))
            self.assertIn(code, messages, label)
            checked += 1
        self.assertGreater(checked, 7)
        # What comes before a bad frame is shown, and nothing behind it is taken for a frame.
        ack, zeros = GOOD_BY_NAME["FIN"], bytes(64)
        self.assertEqual(self.kinds([ack + zeros]), [0x85, 0x00])

    def test_numbers_are_those_of_the_examples(self):
        hello = next(frame for label, frame in GOOD if label.startswith("HELLO, resume"))
        fields = ("outlast.sid", "outlast.attach", "outlast.rx_next", "outlast.tx_first")
        row = self.tshark([hello], *fields)[0]
        self.assertEqual(row, ["0x00010000deadbeef", "2", "360", "1200"])
        for name, field, expected in (
                ("MSG route 0x12345, 16 bytes", "outlast.route", "74565"),
                ("RSP OK, id 1, \"pong\"", "outlast.request", "1"),
                ("CLOSE, STALE_ATTACH, last attach 7", "outlast.attach", "7"),
                ("DRAIN, GOING_AWAY, grace 10 s, spread 30 s", "outlast.spread_ms", "30000")):
            self.assertEqual(self.column([GOOD_BY_NAME[name]], field), [expected], name)

    def test_secrets_are_not_shown(self):
        welcome = next(frame for label, frame in GOOD if label.startswith("WELCOME, new"))
        for frame in (welcome, GOOD_BY_NAME["TOKEN, key id 2"]):
            with tempfile.NamedTemporaryFile(suffix=".pcap") as file:
                file.write(capture([frame]))
                file.flush()
                command = ["tshark", "-X", f"lua_script:{DISSECTOR}", "-r", file.name,
                           "-O", "outlast"]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
            self.assertIn("not shown", done.stdout)
            self.assertNotIn(frame[-16:].hex(), done.stdout.replace(":", ""))

    def test_other_ports_are_known_by_their_greeting(self):
        hello = next(frame for label, frame in GOOD if label.startswith("HELLO, new"))
        message = GOOD_BY_NAME["FIN"]
        self.assertEqual(self.kinds([hello, message], port=40123), [0x01, 0x85])
        self.assertEqual(self.kinds([message], port=40123), [])
        # A greeting may come in pieces, of which the first has its magic.
        for size in (8, 9, 30, len(hello) - 1):
            pieces = [hello[:size], hello[size:] + message[:2], message[2:]]
            self.assertEqual(self.kinds(pieces, port=40123), [0x01, 0x85], f"first {size} bytes")

    def test_a_greeting_that_was_not_seen_makes_no_frame_broken(self):
        hello = next(frame for label, frame in GOOD if label.startswith("HELLO, new"))
        welcome = next(frame for label, frame in GOOD if label.startswith("WELCOME, new"))
        for size in range(1, 8):
            pieces = [hello[:size], hello[size:], GOOD_BY_NAME["FIN"]]
            more = {"port": 40123, "answer": welcome}
            self.assertEqual(self.column(pieces, "_ws.expert.message", **more), [])
            self.assertEqual(self.kinds(pieces, answer=welcome), [0x02, 0x01, 0x85])

    def test_it_knows_every_kind_and_every_code(self):
        lua = DISSECTOR.read_text(encoding="utf-8")
        for number, name in re.findall(r"^\| `([0-9A-F]{2})` \| ([A-Z]+) \|", SPEC, re.M):
            self.assertIn(f'[0x{number}] = "{name}"', lua)
        codes = re.findall(r"^\| .*?`([0-9A-F]{4})` \| ([A-Z_]+) \|", SPEC, re.M)
        self.assertGreater(len(codes), 30)
        for number, name in codes:
            self.assertIn(f'[0x{number}] = "{name}"', lua)


GOOD_BY_NAME = dict(GOOD)


if __name__ == "__main__":
    unittest.main()
