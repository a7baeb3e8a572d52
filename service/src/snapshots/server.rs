//! How a server takes snapshots of its sessions, hands them over, and goes on with those of another
//! one.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use outlast_core::admission::Source;
use outlast_core::registry::Stored;
use outlast_core::{CloseCode, Session};

use super::collect::Collector;
use super::record::{Origin, Record, unix_seconds};
use crate::figures::SessionInfo;
use crate::handler::Handler;
use crate::overview::lock;
use crate::owner::core_config;
use crate::server::{Inner, LONGEST_GRACE, Server};
use crate::shared::Shared;
use crate::transport::Runtime;

/// How long connections are waited for before those that came meanwhile are told to go, too.
const ROUND: Duration = Duration::from_millis(100);

/// How long a task may take to get its turn on a busy machine.
const TURN: Duration = Duration::from_secs(5);

/// Why a session cannot go on from a snapshot.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RestoreError {
    /// The bytes are no snapshot of a server's session, or were damaged.
    Corrupt,
    /// Its retention is over.
    Expired,
    /// The server has as many sessions as it may have, or this one already.
    NoRoom,
    /// The configuration has less room than the session needs: a smaller window, or a smaller send
    /// buffer than what was not acknowledged.
    Limits,
}

impl fmt::Display for RestoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Corrupt => "not a snapshot of a server's session, or a damaged one",
            Self::Expired => "the session's retention is over",
            Self::NoRoom => "there is no room for the session, or it is there already",
            Self::Limits => "the session needs a larger window or send buffer than configured",
        })
    }
}

impl std::error::Error for RestoreError {}

impl<R: Runtime, H: Handler> Server<R, H> {
    /// Snapshots of all sessions, each as it is when it is asked, with and without connection. The
    /// sessions go on.
    ///
    /// Sessions that do not answer within `patience` are left out, as are those that are over and
    /// those with requests whose handler has not taken them
    /// ([`Handler::taken`]): of them nothing could be told. [`keep_house`](Self::keep_house) has to
    /// run.
    pub async fn snapshot(&self, patience: Duration) -> Vec<Vec<u8>> {
        let inner = &self.inner;
        let collector = Arc::new(Collector::default());
        for (left_s, shared) in inner.everybody() {
            let ticket = collector.ticket(inner.origin(&shared, left_s, false));
            let mut asked = shared.lock();
            let left = asked.leave_ticket(ticket);
            shared.notify(asked);
            // Whoever waited for one before is called without the lock.
            drop(left);
        }
        let until = inner.runtime.now() + patience.min(LONGEST_GRACE);
        let complete = pin!(collector.complete());
        let _ = crate::client::before(&inner.runtime, until, complete).await;
        collector.collected()
    }

    /// Ends as [`drain`](Self::drain) does, but for the sessions: they are not over, and whoever
    /// [restores](Self::restore) the snapshots goes on with them.
    ///
    /// New connections are refused from now on, and those there are closed
    /// ([`GOING_AWAY`](CloseCode::GOING_AWAY)). Each client is told to come again after a time of
    /// its own between zero and `spread`. A connection that is not closed after `grace`, or a tenth
    /// of a second if that is longer, is given up; its session is stored all the same. A session of
    /// which no [snapshot](Self::snapshot) can be taken is lost, and its handler told so.
    pub async fn hand_over(&self, grace: Duration, spread: Duration) -> Vec<Vec<u8>> {
        let inner = &self.inner;
        let common = &inner.common;
        common.draining.store(true, Ordering::Release);
        common.door.show_all_out();
        // Everybody gets the turn that it takes to say goodbye.
        let until = inner.runtime.now() + grace.clamp(ROUND, LONGEST_GRACE);
        let spread_ms = u32::try_from(spread.as_millis()).unwrap_or(u32::MAX);
        loop {
            inner.for_each_out(|orders| {
                if orders.close.is_none() {
                    orders.close = Some((CloseCode::GOING_AWAY, false));
                    orders.retry_ms = crate::entropy::up_to(spread_ms);
                }
            });
            let now = inner.runtime.now();
            if now >= until || inner.emptied_before(until.min(now + ROUND)).await {
                break;
            }
        }
        // Those that are left have had their time: they give their sessions back at once. Whoever
        // came in last must not hear that somebody else has its session, and stay away.
        inner.for_each_out(|orders| {
            (orders.close, orders.fence) = (Some((CloseCode::GOING_AWAY, false)), true);
        });
        inner.emptied_before(inner.runtime.now() + TURN).await;
        let mut snapshots = Vec::new();
        for (left_s, mut owner) in inner.clear_out() {
            let origin = inner.origin(&owner.shared, left_s, true);
            match owner.snapshot(inner.now(), origin) {
                Some(snapshot) => {
                    snapshots.push(snapshot);
                    owner.session.id().into_iter().for_each(|id| common.forget(id));
                    owner.hand_over();
                }
                None => inner.dismiss(&mut owner),
            }
        }
        snapshots
    }

    /// Goes on with the sessions in these snapshots, and says of those with which it cannot why.
    ///
    /// A handler is made for each as for a new session; [`SessionInfo::saved`] is what the earlier
    /// one [saved](Handler::save), and the first that it is told is
    /// [`Incoming::Resumed`](crate::Incoming::Resumed). Requests of the peer's that were not
    /// answered are answered with [`INTERNAL`](outlast_core::wire::Status::INTERNAL), because they
    /// may have run; of this end's requests nobody waits for the answers any more.
    pub fn restore<B: AsRef<[u8]>>(
        &self,
        snapshots: impl IntoIterator<Item = B>,
    ) -> Vec<Result<u64, RestoreError>> {
        snapshots.into_iter().map(|snapshot| self.inner.restore(snapshot.as_ref())).collect()
    }
}

impl<R: Runtime, H: Handler> Inner<R, H> {
    /// Whose session it is.
    fn origin(&self, shared: &Shared, left_s: u32, is_last: bool) -> Origin {
        let remote = shared.lock().remote();
        let prefix = self.common.door.v6_prefix();
        let source = remote.map_or(0, |remote| Source::new(remote.ip(), prefix).get());
        let principal = shared.principal().unwrap_or(0);
        Origin { principal, source, left_s, is_last }
    }

    fn restore(&self, snapshot: &[u8]) -> Result<u64, RestoreError> {
        let record = Record::decode(snapshot).ok_or(RestoreError::Corrupt)?;
        let principal = Some(record.principal).filter(|principal| *principal != 0);
        let (source, ttl_s, is_last) = (record.source, record.ttl_s, record.is_last);
        let stored = Stored::of_snapshot(record.core, principal, source, ttl_s, is_last);
        let mut stored = stored.ok_or(RestoreError::Corrupt)?;
        // A clock that was set back takes nothing away.
        let away = unix_seconds().saturating_sub(record.taken_at);
        stored.ttl_left_s =
            stored.ttl_left_s.saturating_sub(u32::try_from(away).unwrap_or(u32::MAX));
        if stored.ttl_left_s == 0 {
            return Err(RestoreError::Expired);
        }
        let config = core_config(self.wanted).with_limits_of(record.core);
        let config = config.ok_or(RestoreError::Corrupt)?;
        let restored = Session::restore(config, record.core, false, Vec::new());
        let restored = restored.map_err(|_| RestoreError::Limits)?;
        let (sid, now) = (stored.sid, self.now());
        let mut info = SessionInfo::new(&self.common.home, sid, [None, None], principal, now);
        info.connected = false;
        info.saved = Some(record.saved).filter(|saved| !saved.is_empty()).map(Into::into);
        let mut owner = self.own(restored.session, &info);
        if !owner.take_up(now, &record, restored.partial) {
            owner.hand_over();
            return Err(RestoreError::Corrupt);
        }
        owner.rx_unknown = !is_last;
        owner.publish(false, now);
        let Some(lease) = lock(&self.state).registry.restore(now, stored) else {
            owner.hand_over();
            return Err(RestoreError::NoRoom);
        };
        self.common.restored.fetch_add(1, Ordering::Relaxed);
        self.common.enter(sid, &owner.shared);
        self.settle_in(lease, owner);
        Ok(sid)
    }
}
