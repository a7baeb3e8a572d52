//! What can go wrong with TLS, in words that say what to do about it.

use std::fmt;
use std::io;

use rustls::{AlertDescription, CertificateError, InvalidMessage, PeerIncompatible};

/// Why a TLS connection failed.
///
/// Found inside of the [`io::Error`] that a handler is given in
/// [`DialError`](outlast_service::DialError): see [`TlsError::of`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsError {
    /// The server's certificate is good, and is for other hosts.
    WrongHost {
        /// The host that was dialled, or that was asked for.
        expected: String,
    },
    /// The certificate was signed by nobody that this end trusts.
    UnknownIssuer,
    /// The certificate is not valid any more, by this machine's clock.
    Expired,
    /// The certificate is not valid yet, by this machine's clock.
    NotYetValid,
    /// The certificate was revoked.
    Revoked,
    /// The certificate is of no use for another reason.
    BadCertificate(String),
    /// The client has shown no certificate, and this server asks for one.
    NoCertificate,
    /// The server wants to see a certificate, and this client has none.
    CertificateRequired,
    /// The peer does not accept this end's certificate, for the reason that its alert names.
    CertificateRefused(String),
    /// The peer's first bytes are not TLS: it has the wrong port, or no certificate.
    NotTls,
    /// The peer speaks another protocol over TLS.
    WrongProtocol,
    /// The two ends have no version of TLS or no cipher in common.
    Incompatible(String),
    /// The peer ended the handshake with this alert.
    Refused(String),
    /// The stream ended in the handshake.
    EndedInHandshake,
    /// The stream ended without the end that TLS has: what was under way may be missing.
    Truncated,
    /// What came cannot be what the peer has sent, or breaks the rules of TLS.
    Broken(String),
    /// Something is missing at this end.
    Setup(String),
}

impl TlsError {
    /// The error inside of what a transport said, if it is one of TLS.
    #[must_use]
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    /// Whether another attempt may succeed though nobody does anything about it.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::EndedInHandshake | Self::Truncated | Self::Broken(_) => true,
            Self::WrongHost { .. }
            | Self::UnknownIssuer
            | Self::Expired
            | Self::NotYetValid
            | Self::Revoked
            | Self::BadCertificate(_)
            | Self::NoCertificate
            | Self::CertificateRequired
            | Self::CertificateRefused(_)
            | Self::NotTls
            | Self::WrongProtocol
            | Self::Incompatible(_)
            | Self::Refused(_)
            | Self::Setup(_) => false,
        }
    }

    /// What `rustls` found, in a handshake or behind it.
    pub(crate) fn from_rustls(error: &rustls::Error, handshake: bool) -> Self {
        use rustls::Error as E;
        match error {
            E::InvalidCertificate(error) => Self::from_certificate(error),
            E::NoCertificatesPresented => Self::NoCertificate,
            E::AlertReceived(alert) => Self::from_alert(*alert),
            E::NoApplicationProtocol => Self::WrongProtocol,
            E::PeerIncompatible(PeerIncompatible::NoCertificateRequestSignatureSchemesInCommon) => {
                Self::BadCertificate("no signature scheme in common".into())
            }
            E::PeerIncompatible(what) => Self::Incompatible(format!("{what:?}")),
            E::InvalidMessage(InvalidMessage::InvalidContentType) if handshake => Self::NotTls,
            E::InvalidMessage(InvalidMessage::UnknownProtocolVersion) if handshake => Self::NotTls,
            other => Self::Broken(other.to_string()),
        }
    }

    fn from_certificate(error: &CertificateError) -> Self {
        use CertificateError as C;
        match error {
            C::Expired | C::ExpiredContext { .. } => Self::Expired,
            C::NotValidYet | C::NotValidYetContext { .. } => Self::NotYetValid,
            C::Revoked => Self::Revoked,
            // An authority of the same name, and another one.
            C::UnknownIssuer | C::BadSignature => Self::UnknownIssuer,
            C::NotValidForNameContext { expected, .. } => {
                Self::WrongHost { expected: expected.to_str().into_owned() }
            }
            C::NotValidForName => Self::WrongHost { expected: String::new() },
            other => Self::BadCertificate(other.to_string()),
        }
    }

    fn from_alert(alert: AlertDescription) -> Self {
        use AlertDescription as A;
        let text = || alert.as_str().unwrap_or("an alert without a name").to_owned();
        match alert {
            A::CertificateRequired | A::NoCertificate => Self::CertificateRequired,
            A::BadCertificate
            | A::UnsupportedCertificate
            | A::CertificateRevoked
            | A::CertificateExpired
            | A::CertificateUnknown
            | A::UnknownCA
            | A::DecryptError
            | A::AccessDenied => Self::CertificateRefused(text()),
            A::NoApplicationProtocol => Self::WrongProtocol,
            A::ProtocolVersion | A::HandshakeFailure | A::InsufficientSecurity => {
                Self::Incompatible(text())
            }
            _ => Self::Refused(text()),
        }
    }

    /// What kind of error this is to those who know nothing of TLS.
    /// [`PermissionDenied`](io::ErrorKind::PermissionDenied): one end does not trust the other.
    const fn kind(&self) -> io::ErrorKind {
        match self {
            Self::WrongHost { .. }
            | Self::UnknownIssuer
            | Self::Expired
            | Self::NotYetValid
            | Self::Revoked
            | Self::BadCertificate(_)
            | Self::NoCertificate
            | Self::CertificateRequired
            | Self::CertificateRefused(_) => io::ErrorKind::PermissionDenied,
            Self::NotTls | Self::WrongProtocol | Self::Incompatible(_) | Self::Refused(_) => {
                io::ErrorKind::InvalidData
            }
            Self::EndedInHandshake | Self::Truncated => io::ErrorKind::UnexpectedEof,
            Self::Broken(_) => io::ErrorKind::ConnectionAborted,
            Self::Setup(_) => io::ErrorKind::InvalidInput,
        }
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongHost { expected } if expected.is_empty() => {
                f.write_str("TLS: the server's certificate is for other hosts")
            }
            Self::WrongHost { expected } => write!(
                f,
                "TLS: the server's certificate is not for {expected}: dial a name that it has, or \
                 set the server name"
            ),
            Self::UnknownIssuer => f.write_str(
                "TLS: the peer's certificate was signed by no authority that this end trusts: \
                 check the roots",
            ),
            Self::Expired => f.write_str("TLS: the peer's certificate has expired, by this clock"),
            Self::NotYetValid => {
                f.write_str("TLS: the peer's certificate is not valid yet, by this clock")
            }
            Self::Revoked => f.write_str("TLS: the peer's certificate was revoked"),
            Self::BadCertificate(why) => write!(f, "TLS: the peer's certificate is bad: {why}"),
            Self::NoCertificate => f.write_str("TLS: the client has shown no certificate"),
            Self::CertificateRequired => {
                f.write_str("TLS: the server wants a certificate, and this client shows none")
            }
            Self::CertificateRefused(why) => {
                write!(f, "TLS: the peer does not accept this end's certificate: {why}")
            }
            Self::NotTls => f.write_str("TLS: the peer does not speak TLS: wrong port?"),
            Self::WrongProtocol => {
                f.write_str("TLS: the peer speaks another protocol than outlast")
            }
            Self::Incompatible(why) => write!(f, "TLS: no version or cipher in common: {why}"),
            Self::Refused(why) => write!(f, "TLS: the peer ended the handshake: {why}"),
            Self::EndedInHandshake => f.write_str("TLS: the stream ended in the handshake"),
            Self::Truncated => f.write_str("TLS: the stream was cut off"),
            Self::Broken(why) => write!(f, "TLS: {why}"),
            Self::Setup(why) => write!(f, "TLS: {why}"),
        }
    }
}

impl std::error::Error for TlsError {}

impl From<TlsError> for io::Error {
    fn from(error: TlsError) -> Self {
        Self::new(error.kind(), error)
    }
}

/// Why certificates, keys or roots are of no use.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SetupError {
    /// The file, or what was given in its place.
    pub what: String,
    /// What is wrong with it.
    pub why: String,
}

impl SetupError {
    pub(crate) fn new(what: impl Into<String>, why: impl fmt::Display) -> Self {
        Self { what: what.into(), why: why.to_string() }
    }
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.why)
    }
}

impl std::error::Error for SetupError {}

impl From<SetupError> for io::Error {
    fn from(error: SetupError) -> Self {
        Self::new(io::ErrorKind::InvalidInput, error)
    }
}
