"""Settings (the table of section 3); their names are those that `outlast` uses."""

from dataclasses import dataclass, fields, replace


@dataclass(frozen=True)
class Config:
    """Limits and times of an end; the defaults are a server's."""

    max_body: int = 16383
    max_message: int = 1 << 20
    window: int = 1 << 20
    window_max: int = 4 << 20
    send_buffer: int = 1 << 20
    max_requests: int = 256
    max_requests_out: int = 64
    idle_timeout_ms: int = 45_000
    heartbeat_min_ms: int = 0
    retention_s: int = 600
    handshake_timeout_ms: int = 5_000
    frame_timeout_ms: int = 10_000
    ack_delay_ms: int = 25
    linger_ms: int = 2_000
    release: str = "automatic"
    # A server's registry.
    max_entries: int = 65_536
    max_per_owner: int = 1_024
    max_unconfirmed: int = 8
    max_detached: int = 32_768
    max_detached_per_owner: int = 64
    max_ttl_s: int = 600
    busy_retry_ms: int = 1_000
    epoch: int = 1
    # A client's dialling (section 16).
    backoff_base_ms: int = 500
    backoff_cap_ms: int = 60_000
    attempt_ms: int = 10_000


SERVER = Config()
CLIENT = Config(send_buffer=4 << 20, max_requests=64, max_requests_out=256,
                idle_timeout_ms=15_000)


def parse(base, words):
    """Settings as words `name=value`. Names that are not known here are an error."""
    known = {field.name: field.type for field in fields(Config)}
    changes = {}
    for word in words:
        name, _, value = word.partition("=")
        if name not in known:
            raise ValueError("unknown setting " + name)
        changes[name] = value if name == "release" else int(value)
    return replace(base, **changes)
