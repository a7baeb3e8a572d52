//! What others than the session have to know of a snapshot: its server's registry, and whoever
//! configures the session that it becomes.

use super::fixed::Fixed;
use super::{NEXT_KEY, checked};
use crate::auth::SessionKey;
use crate::config::Config;
use crate::registry::Stored;

impl Stored {
    /// What a registry has to know of the session in this snapshot of a server's. The snapshot does
    /// not say whose it is, what retention it was granted, and whether it is the session's last.
    ///
    /// `None`: the bytes are damaged, or a client's.
    #[must_use]
    pub fn of_snapshot(
        snapshot: &[u8],
        principal: Option<u64>,
        source: u64,
        ttl_s: u32,
        is_last: bool,
    ) -> Option<Self> {
        let (fixed, _) = checked(snapshot).ok()?;
        let [_, role]: [u8; 2] = fixed.field(4);
        if role != 1 {
            return None;
        }
        let [key_id, _]: [u8; 2] = fixed.field(24);
        Some(Self {
            sid: fixed.u64(8),
            epoch: fixed.u32(16),
            key_id,
            key: SessionKey::new(fixed.field(28)),
            next_key: fixed.has(NEXT_KEY).then(|| SessionKey::new(fixed.field(44))),
            last_attach: fixed.u32(20),
            principal,
            source,
            ttl_s,
            ttl_left_s: fixed.u32(60),
            rx_next: fixed.u64(84),
            is_last,
        })
    }
}

impl Config {
    /// This configuration with the limits that the session in a snapshot was begun with, which
    /// never change: [`max_body`](Self::max_body), [`max_message`](Self::max_message),
    /// [`max_requests`](Self::max_requests). It may be out of range then, if the others do not fit
    /// them. `None`: the bytes are damaged.
    //= SNP-7
    #[must_use]
    pub fn with_limits_of(self, snapshot: &[u8]) -> Option<Self> {
        let (fixed, _): (Fixed<'_>, _) = checked(snapshot).ok()?;
        let (max_body, max_message) = (fixed.u16(96), fixed.u32(100));
        Some(Self { max_body, max_message, max_requests: fixed.max_requests(), ..self })
    }
}
