//! What clients have to show, and how that changes while a server runs.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use outlast_config::ServerSettings;
use outlast_core::auth::Verifier;
use outlast_tls::Certificates;
use outlast_tokio::{Authenticator, PasswordError, Passwords, SecurityLog, StoredPassword, Tokens};
use sha2::{Digest, Sha256};

use super::common::token;
use crate::secret::Secret;
use crate::tap::Sockets;

/// Bytes of a file with users, at most: some 100,000 of them.
const USERS_MAX: usize = 16 << 20;

/// A server, with TLS or without.
type ServerBuilder = outlast_tokio::net::ServerBuilder<Sockets>;

/// What clients have to show. Clones are the same.
#[derive(Debug, Clone)]
pub(super) enum Shown {
    Nothing,
    Certificate,
    Token(LiveToken),
    Password(Users),
}

/// What was read of secrets, and does not hold yet.
pub(super) enum Fresh {
    Nothing,
    Token(Tokens),
    Password(Table),
}

impl Shown {
    /// What these settings, and otherwise the environment, ask for.
    pub(super) fn of(settings: &ServerSettings) -> Result<Self, String> {
        if let Some(path) = &settings.passwords_file {
            return Ok(Self::Password(Users(Arc::new(RwLock::new(users(path)?)))));
        }
        if let Some(token) = token(settings.token_file.as_deref())? {
            return Ok(Self::token(&token));
        }
        let asks = settings.listen.iter().any(|listener| listener.tls_client_ca.is_some());
        Ok(if asks { Self::Certificate } else { Self::Nothing })
    }

    /// This token.
    pub(super) fn token(token: &[u8]) -> Self {
        Self::Token(LiveToken(Arc::new(RwLock::new(tokens(token)))))
    }

    /// Reads the secrets again.
    pub(super) fn read(&self, settings: &ServerSettings) -> Result<Fresh, String> {
        match (self, &settings.passwords_file) {
            (Self::Password(_), Some(path)) => users(path).map(Fresh::Password),
            (Self::Token(_), _) => {
                let token = token(settings.token_file.as_deref())?;
                Ok(token.map_or(Fresh::Nothing, |token| Fresh::Token(tokens(&token))))
            }
            _ => Ok(Fresh::Nothing),
        }
    }

    /// Goes by what was read from now on. Connections that are up stay.
    pub(super) fn renew(&self, fresh: Fresh) {
        match (self, fresh) {
            (Self::Token(live), Fresh::Token(tokens)) => {
                *live.0.write().unwrap_or_else(PoisonError::into_inner) = tokens;
            }
            (Self::Password(users), Fresh::Password(table)) => {
                *users.0.write().unwrap_or_else(PoisonError::into_inner) = table;
            }
            _ => {}
        }
    }

    pub(super) const fn is_nothing(&self) -> bool {
        matches!(self, Self::Nothing)
    }
}

/// Asks clients for what they have to show, and tells the log who has not.
pub(super) fn guard(
    server: ServerBuilder,
    shown: &Shown,
    log: Option<&SecurityLog>,
) -> ServerBuilder {
    let server = match shown.clone() {
        Shown::Nothing => server,
        Shown::Certificate => server.authenticator(Certificates::by_name()),
        Shown::Token(token) => server.authenticator(token),
        Shown::Password(users) => server.authenticator(Passwords::by(move |name| {
            users.0.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
        })),
    };
    match log {
        Some(log) => server.security_log(log.clone()),
        None => server,
    }
}

/// The token that lets in, whoever shows it.
fn tokens(token: &[u8]) -> Tokens {
    Tokens::new([(token, 0)]).allow_plaintext()
}

/// A token that can become another one.
#[derive(Debug, Clone)]
pub(super) struct LiveToken(Arc<RwLock<Tokens>>);

impl Authenticator for LiveToken {
    fn verifier(&self, remote: Option<SocketAddr>) -> Box<dyn Verifier + Send> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).verifier(remote)
    }
}

/// By name: what is stored of a password, and the principal.
type Table = HashMap<String, (StoredPassword, u64)>;

/// Users that can become others.
#[derive(Debug, Clone)]
pub(super) struct Users(Arc<RwLock<Table>>);

/// Users and what is stored of their passwords: lines of `NAME:STORED`, as `outlast password`
/// makes them. Empty lines and those that begin with # do not count.
fn users(path: &Path) -> Result<Table, String> {
    let origin = path.display();
    let text = Secret::read(path, "users", USERS_MAX)?;
    let text = std::str::from_utf8(&text).map_err(|error| format!("{origin}: {error}"))?;
    let mut users = Table::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        // Names are said, and what is stored is not.
        let wrong = |why: &str| format!("{origin}:{}: {why}", index + 1);
        let (name, stored) = line.split_once(':').ok_or_else(|| wrong("this is no NAME:STORED"))?;
        let stored = stored.parse().map_err(|error: PasswordError| wrong(&error.to_string()))?;
        if users.insert(name.to_owned(), (stored, principal(name))).is_some() {
            return Err(wrong(&format!("{name} is there twice")));
        }
    }
    if users.is_empty() {
        return Err(format!("{origin} has no users"));
    }
    Ok(users)
}

/// The same number for the same name, whatever other users there are.
fn principal(name: &str) -> u64 {
    let digest = Sha256::digest(name.as_bytes());
    digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}
