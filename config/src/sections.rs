//! Items that servers and clients have alike, each declared once.

/// Limits and intervals of sessions.
macro_rules! session_items {
    ($settings:ty) => {
        items! { $settings;
            "session.max_body" Kind::Size(60, 16_383), None, plain session.max_body, Restart,
                "Longest frame body taken; longer messages come in parts.";
            "session.max_message" Kind::Size(60, 1 << 30), None, plain session.max_message, Restart,
                "Longest message taken, when its parts are put together. At least \
`session.max_body`.";
            "session.window" Kind::Size(64, 1 << 30), None, plain session.window, Restart,
                "Bytes that the peer may send beyond what was taken, at first. At least \
`session.max_body` and 4.";
            "session.window_max" Kind::Size(64, 1 << 30), None, plain session.window_max, Restart,
                "Bytes that the window may grow to where a link needs it. At least \
`session.window`.";
            "session.send_buffer" Kind::Size(64, 1 << 30), None, plain session.send_buffer, Restart,
                "Bytes that are kept until the peer has them: what can be said while there is no \
connection.";
            "session.max_requests" Kind::Count(0, 32_768), None,
                plain session.max_requests, Restart,
                "Requests of the peer's that may be open at once; 0: none is taken.";
            "session.max_requests_out" Kind::Count(0, 32_768), None,
                plain session.max_requests_out, Restart,
                "Requests of this end's that may be open at once, if the peer takes as many.";
            "session.idle_timeout" Kind::Time(0, (1 << 30) * MILLISECOND, MILLISECOND), None,
                millis session.idle_timeout_ms, Restart,
                "Silence of the peer after which the connection is given up; 0: never.";
            "session.heartbeat_min" Kind::Time(0, 600 * SECOND, MILLISECOND), None,
                millis session.heartbeat_min_ms, Restart,
                "The fastest that this end is able to show that it lives; peers ask for no more.";
            "session.retention" Kind::Time(0, u32::MAX as u64 * SECOND, SECOND), None,
                seconds session.retention_s, Restart,
                "How long a session without a connection is kept or asked for; the shorter one of \
both ends counts.";
            "session.handshake_timeout" Kind::Time(MILLISECOND, 600 * SECOND, MILLISECOND), None,
                millis session.handshake_timeout_ms, Restart,
                "Time for the whole handshake, rounded up to 10 ms.";
            "session.frame_timeout" Kind::Time(MILLISECOND, 3_600 * SECOND, MILLISECOND), None,
                millis session.frame_timeout_ms, Restart,
                "Time for a frame to become whole once its first byte is there.";
            "session.ack_delay" Kind::Time(0, 60 * SECOND, MILLISECOND), None,
                millis session.ack_delay_ms, Restart,
                "Longest delay of an acknowledgement.";
            "session.linger" Kind::Time(0, 600 * SECOND, MILLISECOND), None,
                millis session.linger_ms, Restart,
                "How long to wait for the peer's end of stream after closing, rounded up to 10 ms.";
        }
    };
}
pub(crate) use session_items;

/// What waits to be sent.
macro_rules! outgoing_items {
    ($settings:ty) => {
        items! { $settings;
            "outgoing.queue" Kind::Size(16_387, 1 << 30), None, plain outgoing.queue, Restart,
                "Bytes that may wait for a session before whoever sends has to wait.";
            "outgoing.when_full" Kind::Choice(&["refuse", "drop-newest", "disconnect"]), None,
                plain outgoing.when_full, Restart,
                "What becomes of a message that finds no room, where nobody waits for it.";
            "outgoing.write_timeout"
                Kind::Time(MILLISECOND, u32::MAX as u64 * MILLISECOND, MILLISECOND), None,
                plain outgoing.write_timeout, Restart,
                "A peer whose transport takes nothing for so long loses its connection, not its \
session.";
            "outgoing.batch_bytes" Kind::Size(1, 1 << 30), Some("none"),
                batch_bytes outgoing.batch, Restart,
                "Small messages wait for others until so many bytes wait. Any of the three begins \
that, with 16 KiB, 100 messages and 5 ms for what is not said; `none` ends it.";
            "outgoing.batch_messages" Kind::Count(1, u32::MAX as u64), Some("none"),
                batch_messages outgoing.batch, Restart,
                "The same, until so many messages wait.";
            "outgoing.batch_delay" Kind::Time(0, 10 * SECOND, MILLISECOND), Some("none"),
                batch_delay outgoing.batch, Restart,
                "The same, until the first of them has waited for so long.";
        }
    };
}
pub(crate) use outgoing_items;

/// Socket options of any connection.
macro_rules! socket_items {
    ($settings:ty) => {
        items! { $settings;
            "socket.nodelay" Kind::Flag, None, plain socket.nodelay, Restart,
                "Small segments go at once (`TCP_NODELAY`).";
            "socket.keepalive" Kind::Time(SECOND, 32_767 * SECOND, SECOND), Some("none"),
                plain socket.keepalive, Restart,
                "The kernel probes a connection that was idle for so long (`SO_KEEPALIVE`).";
            "socket.keepalive_interval" Kind::Time(SECOND, 32_767 * SECOND, SECOND), Some("system"),
                plain socket.keepalive_interval, Restart,
                "Time between such probes. Of effect with `socket.keepalive` alone.";
            "socket.keepalive_probes" Kind::Count(1, 127), Some("system"),
                plain socket.keepalive_probes, Restart,
                "Probes without an answer that end the connection. Of effect with \
`socket.keepalive` alone.";
            "socket.send_buffer" Kind::Size(1, 1 << 30), Some("system"),
                plain socket.send_buffer, Restart, "The kernel's send buffer.";
            "socket.receive_buffer" Kind::Size(1, 1 << 30), Some("system"),
                plain socket.receive_buffer, Restart, "The kernel's receive buffer.";
            "socket.unsent" Kind::Size(1, u32::MAX as u64), Some("system"),
                plain socket.unsent, Restart,
                "Bytes that the kernel takes beyond what it has sent: signs of life wait behind no \
more (Linux; not over loopback).";
        }
    };
}
pub(crate) use socket_items;

/// Connections that speak another system's format.
macro_rules! plain_items {
    ($settings:ty) => {
        items! { $settings;
            "plain.send_queue" Kind::Size(1, 1 << 30), None, plain plain.send_queue, Restart,
                "Bytes that may wait to be sent to a connection of another system's format.";
            "plain.when_full" Kind::Choice(&["refuse", "drop-newest", "disconnect"]), None,
                plain plain.when_full, Restart,
                "What becomes of a packet that finds no room, where nobody waits for it.";
            "plain.max_requests" Kind::Count(1, 65_536), None, plain plain.max_requests, Restart,
                "Requests of each end that may be open. While so many answers are owed, nothing is \
read.";
            "plain.idle_timeout"
                Kind::Time(MILLISECOND, u32::MAX as u64 * MILLISECOND, MILLISECOND), None,
                plain plain.idle_timeout, Restart,
                "After so long without a byte from the peer the connection is over.";
            "plain.packet_timeout"
                Kind::Time(MILLISECOND, u32::MAX as u64 * MILLISECOND, MILLISECOND), None,
                plain plain.packet_timeout, Restart,
                "A packet that has begun has to be whole after this.";
            "plain.write_timeout"
                Kind::Time(MILLISECOND, u32::MAX as u64 * MILLISECOND, MILLISECOND), None,
                plain plain.write_timeout, Restart,
                "A peer that takes nothing for so long loses the connection.";
            "plain.batch_bytes" Kind::Size(1, 1 << 30), Some("none"),
                batch_bytes plain.batch, Restart,
                "Small packets wait for others, as with `outgoing.batch_bytes`.";
            "plain.batch_messages" Kind::Count(1, u32::MAX as u64), Some("none"),
                batch_messages plain.batch, Restart,
                "The same, until so many packets wait.";
            "plain.batch_delay" Kind::Time(0, 10 * SECOND, MILLISECOND), Some("none"),
                batch_delay plain.batch, Restart,
                "The same, until the first of them has waited for so long.";
            "plain.max_bad" Kind::Count(0, u32::MAX as u64), None, plain plain.max_bad, Restart,
                "How many times in a row the peer may send what is no packet, where the format can \
go on.";
        }
    };
}
pub(crate) use plain_items;
