"""The vectors of foreign formats, written and read by the Python clients."""

import json
import pathlib
import re
import sys
import unittest

HERE = pathlib.Path(__file__).resolve()
sys.path.insert(0, str(HERE.parents[1]))

from formats import htlv, length_prefix, ltv, msgtrans, ndjson, rocketmq, tlv  # noqa: E402

VECTORS = HERE.parents[3] / "formats" / "vectors"
KINDS = {"one-way": 0, "request": 1, "response": 2}
MODULES = {"length-prefix": length_prefix, "rocketmq": rocketmq, "ltv": ltv, "tlv": tlv,
           "htlv": htlv, "ndjson": ndjson, "msgtrans": msgtrans}


def vectors():
    for file in sorted(VECTORS.glob("*.txt")):
        for block in re.split(r"\n\s*\n", file.read_text(encoding="utf-8")):
            lines = [line for line in block.splitlines() if line and not line.startswith("#")]
            fields = {name: value.strip() for name, value in
                      (line.split(":", 1) for line in lines)}
            if fields and ("payload" in fields or "text" in fields):
                yield fields


class Tape:
    """Bytes in place of a connection."""

    def __init__(self, data):
        self.rest = data

    def exactly(self, count):
        data, self.rest = self.rest[:count], self.rest[count:]
        assert len(data) == count, "too short"
        return data

    def line(self):
        line, self.rest = self.rest.split(b"\n", 1)
        return line


def message(fields):
    """The vector as the client of its format has messages; None if it makes none like it."""
    data = bytes.fromhex(fields.get("payload", ""))
    number = int(fields.get("id", 0))
    match fields["format"]:
        case "length-prefix":
            return data
        case "ltv" | "tlv":
            return number, data
        case "htlv":
            return int(fields["head"]), number, data
        case "ndjson":
            return json.loads(fields["text"])
        case "msgtrans" if fields.get("compression") != "zstd":
            return msgtrans.packet(
                KINDS[fields.get("kind", "one-way")], number, int(fields["correlation"]), data,
                bytes.fromhex(fields.get("ext", "")), int(fields.get("flags", 0)),
                fields.get("compression") == "zlib")
        case "rocketmq":
            header = rocketmq.command(number, int(fields["correlation"]), int(fields["flag"]))
            header["language"] = json.loads(fields["language"])
            header["version"] = int(fields["version"])
            for name, key in (("remark", "remark"), ("ext_fields", "extFields")):
                if name in fields:
                    header[key] = json.loads(fields[name])
            return header | json.loads(fields.get("unknown", "{}")), data
    return None


class Vectors(unittest.TestCase):
    def test_all(self):
        met = set()
        for fields in vectors():
            wanted = message(fields) if fields["format"] in MODULES else None
            if wanted is None:
                continue
            with self.subTest(fields["name"]):
                module = MODULES[fields["format"]]
                data = bytes.fromhex(fields["bytes"])
                tape = Tape(data)
                found = module.read(tape)
                self.assertEqual(repr(found), repr(wanted))
                self.assertEqual(tape.rest, b"")
                # JSON lines may have other separators than the client writes.
                is_exact = fields["format"] != "ndjson" or b'": ' in data
                if fields.get("canonical") != "no" and is_exact:
                    self.assertEqual(module.pack(wanted), data)
            met.add(fields["format"])
        self.assertEqual(met, set(MODULES))


if __name__ == "__main__":
    unittest.main()
