//! A client over TCP.

use std::io;
use std::marker::PhantomData;
use std::sync::Arc;

use outlast_core::Config;
use outlast_core::client::DialerConfig;

use super::{Layer, Net, SocketOptions, addresses, invalid, no_address};
use crate::auth::{Credentials, Token};
use crate::client::{ClientConfig, Connector, Dialed, Runner};
use crate::handle::Handle;
use crate::handler::Handler;
use crate::outgoing::Outgoing;
use crate::pool::{Pool, PoolConfig};
use crate::state::{LinkState, Watcher};

/// A client: one session with a server, over as many connections as it takes.
#[derive(Debug)]
pub struct Client<N>(PhantomData<N>);

impl<N: Net> Client<N> {
    /// Starts to describe a client.
    #[must_use]
    pub fn builder() -> ClientBuilder<N>
    where
        N: Default,
    {
        Self::on(N::default())
    }

    /// As [`builder`](Self::builder), on this runtime.
    #[must_use]
    pub fn on(net: N) -> ClientBuilder<N> {
        ClientBuilder {
            net,
            addresses: Vec::new(),
            config: ClientConfig::default(),
            socket: SocketOptions::default(),
        }
    }
}

/// Describes a client. See [`Client::builder`].
#[derive(Debug, Clone)]
pub struct ClientBuilder<N> {
    net: N,
    addresses: Vec<String>,
    config: ClientConfig,
    socket: SocketOptions,
}

impl<N: Net> ClientBuilder<N> {
    /// Adds a server's address, `host:port`. The first is tried first.
    #[must_use]
    pub fn address(mut self, address: impl Into<String>) -> Self {
        self.addresses.push(address.into());
        self
    }

    /// Sets the session's limits and intervals; [`Config::CLIENT`] otherwise.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config.session = Some(config);
        self
    }

    /// Sets when to dial again and when to give up.
    #[must_use]
    pub fn reconnect(mut self, policy: DialerConfig) -> Self {
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

    /// Sets how much may wait to be sent, and how; [`Outgoing`] has the defaults.
    #[must_use]
    pub fn outgoing(mut self, outgoing: Outgoing) -> Self {
        self.config.outgoing = outgoing;
        self
    }

    /// Sets socket options.
    #[must_use]
    pub fn socket(mut self, options: SocketOptions) -> Self {
        self.socket = options;
        self
    }

    /// Calls `told` with each state when it begins, in the client's task: it must not block.
    /// [`Handle::states`] is for those who look from elsewhere, and when they like.
    #[must_use]
    pub fn on_state(mut self, told: impl Fn(LinkState) + Send + Sync + 'static) -> Self {
        self.config.watcher = Some(Watcher::new(told));
        self
    }

    /// Puts a layer between the sockets and the session, such as TLS.
    #[must_use]
    pub fn layer<L: Layer<N>>(self, layer: L) -> ClientBuilder<L::Net> {
        let Self { net, addresses, config, socket } = self;
        ClientBuilder { net: layer.over(net), addresses, config, socket }
    }

    /// Makes the client. Nothing happens before the [`Runner`] is spawned or awaited; the handle
    /// may be used at once, and its sends wait for the session.
    ///
    /// # Errors
    ///
    /// If the configuration is out of range or no address was given.
    pub fn connect<H: Handler>(mut self, handler: H) -> io::Result<(Handle, Runner)> {
        need_address(&self.addresses)?;
        self.config.dialer.addresses = u32::try_from(self.addresses.len()).unwrap_or(u32::MAX);
        self.config.seed = seed(self.config.seed)?;
        let (net, socket) = (self.net, self.socket);
        let connector = Dial { net: net.clone(), addresses: self.addresses, socket };
        Runner::new(net, self.config, connector, handler).map_err(invalid)
    }

    /// Makes a pool of such clients in tasks of the runtime; `handlers` is told the place of each
    /// in the pool.
    ///
    /// # Errors
    ///
    /// If a configuration is out of range or no address was given.
    pub fn pool<H: Handler>(
        self,
        config: PoolConfig,
        handlers: impl Fn(usize) -> H + Send + Sync + 'static,
    ) -> io::Result<Pool> {
        need_address(&self.addresses)?;
        let net = self.net.clone();
        Pool::new(&net, config, move |place| self.clone().connect(handlers(place)))
    }
}

pub(super) fn need_address(addresses: &[String]) -> io::Result<()> {
    if addresses.is_empty() {
        let no_address = "a client needs an address: call `address`";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, no_address));
    }
    Ok(())
}

/// The entropy that was given, or some.
pub(super) fn seed(given: u64) -> io::Result<u64> {
    if given != 0 {
        return Ok(given);
    }
    let mut seed = [0; 8];
    getrandom::fill(&mut seed).map_err(io::Error::other)?;
    Ok(u64::from_le_bytes(seed))
}

/// Dials by name; every address of a name is tried.
#[derive(Debug)]
pub(super) struct Dial<N> {
    pub(super) net: N,
    pub(super) addresses: Vec<String>,
    pub(super) socket: SocketOptions,
}

impl<N: Net> Connector for Dial<N> {
    type Io = N::Stream;

    async fn connect(&mut self, address: usize) -> io::Result<Dialed<N::Stream>> {
        // What the list does not have is an address that a server named: not followed yet.
        let index = if address < self.addresses.len() { address } else { 0 };
        let name = self.addresses.get(index).map_or("", String::as_str);
        let mut last = no_address();
        for address in addresses(&self.net, name).await? {
            let connecting = async {
                let socket = self.socket.dialing(address)?;
                let stream = self.net.connect_named(socket, address, name).await?;
                SocketOptions::dialled(&N::socket(&stream))?;
                io::Result::Ok(stream)
            };
            match connecting.await {
                Ok(io) => return Ok(Dialed { io, remote: Some(address) }),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}
