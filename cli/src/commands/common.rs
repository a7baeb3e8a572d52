//! What the commands that open or accept sessions have in common.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use outlast_config::{Address, ClientSettings, Sources};
use outlast_tls::Maybe;
use outlast_tokio::net::PlainClientBuilder;
use outlast_tokio::plain::formats::AnyFormat;
use outlast_tokio::{
    Client, CloseCode, Closed, DialError, Incoming, Password, Peer, PlainClient, Position,
    ReconnectPolicy, Why,
};

use super::security::{ClientSecurity, client_layer};
use super::settings::{over, path_text};
use crate::health::Health;
use crate::progress::Board;
use crate::secret::{LINE_MAX, Secret};
use crate::tap::{Sockets, Tap};
use crate::text::span;

/// Where the token may be given instead of in a file.
const TOKEN_VARIABLE: &str = "OUTLAST_TOKEN";
/// Tokens beyond this do not fit a greeting.
const TOKEN_MAX: usize = 254;
/// After this long without a connection a person wants to know.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// The secret that both ends know
#[derive(Debug, clap::Args)]
pub(crate) struct Access {
    /// File with the token that both ends must have
    ///
    /// Without this option the environment variable OUTLAST_TOKEN is the token itself, if it is
    /// set. The end of a line behind the token does not count.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl Access {
    /// The token, if there is one.
    pub(crate) fn token(&self) -> Result<Option<Secret>, String> {
        token(self.token_file.as_deref())
    }

    /// Puts this option over what other sources say.
    pub(crate) fn over(&self, sources: Sources) -> Sources {
        let path = path_text(self.token_file.as_ref());
        over(sources, "auth.token_file", path, "--token-file")
    }
}

/// The token in this file, or in the environment, if there is one.
pub(crate) fn token(path: Option<&Path>) -> Result<Option<Secret>, String> {
    let (token, origin) = match path {
        Some(path) => (Secret::read(path, "a token", LINE_MAX)?, path.display().to_string()),
        None => match std::env::var_os(TOKEN_VARIABLE) {
            Some(token) => (token.into_encoded_bytes().into(), TOKEN_VARIABLE.to_owned()),
            None => return Ok(None),
        },
    };
    let token = token.trimmed_end();
    if token.is_empty() || token.len() > TOKEN_MAX {
        let len = token.len();
        return Err(format!("the token in {origin} has {len} bytes: 1 to {TOKEN_MAX} will do"));
    }
    Ok(Some(token))
}

/// A client, with TLS or without.
pub(crate) type ClientBuilder = outlast_tokio::net::ClientBuilder<Sockets>;

/// How a client insists
#[derive(Debug, clap::Args)]
pub(crate) struct Dialing {
    #[command(flatten)]
    access: Access,
    #[command(flatten)]
    security: ClientSecurity,
    #[command(flatten)]
    pub(crate) tap: Tap,
    /// Give up after so many failures in a row; without it, never
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    attempts: Option<u32>,
}

impl Dialing {
    /// Puts these options over what other sources say.
    pub(crate) fn over(&self, sources: Sources) -> Sources {
        let sources = self.security.over(self.access.over(sources));
        over(sources, "dial.attempts", self.attempts, "--attempts")
    }

    /// A client of the server at `address`, from these options alone.
    pub(crate) fn client(&self, address: &Address) -> Result<ClientBuilder, String> {
        let sources = over(Sources::new(), "connect.addresses", Some(address), "ADDR");
        let loaded = self.over(sources).load_over(&base());
        client(&loaded.map_err(|error| error.to_string())?.settings, &self.tap)
    }
}

/// What clients of this command do by default: a person is there who waits.
pub(crate) fn base() -> ClientSettings {
    let dial = ReconnectPolicy {
        backoff_base: 200_000,
        backoff_cap: 3_000_000,
        connect_limit: 5_000_000,
        ..ReconnectPolicy::default()
    };
    ClientSettings { dial, ..ClientSettings::default() }
}

/// A client with these settings.
pub(crate) fn client(settings: &ClientSettings, tap: &Tap) -> Result<ClientBuilder, String> {
    let client = settings.apply(Client::builder()).layer(Maybe(client_layer(settings)?));
    let client = client.layer(tap.layer()?);
    if let (Some(user), Some(path)) = (&settings.user, &settings.password_file) {
        let origin = path.display();
        let password = Secret::read(path, "a password", LINE_MAX)?.trimmed_end();
        let password = Password::new(user.as_str(), &*password);
        let password = password.map_err(|error| format!("the password in {origin}: {error}"))?;
        return Ok(client.credentials(password));
    }
    Ok(match token(settings.token_file.as_deref())? {
        Some(token) => client.token(&*token),
        None => client,
    })
}

/// A client of another system's server with these settings.
pub(crate) fn plain_client(
    settings: &ClientSettings,
    format: AnyFormat,
    tap: &Tap,
) -> Result<PlainClientBuilder<Sockets, AnyFormat>, String> {
    if token(settings.token_file.as_deref())?.is_some() || settings.user.is_some() {
        return Err("another system's server asks for no token".to_owned());
    }
    let client = PlainClient::builder(format).config(settings.plain).reconnect(settings.dial);
    let addresses = settings.addresses.iter();
    let client = addresses.fold(client, |client, address| client.address(address.to_string()));
    let client = client.socket(settings.socket.clone()).layer(Maybe(client_layer(settings)?));
    Ok(client.layer(tap.layer()?))
}

/// Tells a person what becomes of the connection.
#[derive(Debug)]
pub(crate) struct Notices {
    pub(crate) health: Arc<Health>,
    board: Arc<Board>,
    address: String,
    since: Option<Instant>,
    /// What was said last about a connection that failed.
    failure: String,
}

impl Notices {
    pub(crate) fn new(board: &Arc<Board>, address: &Address) -> Self {
        Self {
            health: Arc::new(Health::default()),
            board: Arc::clone(board),
            address: address.to_string(),
            since: None,
            failure: String::new(),
        }
    }

    /// To be given every event.
    pub(crate) fn note(&mut self, peer: &Peer<'_>, event: &Incoming<'_>) {
        self.note_failure(peer, event);
        let (session, resent) = (peer.id(), peer.session().stats().resent);
        let before = self.health.facts();
        self.health.note(event, resent);
        let text = match event {
            Incoming::Opened => {
                format!("connected to {}, session {}", self.address, short(session))
            }
            Incoming::Resumed { resent } => {
                let away = self.since.take().map_or(Duration::ZERO, |since| since.elapsed());
                let again = match resent {
                    0 => "nothing had to be sent again".to_owned(),
                    resent => format!("{resent} bytes are sent again"),
                };
                format!("connected again after {}: nothing was lost, {again}", span(away))
            }
            Incoming::Disconnected { code, .. } if before.since.is_none() && before.opened > 0 => {
                self.since = Some(Instant::now());
                format!("connection lost{}; the session goes on as soon as it can", why(*code))
            }
            Incoming::Draining { .. } => "the server will leave; moving on".to_owned(),
            _ => return,
        };
        self.board.say(&format!("* {text}"));
    }

    /// Says what trying again does not help against, and ends a client that never was connected.
    fn note_failure(&mut self, peer: &Peer<'_>, event: &Incoming<'_>) {
        let Incoming::DialFailed { error: DialError::Transport(error), .. } = event else {
            return;
        };
        let text = format!("{}: {error}", self.address);
        let again = std::mem::replace(&mut self.failure, text) == self.failure;
        if again {
            return;
        }
        // Not among the notices, which may be unwanted.
        eprintln!("outlast: {}", self.failure);
        if !DialError::Transport(error).is_retryable() && !self.has_begun() {
            peer.handle().end(CloseCode::GOING_AWAY);
        }
    }

    /// Whether there ever was a session to be lost.
    pub(crate) fn has_begun(&self) -> bool {
        self.health.facts().opened > 0
    }

    /// Says, once, that nobody answers. Never returns otherwise.
    pub(crate) async fn complain(health: Arc<Health>, board: Arc<Board>, hint: String) {
        tokio::time::sleep(PATIENCE).await;
        if health.facts().opened == 0 {
            board.say(&format!("* {hint}; trying again and again, Ctrl-C stops"));
        }
    }
}

/// The reason of a broken connection, if it says more than that it broke.
fn why(code: CloseCode) -> String {
    if code == CloseCode::IDLE { String::new() } else { format!(" ({})", code.name()) }
}

/// What was lost with a session, in words.
pub(crate) fn lost_words(code: CloseCode, received: Option<Position>) -> String {
    let known = match received {
        Some(position) => format!("the server took what was sent up to byte {}", position.get()),
        None => "what was not acknowledged may or may not have arrived".to_owned(),
    };
    let cause = match code {
        CloseCode::NO_SESSION => "the server no longer knows the session (was it restarted?)",
        CloseCode::EXPIRED => "this end was away longer than the server keeps sessions",
        _ => return format!("the session is lost: {code}; {known}"),
    };
    format!("the session is lost: {cause}; {known}")
}

/// Why a client stopped, with what to do about it.
pub(crate) fn stopped(closed: &Closed, address: &Address) -> String {
    match closed.code {
        CloseCode::AUTH_REQUIRED => {
            "the server wants a token: give --token-file or OUTLAST_TOKEN".to_owned()
        }
        CloseCode::AUTH_FAILED => "the server refuses the token: it has another one".to_owned(),
        CloseCode::VERSION => {
            format!("no common protocol version with {address}: upgrade one of the two")
        }
        CloseCode::SUPERSEDED => {
            "another program took this session over; it goes on there".to_owned()
        }
        _ if closed.why == Why::Stopped => format!("no session with {address}"),
        _ if closed.why == Why::GaveUp(None) => {
            format!("gave up on {address}: no connection came about (--attempts is used up)")
        }
        code if matches!(closed.why, Why::GaveUp(_)) => {
            format!("gave up on {address} (--attempts is used up): {code}")
        }
        code => format!("the session with {address} is over: {code}"),
    }
}

/// The first digits of a session's number: enough for a person to tell sessions apart.
pub(crate) fn short(session: Option<u64>) -> String {
    session.map_or_else(|| "----".to_owned(), |id| format!("{:04x}", id >> 48))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_shown_by_its_first_digits() {
        let id = 0x0123_4567_89AB_CDEF;
        assert_eq!(short(Some(id)), format!("{id:016x}")[..4]);
        assert_eq!(short(None), "----");
    }
}
