//! The crate tarpc over TCP with bincode.

use std::io;

use futures_util::{FutureExt, StreamExt};
use tarpc::context::Context;
use tarpc::serde_transport::tcp;
use tarpc::server::{BaseChannel, Channel};
use tarpc::tokio_serde::formats::Bincode;

use super::announce;

/// Longest frame either side accepts.
pub(crate) const FRAME_LIMIT: usize = 1 << 20;

/// The service: its macro writes `EchoClient`.
#[tarpc::service]
pub(crate) trait Echo {
    async fn echo(payload: Vec<u8>) -> Vec<u8>;
}

#[derive(Clone)]
struct Server;

impl Echo for Server {
    async fn echo(self, _: Context, payload: Vec<u8>) -> Vec<u8> {
        payload
    }
}

pub(super) async fn serve() -> io::Result<()> {
    let listener = super::tokio_listener()?;
    announce(listener.local_addr()?.port())?;
    let mut incoming = tcp::listen_on(listener, Bincode::default).await?;
    incoming.config_mut().max_frame_length(FRAME_LIMIT);
    while let Some(transport) = incoming.next().await {
        let transport = transport?;
        transport.get_ref().set_nodelay(true)?;
        let requests = BaseChannel::with_defaults(transport).execute(Server.serve());
        tokio::spawn(requests.for_each(|request| {
            tokio::spawn(request);
            async {}.boxed()
        }));
    }
    Ok(())
}
