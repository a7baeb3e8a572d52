//! Why a connection or a session ended: one number, its scope, and what to do about it.

use core::fmt;

/// What a close code ends.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Scope {
    /// `00xx`: an ordinary end; nobody broke a rule.
    Normal,
    /// `01xx`: this connection is over, its session survives and can be resumed.
    Connection,
    /// `02xx`: the handshake failed, so there is no session on this connection.
    Handshake,
    /// `03xx`: the session named in the handshake is over (`STALE_ATTACH` excepted).
    Session,
    /// `8000`–`FFFF`: the application's own code; the protocol attaches no meaning to it.
    Application,
    /// `0400`–`7FFF`: not assigned in this version.
    Reserved,
}

/// What a client does after a close, unless the CLOSE frame says otherwise.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Retry {
    /// Reconnect with the ordinary back-off and resume the session.
    Now,
    /// Reconnect after the server's hint, or after a long back-off where it gave none.
    Later,
    /// The session cannot be resumed: report what was lost, then start a new one.
    NewSession,
    /// Report the code and stop; trying again cannot help.
    Never,
}

/// The reason a CLOSE or DRAIN frame carries, and the error of every refused input.
///
/// Any `u16` is a code: one this version does not know keeps its number and gets its [`Scope`]
/// and [`Retry`] from its range.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct CloseCode(u16);

macro_rules! codes {
    ($($code:literal $name:ident $retry:ident $text:literal)*) => {
        impl CloseCode {
            $(
                #[doc = concat!("`", stringify!($code), "`: ", $text)]
                pub const $name: Self = Self($code);
            )*

            /// Every code this version assigns, in ascending order.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The name the specification gives the code.
            ///
            /// `"APPLICATION"` for an application's code, `"RESERVED"` for one not assigned.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                    Self(0x8000..) => "APPLICATION",
                    Self(_) => "RESERVED",
                }
            }

            /// Cause and cure in one line.
            #[must_use]
            pub const fn explain(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                    Self(0x8000..) => "the application closed; its own documents name the code",
                    Self(_) => "a code this version does not know; is the peer newer?",
                }
            }

            /// What to do next when the CLOSE frame gives no hint of its own.
            #[must_use]
            //= COD-3
            pub const fn retry(self) -> Retry {
                match self {
                    $(Self::$name => Retry::$retry,)*
                    Self(_) => match self.scope() {
                        Scope::Connection => Retry::Now,
                        Scope::Normal | Scope::Application | Scope::Reserved => Retry::Later,
                        Scope::Session => Retry::NewSession,
                        Scope::Handshake => Retry::Never,
                    },
                }
            }
        }
    };
}

codes! {
    0x0000 OK Never
        "both ends finished and everything arrived; nothing is to be done"
    0x0001 GOING_AWAY Later
        "the peer shuts down or drains; come back when its hint says"
    0x0002 SUPERSEDED Never
        "a newer connection has the session; look for the other holder of its key"
    0x0003 IDLE Now
        "the peer was not heard within the limit; resume, and check the path if it repeats"
    0x0004 CALM Later
        "too many frames that move no data; send fewer, after the hint"
    0x0005 BUSY Later
        "no room for another connection; wait for the hint, or raise the server's limits"
    0x0006 MOVED Later
        "another server has the session; connect there"
    0x0007 INTERNAL Later
        "the sender of the code failed on its own account; look for the fault there"

    0x0101 BAD_FRAME Now
        "not a legal frame; check that the port speaks this protocol, then the sender"
    0x0102 TOO_LARGE Now
        "a body or a message beyond the announced limit; fragment it, or raise the limit"
    0x0103 FLOW_VIOLATION Now
        "more was sent than the credit allows; mend the sender, which must obey it"
    0x0104 BAD_STATE Now
        "a legal frame at a time or in a direction where it may not come; mend the sender"
    0x0105 BAD_LANE Now
        "fragments of two messages mixed, or the reserved lane; end or abort one message first"
    0x0106 HS_TIMEOUT Now
        "the handshake was not over in time; check the path and the load of both ends"
    0x0107 FRAME_TIMEOUT Now
        "a frame began and was not completed; check the path and whether the sender stalls"
    0x0108 UNKNOWN_CRITICAL Now
        "a kind of frame that may not be skipped; upgrade one end, or do without the feature"
    0x0109 BAD_OPTION Now
        "an option malformed, repeated, or critical and unknown; mend or upgrade its sender"
    0x010A BAD_REQUEST Now
        "a request id beyond the limit or in use, or an answer unasked; mend the sender"

    0x0201 VERSION Never
        "no version in common; upgrade one end, the CLOSE tells what its sender speaks"
    0x0202 CAPABILITY Never
        "one end insists on what the other has not; upgrade that one, or do without"
    0x0203 AUTH_FAILED Never
        "the credentials were refused; correct them"
    0x0204 AUTH_REQUIRED Never
        "credentials are needed and none came; configure them"
    0x0205 FORBIDDEN Never
        "this identity or address may not connect here; have it allowed"
    0x0206 LIMITS NewSession
        "limits that are illegal, do not fit or differ from the session's; correct the settings"

    0x0301 NO_SESSION NewSession
        "the session is not known here, or the proof is wrong; start a new one"
    0x0302 EXPIRED NewSession
        "the client was away longer than the retention; raise it, or come back sooner"
    0x0303 BAD_TOKEN NewSession
        "the proof of ownership is wrong; find out whether the key is old or was copied"
    0x0304 STALE_ATTACH Now
        "an attempt older than the last one known; retry once with the next number"
    0x0305 PEER_STATE_LOST NewSession
        "the other end forgot what it acknowledged; find out what set it back"
    0x0306 SELF_STATE_LOST NewSession
        "the code's sender forgot what its peer saw; find out what set it back"
    0x0307 ACK_BEYOND_SENT NewSession
        "bytes not sent were acknowledged, or half a frame; mend the end that did so"
    0x0308 ACK_REGRESS NewSession
        "an acknowledgement went back; mend the end that sent it"
    0x0309 SEQ_DESYNC NewSession
        "the ends count different positions; look for what loses or repeats bytes between"
    0x030A POISON NewSession
        "the same place broke two connections; look at that message"
    0x030B IDENTITY_MISMATCH NewSession
        "the session belongs to another identity; log in as that one, or start anew"
    0x030C EVICTED NewSession
        "the server needed the room of detached sessions; raise its limits"
    0x030D CREDIT_SHRINK NewSession
        "credit was taken back; mend the end that did so"
}

impl CloseCode {
    /// The code with this number; every number is one.
    #[must_use]
    //= COD-1
    pub const fn new(code: u16) -> Self {
        Self(code)
    }

    /// The number on the wire.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }

    /// What the code ends, by its range.
    #[must_use]
    //= COD-2
    pub const fn scope(self) -> Scope {
        match self.0 {
            0x0000..=0x00FF => Scope::Normal,
            0x0100..=0x01FF => Scope::Connection,
            0x0200..=0x02FF => Scope::Handshake,
            0x0300..=0x03FF => Scope::Session,
            0x0400..=0x7FFF => Scope::Reserved,
            0x8000..=0xFFFF => Scope::Application,
        }
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (0x{:04X}): {}", self.name(), self.0, self.explain())
    }
}

impl fmt::Debug for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(0x{:04X})", self.name(), self.0)
    }
}

impl core::error::Error for CloseCode {}

impl From<u16> for CloseCode {
    fn from(code: u16) -> Self {
        Self(code)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::format;

    use super::*;

    #[test]
    fn codes_ascend_and_are_assigned_in_their_ranges() {
        assert!(CloseCode::ALL.windows(2).all(|pair| pair[0] < pair[1]));
        for code in CloseCode::ALL {
            assert!(!matches!(code.scope(), Scope::Application | Scope::Reserved), "{code}");
            assert!(!["APPLICATION", "RESERVED"].contains(&code.name()), "{code}");
        }
    }

    #[test]
    fn a_code_is_shown_on_one_line_with_its_number() {
        let shown = format!("{}", CloseCode::TOO_LARGE);
        assert!(shown.starts_with("TOO_LARGE (0x0102): "), "{shown}");
        for code in CloseCode::ALL.iter().copied().chain([CloseCode(0x8000), CloseCode(0x400)]) {
            let shown = format!("{code}");
            assert!(shown.len() <= 120 && !shown.contains('\n'), "{shown}");
        }
        for code in CloseCode::ALL {
            let (cause, cure) = code.explain().split_once("; ").unwrap_or_default();
            assert!(cause.len() > 10 && cure.len() > 10, "{code}");
        }
    }

    //= test COD-1, COD-2, COD-3
    #[test]
    fn a_code_nobody_knows_keeps_its_number_and_takes_its_range() {
        assert_eq!(CloseCode::from(0xFFFF).get(), 0xFFFF);
        let of = |code: u16| (CloseCode::new(code).scope(), CloseCode::new(code).retry());
        assert_eq!(of(0x00FF), (Scope::Normal, Retry::Later));
        assert_eq!(of(0x01FF), (Scope::Connection, Retry::Now));
        assert_eq!(of(0x02FF), (Scope::Handshake, Retry::Never));
        assert_eq!(of(0x03FF), (Scope::Session, Retry::NewSession));
        assert_eq!(of(0x0400), (Scope::Reserved, Retry::Later));
        assert_eq!(of(0x7FFF), (Scope::Reserved, Retry::Later));
        assert_eq!(of(0x8000), (Scope::Application, Retry::Later));
    }

    #[test]
    fn a_session_that_survives_is_never_given_up() {
        for code in CloseCode::ALL.iter().filter(|code| code.scope() == Scope::Connection) {
            assert_eq!(code.retry(), Retry::Now, "{code}");
        }
        assert_eq!(CloseCode::STALE_ATTACH.retry(), Retry::Now);
        assert_eq!(CloseCode::SUPERSEDED.retry(), Retry::Never);
    }
}
