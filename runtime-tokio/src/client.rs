//! A client over TCP.

use std::io;
use std::sync::Arc;

use outlast_core::client::DialerConfig;
use outlast_core::{Config, ConfigError};
use outlast_service::{
    ClientConfig, Connector, Credentials, Dialed, Handle, Handler, Runner, Token,
};

use crate::runtime::{Tcp, Tokio};
use crate::socket::SocketOptions;

/// A client: one session with a server, over as many connections as it takes.
#[derive(Debug)]
pub struct Client;

impl Client {
    /// Starts to describe a client.
    #[must_use]
    pub fn builder() -> ClientBuilder {
        ClientBuilder {
            addresses: Vec::new(),
            config: ClientConfig::default(),
            socket: SocketOptions::default(),
        }
    }
}

/// Describes a client. See [`Client::builder`].
#[derive(Debug, Clone)]
pub struct ClientBuilder {
    addresses: Vec<String>,
    config: ClientConfig,
    socket: SocketOptions,
}

impl ClientBuilder {
    /// Adds a server's address, `host:port`. The first is tried first.
    #[must_use]
    pub fn address(mut self, address: impl Into<String>) -> Self {
        self.addresses.push(address.into());
        self
    }

    /// Sets the session's limits and intervals; [`Config::CLIENT`] otherwise.
    #[must_use]
    pub const fn config(mut self, config: Config) -> Self {
        self.config.session = Some(config);
        self
    }

    /// Sets when to dial again and when to give up.
    #[must_use]
    pub const fn reconnect(mut self, policy: DialerConfig) -> Self {
        self.config.dialer = policy;
        self
    }

    /// Sets the token that the server wants to see, over any transport: without encryption
    /// everybody on the way can read it. [`credentials`](Self::credentials) has the other ways.
    #[must_use]
    pub fn token(self, token: impl Into<Vec<u8>>) -> Self {
        self.credentials(Token::new(token.into()).allow_plaintext())
    }

    /// Sets what is shown to the server: a [`Token`], a [`KeyedClient`](crate::KeyedClient), or a
    /// method of one's own.
    #[must_use]
    pub fn credentials(mut self, credentials: impl Credentials) -> Self {
        self.config.credentials = Some(Arc::new(credentials));
        self
    }

    /// Sets socket options.
    #[must_use]
    pub fn socket(mut self, options: SocketOptions) -> Self {
        self.socket = options;
        self
    }

    /// Makes the client. Nothing happens before the [`Runner`] is spawned or awaited; the handle
    /// may be used at once, and its sends wait for the session.
    ///
    /// # Errors
    ///
    /// If the configuration is out of range or no address was given.
    pub fn connect<H: Handler>(mut self, handler: H) -> io::Result<(Handle, Runner)> {
        if self.addresses.is_empty() {
            let no_address = "a client needs an address: call `address`";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, no_address));
        }
        self.config.dialer.addresses = u32::try_from(self.addresses.len()).unwrap_or(u32::MAX);
        if self.config.seed == 0 {
            let mut seed = [0; 8];
            getrandom::fill(&mut seed).map_err(io::Error::other)?;
            self.config.seed = u64::from_le_bytes(seed);
        }
        let connector = Dial { addresses: self.addresses, socket: self.socket };
        Runner::new(Tokio, self.config, connector, handler).map_err(invalid)
    }
}

pub(crate) fn invalid(error: ConfigError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, error)
}

/// Dials by name; every address of a name is tried.
#[derive(Debug)]
struct Dial {
    addresses: Vec<String>,
    socket: SocketOptions,
}

impl Connector for Dial {
    type Io = Tcp;

    async fn connect(&mut self, address: usize) -> io::Result<Dialed<Tcp>> {
        // What the list does not have is an address that a server named: not followed yet.
        let index = if address < self.addresses.len() { address } else { 0 };
        let name = self.addresses.get(index).map(String::as_str);
        let name = name.unwrap_or_default();
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in tokio::net::lookup_host(name).await? {
            match self.socket.connect(address).await {
                Ok(stream) => {
                    return Ok(Dialed { io: Tcp(stream), remote: Some(address) });
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}
