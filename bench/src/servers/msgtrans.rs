//! The crate msgtrans over TCP, with the settings of its own load-test server.

use core::hint::black_box;
use core::net::{Ipv4Addr, SocketAddr};
use std::io;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use msgtrans::{
    Packet, Responder, SendOptions, SessionHandler, SessionId, SessionSender, TcpServerConfig,
    TransportServer, TransportServerBuilder,
};

use super::{Mode, announce};

const MAX_CONNECTIONS: usize = 20_000;
const ACTOR_BUFFER: usize = 4096;

struct Handler {
    mode: Mode,
    server: OnceLock<TransportServer>,
}

#[async_trait]
impl SessionHandler for Handler {
    async fn on_message(&self, _: SessionId, packet: Packet, sender: SessionSender) {
        match self.mode {
            Mode::Sink | Mode::Chunks => drop(black_box(packet)),
            Mode::Echo => drop(sender.send_data(packet.into_payload()).await),
            Mode::FanOut => {
                if let Some(server) = self.server.get() {
                    let _ = server.broadcast(packet.into_payload(), SendOptions::new()).await;
                }
            }
        }
    }

    async fn on_request(&self, _: SessionId, request: Packet, responder: Responder) {
        let _ = responder.respond(request.into_payload()).await;
    }
}

pub(super) async fn serve(mode: Mode) -> io::Result<()> {
    // It binds by itself and does not tell the port, so a free one is looked up first.
    let port = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let config = TcpServerConfig::new(&address.to_string()).map_err(io::Error::other)?;
    let handler = Arc::new(Handler { mode, server: OnceLock::new() });
    let server = TransportServerBuilder::new()
        .max_connections(MAX_CONNECTIONS)
        .actor_buffer_size(ACTOR_BUFFER)
        .protocol(config.nodelay(true))
        .build(Arc::<Handler>::clone(&handler))
        .await
        .map_err(io::Error::other)?;
    let _ = handler.server.set(server.clone());
    let serving = tokio::spawn(async move { server.serve().await });
    while tokio::net::TcpStream::connect(address).await.is_err() {
        if serving.is_finished() {
            break;
        }
        tokio::task::yield_now().await;
    }
    announce(port)?;
    serving.await?.map_err(io::Error::other)
}
