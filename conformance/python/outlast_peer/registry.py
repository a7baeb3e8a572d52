"""The sessions of a server (sections 9 and 17)."""

import ipaddress
import secrets

from . import claims, codes, wire
from .session import ATTACHED, Session
from .wire import Refused


class Refusal(Exception):
    """A HELLO is answered with this CLOSE."""

    def __init__(self, name, flags=0, **parts):
        super().__init__(name)
        self.code = codes.NAMES_TO_CODES[name] if isinstance(name, str) else name
        self.frame = wire.encode_close(self.code, flags, **parts)


class Entry:
    """A session and what the registry knows of it."""

    def __init__(self, session, owner, now):
        self.session = session
        self.owner = owner
        self.created = now
        self.confirmed = False


class Tombstone:
    """REG-9: what is left of a session that is over."""

    def __init__(self, session, until):
        self.keys = session.keys
        self.code, self.rx_next = session.over
        self.until = until


def canonical(address):
    """REG-13: the source that an address counts as."""
    found = ipaddress.ip_address(address.split("%")[0])
    if found.version == 6:
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((int(found), 64), strict=False).network_address)
    return str(found)


class Registry:
    """Who has which session."""

    def __init__(self, config):
        self.config = config
        self.entries = {}
        self.tombstones = {}
        self.changed = []

    # HELLO ----------------------------------------------------------------------------------

    def admit(self, now, hello, owner):
        """Answers a HELLO: the session, and WELCOME. Raises Refusal."""
        if not hello["version_min"] <= wire.VERSION <= hello["version_max"]:
            raise Refusal("VERSION", versions=(wire.VERSION, wire.VERSION))
        if "resume" not in hello and not hello["wants_session"]:
            raise Refusal("CAPABILITY")
        # HND-26
        if hello["heartbeat_ms"] > 600_000:
            raise Refusal("LIMITS")
        # AUT-9: nothing is required here, and AUTHM is ignored.
        if "resume" in hello:
            return self._resume(now, hello)
        return self._begin(now, hello, owner)

    def _times(self, hello):
        """HND-12, HND-13: silence that is borne of the client, and that it bears."""
        idle_ms = self.config.idle_timeout_ms
        if idle_ms:
            idle_ms = max(idle_ms, 3 * hello["heartbeat_ms"])
        return idle_ms, hello["idle_ms"]

    def _welcome(self, found, hello, **option):
        idle_ms, client_ms = self._times(hello)
        fields = dict(found.terms(), version=wire.VERSION, idle_ms=idle_ms,
                      heartbeat_ms=client_ms, ttl_s=found.ttl_s)
        fields.update(option)
        return wire.encode("welcome", fields)

    def _begin(self, now, hello, owner):
        """HND-14, REG-7."""
        self.sweep(now)
        mine = [entry for entry in self.entries.values() if entry.owner == owner]
        unconfirmed = sum(not entry.confirmed for entry in mine)
        if unconfirmed >= self.config.max_unconfirmed or len(mine) >= self.config.max_per_owner:
            raise Refusal("BUSY", retry_ms=self.config.busy_retry_ms)
        if len(self.entries) + len(self.tombstones) >= self.config.max_entries:
            # REG-16
            if not self.tombstones:
                raise Refusal("BUSY", retry_ms=self.config.busy_retry_ms)
            del self.tombstones[next(iter(self.tombstones))]
        session = Session(self.config, "server")
        session.sid = self._fresh_sid()
        session.epoch = self.config.epoch
        session.key_id, key = 1, secrets.token_bytes(16)
        session.keys = {1: key}
        session.attach_number = 1
        session.ttl_s = min(hello["ttl_s"], self.config.retention_s, self.config.max_ttl_s)
        session.adopt_peer(hello)
        entry = Entry(session, owner, now)
        self.entries[session.sid] = entry
        grant = {"sid": session.sid, "epoch": session.epoch, "key_id": 1, "key": key}
        frame = self._welcome(session, hello, session=grant)
        session.attach(now, *self._times(hello))
        return session, frame, None

    def _fresh_sid(self):
        """REG-15."""
        while True:
            sid = secrets.randbits(64)
            if sid and sid not in self.entries and sid not in self.tombstones:
                return sid

    def _resume(self, now, hello):
        """The steps of section 9."""
        claim = hello["resume"]
        entry = self.entries.get(claim["sid"])
        if entry is not None:
            self._expire(now, entry)
            entry = self.entries.get(claim["sid"])
        tombstone = self.tombstones.get(claim["sid"])
        known = entry.session if entry is not None else tombstone
        keys = known.keys if known is not None else {}
        # REG-2, REG-3: computed and compared either way.
        key = keys.get(claim["key_id"], secrets.token_bytes(16))
        if not claims.is_right(claim, key) or claim["key_id"] not in keys:
            raise Refusal("NO_SESSION")
        if entry is None:
            raise Refusal(tombstone.code, wire.SESSION_ENDED, rx_next=tombstone.rx_next)
        session = entry.session
        if claim["attach"] <= session.attach_number:
            raise Refusal("STALE_ATTACH", last_attach=session.attach_number)
        old = session.fence() if session.link is not None else None
        session.attach_number = claim["attach"]
        entry.confirmed = True
        try:
            session.check_limits(hello)
        except Refused as refused:
            session.events.append(("disconnected", refused.code))
            self._detached(now, session)
            raise Fenced(Refusal("LIMITS"), session, old) from None
        try:
            session.check_positions(claim["rx_next"], claim["tx_first"])
        except Refused as refused:
            rx_next = session.inn.next
            session.end(refused.code)
            self.settle(now, session)
            refusal = Refusal(codes.name(refused.code), wire.SESSION_ENDED, rx_next=rx_next)
            raise Fenced(refusal, session, old) from None
        resumed = {"rx_next": session.inn.next, "tx_first": session.out.acked,
                   "epoch": session.epoch}
        frame = self._welcome(session, hello, resumed=resumed)
        session.attach(now, *self._times(hello), claim["rx_next"], hello["window"])
        return session, frame, old

    # The life of sessions --------------------------------------------------------------------

    def settle(self, now, session):
        """To be called when something may have happened to a session."""
        entry = self.entries.get(session.sid)
        if entry is None or entry.session is not session:
            return
        entry.confirmed = entry.confirmed or session.heard
        if session.over is not None:
            del self.entries[session.sid]
            self.tombstones[session.sid] = Tombstone(session, now + 2 * session.ttl_s)
        elif session.link is None and session.detached_at is None:
            self._detached(now, session)

    def _detached(self, now, session):
        """REG-10."""
        session.detached_at = now
        away = [entry for entry in self.entries.values() if entry.session.state != ATTACHED]
        away.sort(key=lambda entry: entry.session.detached_at or now)
        owner = self.entries[session.sid].owner
        mine = [entry for entry in away if entry.owner == owner]
        limits = ((mine, self.config.max_detached_per_owner), (away, self.config.max_detached))
        for group, limit in limits:
            if len(group) > limit:
                self._kill(now, group[0], "EVICTED")

    def _kill(self, now, entry, name):
        self.changed.append(entry.session)
        entry.session.end(codes.NAMES_TO_CODES[name])
        self.settle(now, entry.session)

    def _expire(self, now, entry):
        """REG-11 and REG-8."""
        session = entry.session
        since = session.detached_at
        if not entry.confirmed and not session.heard:
            if now >= entry.created + self.config.handshake_timeout_ms / 1000:
                self._forget(session)
        elif since is not None and now >= since + session.ttl_s:
            self._kill(now, entry, "EXPIRED")

    def _forget(self, session):
        """REG-8: dropped without a tombstone."""
        self.changed.append(session)
        del self.entries[session.sid]
        session.end(codes.NAMES_TO_CODES["HS_TIMEOUT"])

    def sweep(self, now):
        """Everything whose time is over."""
        for entry in list(self.entries.values()):
            self._expire(now, entry)
        for sid, tombstone in list(self.tombstones.items()):
            if now >= tombstone.until:
                del self.tombstones[sid]

    def deadline(self):
        """When `sweep` has something to do."""
        due = []
        for entry in self.entries.values():
            session = entry.session
            if not entry.confirmed and not session.heard:
                due.append(entry.created + self.config.handshake_timeout_ms / 1000)
            elif session.detached_at is not None:
                due.append(session.detached_at + session.ttl_s)
        return min(due, default=None)


class Fenced(Exception):
    """A claim was right, so that the old connection is fenced, and still refused."""

    def __init__(self, refusal, session, old):
        super().__init__(str(refusal))
        self.refusal, self.session, self.old = refusal, session, old
