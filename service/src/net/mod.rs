//! Clients and servers over TCP, for any runtime that has sockets (feature `net`).
//!
//! What a runtime crate adds is a [`Net`]: how to connect a socket, to accept one, and to look a
//! name up. Everything else (addresses, options, accepting when descriptors run out, shutting down)
//! is here, once.

use std::future::Future;
use std::io;
use std::net::SocketAddr;

pub use client::{Client, ClientBuilder};
#[cfg(feature = "formats")]
pub use plain::{PlainClient, PlainClientBuilder, PlainListener, PlainServerBuilder};
pub use server::{Running, Server, ServerBuilder};
pub use socket::SocketOptions;
pub use socket2;

use crate::transport::{Runtime, Transport};

mod client;
mod lasting;
#[cfg(feature = "formats")]
mod plain;
mod server;
mod socket;
mod stop;

/// The sockets of a runtime.
pub trait Net: Runtime {
    /// A connection.
    type Stream: Transport;
    /// What connections are accepted from.
    type Listener: std::fmt::Debug + Send + Sync + 'static;

    /// Connects a socket that does not block and has its options. Dropping the future abandons the
    /// attempt.
    fn connect(
        &self,
        socket: socket2::Socket,
        address: SocketAddr,
    ) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// As [`connect`](Self::connect), for layers that have to know which name with its port was
    /// dialled.
    fn connect_named(
        &self,
        socket: socket2::Socket,
        address: SocketAddr,
        name: &str,
    ) -> impl Future<Output = io::Result<Self::Stream>> + Send {
        let _ = name;
        self.connect(socket, address)
    }

    /// Takes a listening socket that does not block.
    ///
    /// # Errors
    ///
    /// If the runtime cannot wait for it.
    fn listener(&self, listener: std::net::TcpListener) -> io::Result<Self::Listener>;

    /// The next connection.
    fn accept(
        &self,
        listener: &Self::Listener,
    ) -> impl Future<Output = io::Result<(Self::Stream, SocketAddr)>> + Send;

    /// The socket below a connection, to set its options.
    fn socket(stream: &Self::Stream) -> socket2::SockRef<'_>;

    /// The addresses of a name with its port, as `example.net:7411`.
    fn lookup(&self, name: &str) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send;
}

/// What lies between the sockets of a runtime and the sessions, such as TLS.
pub trait Layer<N: Net> {
    /// The sockets with this layer over them.
    type Net: Net;

    /// Lays it over these sockets.
    fn over(self, net: N) -> Self::Net;
}

/// The addresses of `name`, without asking anybody if it is one.
async fn addresses<N: Net>(net: &N, name: &str) -> io::Result<Vec<SocketAddr>> {
    match name.parse() {
        Ok(address) => Ok(vec![address]),
        Err(_) => net.lookup(name).await,
    }
}

fn no_address() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "the name has no address")
}

fn invalid(error: outlast_core::ConfigError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, error)
}
