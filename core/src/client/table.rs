//! The dialer's state machine as a table that the code runs and the documentation prints.

use core::fmt;

/// State of a [`Dialer`](super::Dialer).
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum DialState {
    /// Not started.
    Idle,
    /// Waiting until the next attempt is due.
    Waiting,
    /// A transport is being opened.
    Dialing,
    /// The transport is up; HELLO was sent and WELCOME is awaited.
    Greeting,
    /// The session is attached.
    Open,
    /// As open; the server asked clients to leave and the moment to do so is set.
    Draining,
    /// No further attempt will be made until the dialer is started again.
    Stopped,
}

/// What moves a [`Dialer`](super::Dialer) from state to state.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum DialEvent {
    /// The application wants a connection.
    Start,
    /// The waiting is over.
    Due,
    /// The transport is up.
    Transport,
    /// WELCOME arrived.
    Welcome,
    /// The attempt or the connection failed and another one may be made later.
    Retry,
    /// The server knows a later attach number: dial again at once, one time.
    Stale,
    /// The server asked clients to leave.
    Drain,
    /// The moment to leave has come.
    Leave,
    /// Nothing is left to try, or trying is forbidden.
    Stop,
}

impl DialState {
    /// Every state, in order.
    pub const ALL: [Self; 7] = [
        Self::Idle,
        Self::Waiting,
        Self::Dialing,
        Self::Greeting,
        Self::Open,
        Self::Draining,
        Self::Stopped,
    ];

    /// The state after `event`, or `None` where it is without effect.
    #[must_use]
    pub const fn next(self, event: DialEvent) -> Option<Self> {
        //= STM-3
        match self {
            Self::Idle | Self::Stopped => Self::from_rest(event),
            Self::Waiting => Self::from_waiting(event),
            Self::Dialing => Self::from_dialing(event),
            Self::Greeting => Self::from_greeting(event),
            Self::Open => Self::from_open(event),
            Self::Draining => Self::from_draining(event),
        }
    }

    const fn from_rest(event: DialEvent) -> Option<Self> {
        use DialEvent as E;
        match event {
            E::Start => Some(Self::Waiting),
            E::Due
            | E::Transport
            | E::Welcome
            | E::Retry
            | E::Stale
            | E::Drain
            | E::Leave
            | E::Stop => None,
        }
    }

    const fn from_waiting(event: DialEvent) -> Option<Self> {
        use DialEvent as E;
        match event {
            E::Due => Some(Self::Dialing),
            E::Stop => Some(Self::Stopped),
            E::Start | E::Transport | E::Welcome | E::Retry | E::Stale | E::Drain | E::Leave => {
                None
            }
        }
    }

    const fn from_dialing(event: DialEvent) -> Option<Self> {
        use DialEvent as E;
        match event {
            E::Transport => Some(Self::Greeting),
            E::Retry => Some(Self::Waiting),
            E::Stop => Some(Self::Stopped),
            E::Start | E::Due | E::Welcome | E::Stale | E::Drain | E::Leave => None,
        }
    }

    const fn from_greeting(event: DialEvent) -> Option<Self> {
        use DialEvent as E;
        match event {
            E::Welcome => Some(Self::Open),
            E::Retry | E::Stale => Some(Self::Waiting),
            E::Stop => Some(Self::Stopped),
            E::Start | E::Due | E::Transport | E::Drain | E::Leave => None,
        }
    }

    const fn from_open(event: DialEvent) -> Option<Self> {
        use DialEvent as E;
        match event {
            E::Retry => Some(Self::Waiting),
            E::Drain => Some(Self::Draining),
            E::Stop => Some(Self::Stopped),
            E::Start | E::Due | E::Transport | E::Welcome | E::Stale | E::Leave => None,
        }
    }

    const fn from_draining(event: DialEvent) -> Option<Self> {
        use DialEvent as E;
        match event {
            E::Retry | E::Leave => Some(Self::Waiting),
            E::Drain => Some(Self::Draining),
            E::Stop => Some(Self::Stopped),
            E::Start | E::Due | E::Transport | E::Welcome | E::Stale => None,
        }
    }

    /// The state's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Waiting => "waiting",
            Self::Dialing => "dialing",
            Self::Greeting => "greeting",
            Self::Open => "open",
            Self::Draining => "draining",
            Self::Stopped => "stopped",
        }
    }
}

impl DialEvent {
    /// Every event, in order.
    pub const ALL: [Self; 9] = [
        Self::Start,
        Self::Due,
        Self::Transport,
        Self::Welcome,
        Self::Retry,
        Self::Stale,
        Self::Drain,
        Self::Leave,
        Self::Stop,
    ];

    /// The event's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Due => "due",
            Self::Transport => "transport",
            Self::Welcome => "welcome",
            Self::Retry => "retry",
            Self::Stale => "stale",
            Self::Drain => "drain",
            Self::Leave => "leave",
            Self::Stop => "stop",
        }
    }
}

/// The whole table as text: one line per state and event that has an effect.
///
/// ```
/// let text = format!("{}", outlast_core::client::DialTable);
/// assert!(text.contains("open      --drain--> draining"));
/// ```
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct DialTable;

impl fmt::Display for DialTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for state in DialState::ALL {
            for event in DialEvent::ALL {
                if let Some(next) = state.next(event) {
                    writeln!(f, "{:<9} --{}--> {}", state.name(), event.name(), next.name())?;
                }
            }
        }
        Ok(())
    }
}
