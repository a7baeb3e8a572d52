//! Clients and servers in tasks of async-std (feature `async-std`).
//!
//! async-std is discontinued (RUSTSEC-2025-0052): nobody repairs it any more. Programs that are
//! written anew take [`smol`](crate#smol) or tokio.

use std::future::Future;
use std::io;
use std::net::SocketAddr;

use outlast_service::net;

use crate::runtime::{AsyncIo, Executor};

/// The executor of async-std.
#[derive(Debug, Copy, Clone, Default)]
pub struct AsyncStd;

impl Executor for AsyncStd {
    fn spawn(task: impl Future<Output = ()> + Send + 'static) {
        drop(::async_std::task::spawn(task));
    }

    async fn lookup(name: &str) -> io::Result<Vec<SocketAddr>> {
        let found = ::async_std::net::ToSocketAddrs::to_socket_addrs(name).await?;
        Ok(found.collect())
    }
}

/// A client over TCP in tasks of async-std. See [`Client::builder`].
pub type Client = net::Client<AsyncIo<AsyncStd>>;
/// Describes a client. See [`Client::builder`].
pub type ClientBuilder = net::ClientBuilder<AsyncIo<AsyncStd>>;
/// A server over TCP in tasks of async-std. See [`Server::builder`].
pub type Server = net::Server<AsyncIo<AsyncStd>>;
/// Describes a server. See [`Server::builder`].
pub type ServerBuilder = net::ServerBuilder<AsyncIo<AsyncStd>>;
