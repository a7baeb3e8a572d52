//! What a session counts. Bytes are positions and need no counters of their own.

/// Counters of one session over all its connections. They wrap at 2^32, so take differences.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Stats {
    /// Whole messages, requests and responses received.
    pub messages_in: u32,
    /// Whole messages, requests and responses given to send.
    pub messages_out: u32,
    /// Bytes transmitted again after a connection was lost.
    pub resent: u32,
    /// Times a connection was attached. A restored session begins at 1.
    pub attaches: u32,
    /// Times a connection was lost or given up.
    pub detaches: u32,
    /// Acknowledgements received.
    pub acks_in: u32,
    /// Acknowledgements transmitted.
    pub acks_out: u32,
    /// PING frames received.
    pub pings_in: u32,
    /// PING frames transmitted.
    pub pings_out: u32,
    /// Signs of life transmitted because nothing else was.
    pub beats_out: u32,
    /// Frames that moved no data and were charged to the peer's budget.
    pub charged: u32,
    /// Frames skipped because they are unknown and may be.
    pub ignored: u32,
    /// Connections that ended because the peer broke a rule.
    pub violations: u32,
    /// Connections given up because the peer was silent.
    pub silences: u32,
    /// Late polls forgiven.
    pub late_polls: u32,
    /// Sends refused for want of room.
    pub refused_sends: u32,
}
