//! Spans and events for `tracing` (feature `tracing`): what happens rarely, so often at most, and
//! nothing that is secret or that a peer chose but its address. Without the feature, or as long as
//! nobody listens, it is a look at a number.

#[cfg(feature = "tracing")]
pub(crate) use on::{Span, Trace};

#[cfg(not(feature = "tracing"))]
pub(crate) use off::{Span, Trace};

#[cfg(not(feature = "tracing"))]
mod off {
    use outlast_core::Instant;

    use crate::handler::DialError;
    use crate::home::ServerEvent;

    /// Nobody is told anything.
    #[derive(Debug, Default)]
    pub(crate) struct Trace(());

    impl Trace {
        pub(crate) const fn is_on() -> bool {
            false
        }

        pub(crate) const fn server(&self, _: Instant, _: &ServerEvent) {}

        pub(crate) fn begun(&self, _: impl FnOnce() -> Instant) {}

        pub(crate) const fn dials(&self, _: Instant, _: u32) {}

        pub(crate) const fn failed(&self, _: Instant, _: u32, _: &DialError<'_>) {}

        #[cfg(feature = "formats")]
        pub(crate) const fn plain(&self, _: Instant, _: &crate::plain::PlainServerEvent) {}
    }

    /// No span.
    #[derive(Debug)]
    pub(crate) struct Span;

    impl Span {
        pub(crate) const fn of_session(_: Option<u64>, _: Option<std::net::SocketAddr>) -> Self {
            Self
        }

        pub(crate) const fn of_client() -> Self {
            Self
        }

        #[inline]
        pub(crate) fn within<T>(&self, work: impl FnOnce() -> T) -> T {
            work()
        }
    }
}

#[cfg(feature = "tracing")]
mod on {
    use std::net::SocketAddr;
    use std::sync::Mutex;

    use outlast_core::Instant;
    use outlast_core::admission::{Meter, Rate};
    use tracing::field::display;
    use tracing::level_filters::LevelFilter;
    use tracing::{debug, info, info_span, warn};

    use crate::handler::DialError;
    use crate::home::ServerEvent;
    use crate::overview::lock;

    /// How many events of each kind are told: 50 a second, and 200 at once.
    const RATE: Rate = Rate::per_second(50, 200);

    /// What has a rate of its own.
    #[derive(Debug, Copy, Clone)]
    enum Kind {
        Begun,
        Opened,
        Resumed,
        Detached,
        Closed,
        Refused,
        HandshakeFailed,
        Limit,
        Dial,
        DialFailed,
    }

    /// Tells subscribers what happens, so often at most.
    #[derive(Debug, Default)]
    pub(crate) struct Trace {
        meters: Mutex<[Counted; Kind::DialFailed as usize + 1]>,
    }

    /// When the next one may be told, and how many were not.
    #[derive(Debug)]
    struct Counted(Meter, u64);

    impl Default for Counted {
        fn default() -> Self {
            Self(Meter::NEW, 0)
        }
    }

    impl Trace {
        /// Whether anybody listens.
        #[inline]
        pub(crate) fn is_on() -> bool {
            LevelFilter::current() >= LevelFilter::WARN
        }

        /// How many of this kind were left out before this one; `None` if it is, too.
        fn may(&self, now: Instant, kind: Kind) -> Option<Option<u64>> {
            let mut meters = lock(&self.meters);
            let Counted(meter, left_out) = meters.get_mut(kind as usize)?;
            if meter.take(now, &RATE).is_err() {
                *left_out += 1;
                return None;
            }
            Some(Some(std::mem::take(left_out)).filter(|count| *count > 0))
        }

        /// A connection was let in.
        pub(crate) fn begun(&self, now: impl FnOnce() -> Instant) {
            if LevelFilter::current() >= LevelFilter::DEBUG
                && let Some(left_out) = self.may(now(), Kind::Begun)
            {
                debug!(target: "outlast", left_out, "connection let in");
            }
        }

        /// What happens on a server of sessions.
        pub(crate) fn server(&self, now: Instant, event: &ServerEvent) {
            let kind = match event {
                ServerEvent::Opened { .. } => Kind::Opened,
                ServerEvent::Resumed { .. } => Kind::Resumed,
                ServerEvent::Detached { .. } => Kind::Detached,
                ServerEvent::Closed { .. } => Kind::Closed,
                ServerEvent::Refused { .. } => Kind::Refused,
                ServerEvent::HandshakeFailed { .. } => Kind::HandshakeFailed,
                ServerEvent::LimitReached(_) => Kind::Limit,
            };
            let Some(left_out) = self.may(now, kind) else {
                return;
            };
            let named = |id: &u64| format!("{id:016x}");
            let from = |remote: &Option<SocketAddr>| remote.map(display);
            match event {
                ServerEvent::Opened { id, remote, principal } => {
                    let (session, remote) = (named(id), from(remote));
                    info!(
                        target: "outlast",
                        session, remote, principal, left_out, "session opened"
                    );
                }
                ServerEvent::Resumed { id, remote, resent } => {
                    let (session, remote) = (named(id), from(remote));
                    info!(target: "outlast", session, remote, resent, left_out, "session resumed");
                }
                ServerEvent::Detached { id, code, cause } => {
                    let (session, code) = (named(id), code.name());
                    info!(target: "outlast", session, code, %cause, left_out, "connection ended");
                }
                ServerEvent::Closed { id, closed } => {
                    let (session, code, complete) =
                        (named(id), closed.code.name(), closed.complete);
                    info!(target: "outlast", session, code, complete, left_out, "session closed");
                }
                ServerEvent::Refused { remote, why } => {
                    let remote = from(remote);
                    warn!(target: "outlast", remote, %why, left_out, "connection refused");
                }
                ServerEvent::HandshakeFailed { remote, code } => {
                    let (remote, code) = (from(remote), code.name());
                    warn!(target: "outlast", remote, code, left_out, "handshake failed");
                }
                ServerEvent::LimitReached(limit) => {
                    warn!(target: "outlast", ?limit, left_out, "limit reached");
                }
            }
        }

        /// What happens on a server whose connections have no sessions.
        #[cfg(feature = "formats")]
        pub(crate) fn plain(&self, now: Instant, event: &crate::plain::PlainServerEvent) {
            use crate::plain::PlainServerEvent;
            let kind = match event {
                PlainServerEvent::Connected { .. } => Kind::Opened,
                PlainServerEvent::Closed { .. } => Kind::Closed,
                PlainServerEvent::Refused { .. } => Kind::Refused,
                PlainServerEvent::LimitReached(_) => Kind::Limit,
            };
            let Some(left_out) = self.may(now, kind) else {
                return;
            };
            match event {
                PlainServerEvent::Connected { id, remote } => {
                    let (connection, remote) = (format!("{id:016x}"), remote.map(display));
                    info!(target: "outlast", connection, remote, left_out, "connection begun");
                }
                PlainServerEvent::Closed { id, closed } => {
                    let (connection, cause) = (format!("{id:016x}"), closed.cause);
                    info!(target: "outlast", connection, %cause, left_out, "connection ended");
                }
                PlainServerEvent::Refused { remote, why } => {
                    let remote = remote.map(display);
                    warn!(target: "outlast", remote, %why, left_out, "connection refused");
                }
                PlainServerEvent::LimitReached(limit) => {
                    warn!(target: "outlast", ?limit, left_out, "limit reached");
                }
            }
        }

        /// A client dials.
        pub(crate) fn dials(&self, now: Instant, attempt: u32) {
            if LevelFilter::current() >= LevelFilter::INFO
                && let Some(left_out) = self.may(now, Kind::Dial)
            {
                info!(target: "outlast", attempt, left_out, "dialling");
            }
        }

        /// It did not get through.
        pub(crate) fn failed(&self, now: Instant, attempt: u32, error: &DialError<'_>) {
            if Self::is_on()
                && let Some(left_out) = self.may(now, Kind::DialFailed)
            {
                warn!(target: "outlast", attempt, %error, left_out, "dialling failed");
            }
        }
    }

    /// What is told while a session's task does something is told within it.
    /// Where nobody wants it there is none, and it takes a pointer: connections are many.
    #[derive(Debug)]
    pub(crate) struct Span(Option<Box<tracing::Span>>);

    impl Span {
        pub(crate) fn of_session(id: Option<u64>, remote: Option<SocketAddr>) -> Self {
            if LevelFilter::current() < LevelFilter::INFO {
                return Self(None);
            }
            let (id, remote) = (id.map(|id| format!("{id:016x}")), remote.map(display));
            Self::wanted(info_span!(target: "outlast", parent: None, "session", id, remote))
        }

        pub(crate) fn of_client() -> Self {
            Self::wanted(info_span!(target: "outlast", "client"))
        }

        fn wanted(span: tracing::Span) -> Self {
            Self((!span.is_disabled()).then(|| Box::new(span)))
        }

        #[inline]
        pub(crate) fn within<T>(&self, work: impl FnOnce() -> T) -> T {
            match &self.0 {
                Some(span) => span.in_scope(work),
                None => work(),
            }
        }
    }
}
