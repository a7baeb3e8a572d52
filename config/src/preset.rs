//! Values that go together, each with its reason.

use crate::assign::distance;
use crate::error::{Error, Origin};

type Values = &'static [(&'static str, &'static str, &'static str)];

/// Settings for a purpose: keys, values, and why.
#[derive(Debug)]
pub struct Preset {
    /// Its name.
    pub name: &'static str,
    /// What it is for.
    pub about: &'static str,
    pub(crate) server: Values,
    pub(crate) client: Values,
}

impl Preset {
    /// Every preset.
    pub const ALL: &[Self] = &[DEFAULT, HIGH_THROUGHPUT, LOW_LATENCY, DEBUG, CONSTRAINED];

    /// The preset of this name.
    ///
    /// # Errors
    ///
    /// There is none: the nearest is named, and all there are.
    pub fn named(name: &str, origin: Origin) -> Result<&'static Self, Error> {
        if let Some(preset) = Self::ALL.iter().find(|preset| preset.name == name) {
            return Ok(preset);
        }
        let nearest = Self::ALL.iter().min_by_key(|preset| distance(preset.name, name));
        let names: Vec<&str> = Self::ALL.iter().map(|preset| preset.name).collect();
        let nearest = nearest.map_or("default", |preset| preset.name);
        let shown = crate::node::shorten(name);
        let text =
            format!("preset `{shown}` is none of {}: do you mean {nearest}?", names.join(", "));
        Err(Error::new(origin, Some("preset"), text))
    }

    /// Keys and values for servers, each with its reason.
    #[must_use]
    pub const fn for_servers(&self) -> &'static [(&'static str, &'static str, &'static str)] {
        self.server
    }

    /// Keys and values for clients, each with its reason.
    #[must_use]
    pub const fn for_clients(&self) -> &'static [(&'static str, &'static str, &'static str)] {
        self.client
    }
}

const DEFAULT: Preset = Preset {
    name: "default",
    about: "Suits most: links over the Internet, some thousand clients.",
    server: &[],
    client: &[],
};

const HIGH_THROUGHPUT: Preset = Preset {
    name: "high-throughput",
    about: "Much data over long or fast links, at the price of memory for each session.",
    server: &[
        ("session.window", "4 MiB", "a link of 1 Gbit/s and 32 ms is full from the first moment"),
        ("session.window_max", "64 MiB", "and one of 10 Gbit/s and 50 ms after some growth"),
        ("session.send_buffer", "16 MiB", "what is on its way is kept until it is acknowledged"),
        ("session.max_message", "16 MiB", "long messages need no parts made by hand"),
        ("outgoing.queue", "4 MiB", "whoever sends waits less often"),
        ("plain.send_queue", "4 MiB", "the same without sessions"),
        ("socket.unsent", "1 MiB", "the kernel always has something to send"),
    ],
    client: &[
        ("session.window", "4 MiB", "a link of 1 Gbit/s and 32 ms is full from the first moment"),
        ("session.window_max", "64 MiB", "and one of 10 Gbit/s and 50 ms after some growth"),
        ("session.send_buffer", "16 MiB", "what is on its way is kept until it is acknowledged"),
        ("session.max_message", "16 MiB", "long messages need no parts made by hand"),
        ("outgoing.queue", "4 MiB", "whoever sends waits less often"),
        ("plain.send_queue", "4 MiB", "the same without sessions"),
        ("socket.unsent", "1 MiB", "the kernel always has something to send"),
    ],
};

const LOW_LATENCY: Preset = Preset {
    name: "low-latency",
    about: "Short messages soon, dead links noticed soon, at the price of more small packets.",
    server: &[
        ("session.max_body", "4096", "a short message waits behind no long frame"),
        ("session.ack_delay", "5 ms", "receipts come sooner"),
        ("session.idle_timeout", "5 s", "a dead client is noticed soon"),
        ("session.frame_timeout", "5 s", "half a frame is worth no more than silence"),
        ("socket.unsent", "16 KiB", "what is urgent waits behind little in the kernel"),
        ("outgoing.queue", "64 KiB", "what cannot be sent soon is said to whoever sends"),
        ("outgoing.write_timeout", "5 s", "a stuck client is let go soon"),
        ("plain.write_timeout", "5 s", "the same without sessions"),
    ],
    client: &[
        ("session.max_body", "4096", "a short message waits behind no long frame"),
        ("session.ack_delay", "5 ms", "receipts come sooner"),
        ("session.idle_timeout", "3 s", "a dead link is noticed soon, and another one dialled"),
        ("session.frame_timeout", "5 s", "half a frame is worth no more than silence"),
        ("socket.unsent", "16 KiB", "what is urgent waits behind little in the kernel"),
        ("outgoing.queue", "64 KiB", "what cannot be sent soon is said to whoever sends"),
        ("outgoing.write_timeout", "5 s", "a stuck link is left soon"),
        ("dial.backoff_base", "100 ms", "a cut that is over at once costs next to nothing"),
        ("dial.backoff_cap", "5 s", "and a long one little more than itself"),
        ("dial.connect_limit", "3 s", "another address is tried soon"),
    ],
};

const DEBUG: Preset = Preset {
    name: "debug",
    about: "For a debugger: nothing is given up while one looks at it.",
    server: &[
        ("session.idle_timeout", "1 h", "a program that is halted says nothing"),
        ("session.handshake_timeout", "10 min", "steps through a handshake take their time"),
        ("session.frame_timeout", "1 h", "as do steps through a frame"),
        ("session.retention", "1 d", "a session is there still after lunch"),
        ("outgoing.write_timeout", "1 h", "a client that is halted reads nothing"),
        ("plain.idle_timeout", "1 h", "the same without sessions"),
        ("plain.packet_timeout", "1 h", "the same without sessions"),
        ("plain.write_timeout", "1 h", "the same without sessions"),
        ("security.log", "-", "who is kept out is seen at once"),
    ],
    client: &[
        ("session.idle_timeout", "1 h", "a program that is halted says nothing"),
        ("session.handshake_timeout", "10 min", "steps through a handshake take their time"),
        ("session.frame_timeout", "1 h", "as do steps through a frame"),
        ("session.retention", "1 d", "a session is there still after lunch"),
        ("outgoing.write_timeout", "1 h", "a server that is halted reads nothing"),
        ("plain.idle_timeout", "1 h", "the same without sessions"),
        ("plain.packet_timeout", "1 h", "the same without sessions"),
        ("plain.write_timeout", "1 h", "the same without sessions"),
        ("dial.connect_limit", "10 min", "a server that is halted accepts nothing"),
        ("dial.attempts", "10", "a server that is not there is said before long"),
    ],
};

const CONSTRAINED: Preset = Preset {
    name: "constrained",
    about: "Little memory at this end: small machines, or very many sessions on one.",
    server: &[
        ("session.max_body", "1024", "a frame is held whole while it comes"),
        ("session.max_message", "16 KiB", "and so are the parts of a long message"),
        ("session.window", "4 KiB", "so much may be under way to this end"),
        ("session.window_max", "16 KiB", "and no link makes it much more"),
        ("session.send_buffer", "16 KiB", "so much is kept for a client that is away"),
        ("session.max_requests", "8", "each open request holds what it was asked with"),
        ("session.max_requests_out", "8", "the same the other way"),
        ("outgoing.queue", "16387", "the least there may be: a frame of any length"),
        ("plain.send_queue", "16 KiB", "the same without sessions"),
        ("connections.max_connections", "1024", "each takes some kilobytes and a descriptor"),
        ("connections.max_handshakes", "32", "those under way take most"),
        ("sessions.max_entries", "1024", "as many as there are connections"),
        ("sessions.max_detached", "512", "half of them may be away"),
        ("memory.low", "4 MiB", "beyond it nobody new comes in"),
        ("memory.high", "8 MiB", "beyond it nobody sends more"),
        ("socket.backlog", "128", "the kernel's memory counts, too"),
    ],
    client: &[
        ("session.max_body", "1024", "a frame is held whole while it comes"),
        ("session.max_message", "16 KiB", "and so are the parts of a long message"),
        ("session.window", "4 KiB", "so much may be under way to this end"),
        ("session.window_max", "16 KiB", "and no link makes it much more"),
        ("session.send_buffer", "16 KiB", "so much is kept while there is no connection"),
        ("session.max_requests", "8", "each open request holds what it was asked with"),
        ("session.max_requests_out", "8", "the same the other way"),
        ("session.heartbeat_min", "1 s", "a radio that sleeps is not waked more often"),
        ("outgoing.queue", "16387", "the least there may be: a frame of any length"),
        ("plain.send_queue", "16 KiB", "the same without sessions"),
        ("pool.connections", "1", "one session carries many requests"),
        ("pool.waiting", "16", "each that waits takes memory"),
    ],
};
