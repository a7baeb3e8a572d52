"""The proof that a claim to a session is its owner's (section 4)."""

import hashlib
import hmac
import struct


def proof(key, sid, attach, key_id, rx_next, tx_first, binding=b""):
    """AUT-1: what a proof of kind 1 is."""
    covered = b"outlast-resume" + struct.pack("<QIBQQ", sid, attach, key_id, rx_next, tx_first)
    return hmac.new(key, covered + binding, hashlib.sha256).digest()[:16]


def is_right(claim, key):
    """AUT-2: compared in a time that says nothing."""
    wanted = proof(key, claim["sid"], claim["attach"], claim["key_id"], claim["rx_next"],
                   claim["tx_first"])
    return hmac.compare_digest(wanted, claim["proof"]) and claim["proof_kind"] == 1
