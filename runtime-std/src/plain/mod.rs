//! Connections that speak another system's format (feature `formats`), by calls that block: the
//! same types under the same names as in [`outlast_service::plain`], and the builders of a client
//! and of a listener in threads of their own.
//!
//! What is queued is lost with its connection: there are no sessions here.
//!
//! ```
//! use outlast_std::plain::formats::{Kind, MsgTrans, Packet};
//! use outlast_std::plain::{PlainClient, PlainEvent, PlainPeer};
//! use outlast_std::Server;
//! use std::time::Duration;
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let format = MsgTrans::default();
//!     let listener = Server::builder().format(format.clone()).bind("127.0.0.1:0")?;
//!     let server = listener.start(|_| {
//!         |peer: &mut PlainPeer<'_>, event: PlainEvent<'_>| {
//!             if let PlainEvent::Packet(packet) = event {
//!                 let answered = peer.respond(packet, &packet.payload);
//!                 answered.expect("the answer is as long as the question");
//!             }
//!         }
//!     })?;
//!
//!     let client = PlainClient::builder(format).address(server.local_addr().to_string());
//!     let handle = client.connect(|_: &mut PlainPeer<'_>, _: PlainEvent<'_>| {})?;
//!     let limit = Duration::from_secs(10);
//!     assert!(handle.connected_timeout(limit));
//!     assert_eq!(handle.request(7, b"ping", limit)?.payload, "ping");
//!     handle.finish();
//!     let _ = handle.closed();
//!     server.shutdown(limit);
//!     Ok(())
//! }
//! ```

mod client;
mod handle;
mod inbox;
mod listener;

pub use client::{PlainClient, PlainClientBuilder};
pub use handle::PlainHandle;
pub use inbox::{PlainReceiver, inbox};
pub use listener::{PlainListener, PlainServerBuilder};
pub use outlast_service::plain::{
    PlainCause, PlainClientConfig, PlainClosed, PlainConfig, PlainError, PlainEvent,
    PlainHandle as AsyncPlainHandle, PlainHandler, PlainInbox, PlainInfo, PlainPeer, PlainReceived,
    PlainReceiver as AsyncPlainReceiver, PlainResponder, PlainResponse, PlainRunner, PlainServer,
    PlainServerHandle, PlainServerStats, PlainState, WhenFull, formats,
};
