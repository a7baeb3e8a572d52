"""The golden vectors, read and written by the second implementation."""

import pathlib
import re
import sys
import unittest

HERE = pathlib.Path(__file__).resolve()
sys.path.insert(0, str(HERE.parents[1]))

from outlast_peer import claims, codes, wire  # noqa: E402

VECTORS = HERE.parents[2] / "vectors"
BYTES = ("payload", "data", "auth_data", "key", "proof", "agent", "client_id", "address")
FLAGS = ("more", "wants_session", "has_session", "sequenced")


def vectors():
    for file in sorted(VECTORS.glob("*.txt")):
        for block in re.split(r"\n\s*\n", file.read_text(encoding="utf-8")):
            lines = [line for line in block.splitlines() if line and not line.startswith("#")]
            fields = {name: value.strip() for name, value in
                      (line.split(":", 1) for line in lines)}
            if fields:
                yield fields, bytes.fromhex(fields.pop("bytes"))


def plain(fields):
    """What was decoded, as flat as a vector's fields, and without what stands in none."""
    flat = {}
    for key, value in fields.items():
        if isinstance(value, dict):
            flat.update(value)
        else:
            flat[key] = value
    return flat


def value_of(key, text):
    if key in BYTES:
        return bytes.fromhex(text)
    if key in FLAGS:
        return text == "yes"
    return int(text, 0)


def one(data, max_body):
    """The one frame of these bytes: its name and fields, or None."""
    reader = wire.Reader(max_body)
    reader.feed(data)
    taken = reader.next()
    return None if taken is None else wire.decode(*taken[:4])


class Vectors(unittest.TestCase):
    def test_all_are_read_and_written(self):
        count = 0
        for fields, data in vectors():
            count += 1
            with self.subTest(fields["name"]):
                if "accept" in fields:
                    self.accept(dict(fields), data)
                else:
                    self.refuse(fields, data)
        self.assertGreater(count, 200)

    def accept(self, fields, data):
        name = fields.pop("accept")
        self.assertTrue(fields.pop("name"))
        canonical = fields.pop("canonical", "yes") == "yes"
        max_body = int(fields.pop("our_max_body", "16383"), 0)
        if name == "close":
            code = int(fields["code"], 0)
            if code in codes.NAMES:
                self.assertEqual(codes.name(code), fields["code_name"])
            self.assertEqual(codes.scope(code), fields["scope"])
            self.assertEqual(codes.retry_class(code), fields["retry"].split("-")[0])
            for extra in ("code_name", "scope", "retry"):
                fields.pop(extra, None)
        for end in range(len(data)):
            self.assertIsNone(one(data[:end], max_body))
        found, decoded = one(data, max_body)
        self.assertEqual(found, name)
        flat = plain(decoded)
        expected = {key: value_of(key, text) for key, text in fields.items() if key != "reason"}
        if name == "close":
            # Those of the optional parts follow from the parts.
            self.assertEqual(flat.pop("flags") & 3, expected.pop("flags"))
        if "reason" in fields:
            reason = fields["reason"]
            expected["reason"] = reason if name == "close" else int(reason, 0)
        for key, value in expected.items():
            self.assertEqual(flat[key], value, key)
        for key, value in flat.items():
            self.assertTrue(key in expected or not value, key)
        if canonical:
            self.assertEqual(wire.encode(name, decoded), data)

    def refuse(self, fields, data):
        max_body = int(fields.get("our_max_body", "16383"), 0)
        with self.assertRaises(wire.Refused) as refused:
            if fields["stage"] == "first":
                for end in range(len(data) + 1):
                    size = wire.check_greeting(data[:end], (wire.HELLO,))
                    if size is not None:
                        wire.decode(data[0], data[1], False, data[4:size])
            elif fields["stage"] == "header":
                one(data[:4], max_body)
            else:
                self.assertIsNone(one(data[:4], max_body) if len(data) > 4 else None)
                one(data, max_body)
        self.assertEqual(codes.name(refused.exception.code), fields["refuse"])

    def test_the_claim_of_the_specification(self):
        found = claims.proof(bytes(range(16)), 0x00010000DEADBEEF, 2, 1, 360, 1200)
        self.assertEqual(found.hex(), "d663806eb725568ec08786a283104fa2")


if __name__ == "__main__":
    unittest.main()
