//! Clients and servers in tasks of smol (feature `smol`).
//!
//! smol runs what is spawned on one thread, or on as many as the environment variable
//! `SMOL_THREADS` says.

use std::future::Future;
use std::io;
use std::net::SocketAddr;

use outlast_service::net;

use crate::runtime::{AsyncIo, Executor};

/// The executor of smol.
#[derive(Debug, Copy, Clone, Default)]
pub struct Smol;

impl Executor for Smol {
    fn spawn(task: impl Future<Output = ()> + Send + 'static) {
        ::smol::spawn(task).detach();
    }

    async fn lookup(name: &str) -> io::Result<Vec<SocketAddr>> {
        ::smol::net::resolve(name).await
    }
}

/// A client over TCP in tasks of smol. See [`Client::builder`].
pub type Client = net::Client<AsyncIo<Smol>>;
/// Describes a client. See [`Client::builder`].
pub type ClientBuilder = net::ClientBuilder<AsyncIo<Smol>>;
/// A server over TCP in tasks of smol. See [`Server::builder`].
pub type Server = net::Server<AsyncIo<Smol>>;
/// Describes a server. See [`Server::builder`].
pub type ServerBuilder = net::ServerBuilder<AsyncIo<Smol>>;
