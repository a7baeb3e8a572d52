//! Clients of zinx and Paguma behind the same handlers as sessions.
//!
//! One router, three listeners. A handler is a function of the message's number; whether it came
//! in zinx's order of fields, in Paguma's, or over a session is no business of its own. What it
//! returns goes back: as the answer of a request, or as a packet with the number that it answers.
//! Heartbeats (message 99999) are answered by the listener.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use outlast_service::net::{Client, Net, PlainClient, Running, Server};
use outlast_service::plain::formats::{Format, Key, Ltv, Packet, Tlv, TlvConfig};
use outlast_service::plain::{PlainEvent, PlainPeer, PlainServerHandle};
use outlast_service::router::{BuildError, Context, Flow, Hook, Link, Router, Routes, State};
use outlast_service::{Bytes, Groups, Incoming, Peer};

use crate::runtime::{Failure, Program, asked_to_end, at, keep, show};

/// Answered with [`PONG`].
pub const PING: u32 = 1;
/// What follows [`PING`], with the text `pong`.
pub const PONG: u32 = 200;
/// Comes back as it is.
pub const ECHO: u32 = 2;
/// Said to everybody, as [`SAID`].
pub const SAY: u32 = 3;
/// What somebody said, with his number before it.
pub const SAID: u32 = 203;
/// How many messages of this client were handled so far.
pub const COUNT: u32 = 4;

/// Everybody is in this group, whatever he speaks.
const ALL: &str = "all";

/// What the gateway can be told.
#[derive(Debug, Clone, Args)]
pub struct Serve {
    /// Where clients with sessions come
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7430")]
    pub sessions: String,
    /// Where clients of zinx come: number, length, data
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7431")]
    pub zinx: String,
    /// Where clients of Paguma come: length, number, data
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7432")]
    pub paguma: String,
    /// The longest data of a packet, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 4_096,
          value_parser = clap::value_parser!(u32).range(1..=16 << 20))]
    pub max_packet: u32,
}

/// Counts what a client has had handled: what zinx calls a PreHandle. The count is kept with the
/// client, as its properties are.
#[derive(Debug)]
pub struct Counted;

#[derive(Debug, Copy, Clone)]
struct Handled(u64);

impl Hook for Counted {
    fn before(&self, cx: &Context<'_>) -> Flow {
        let link = cx.link();
        let before = link.get::<Handled>().map_or(0, |handled| handled.0);
        link.set(Handled(before + 1));
        Flow::Go
    }
}

/// Every route of the gateway: what it does, for whomever it is.
///
/// # Errors
///
/// If two routes had one number.
pub fn routes(groups: &Groups) -> Result<Routes<impl Hook + use<>>, BuildError> {
    Router::new()
        .state(groups.clone())
        .hook(Counted)
        .on_open(|link| {
            // Who is over already is in no group, and nobody misses him.
            let _ = link.join_group(ALL);
        })
        .route(PING, ping)
        .route(ECHO, |bytes: Bytes| bytes)
        .route(SAY, say)
        .route(COUNT, |link: Link| link.get::<Handled>().map_or(0, |it| it.0).to_string())
        .build()
}

/// As the demonstration of both systems has it: the answer is a message with another number.
async fn ping(link: Link) {
    // An error means that nobody is there any more.
    let _ = link.send(PONG, b"pong").await;
}

/// One call for clients of three kinds. Nobody is waited for; who reads too slowly misses it.
fn say(State(groups): State<Groups>, link: Link, text: String) -> Option<String> {
    let said = format!("{}: {text}", link.id()?);
    let report = groups.send(ALL, SAID, said.as_bytes());
    Some(format!("{} hear it", report.sent))
}

/// A gateway that runs.
#[derive(Debug)]
#[must_use = "dropped, it goes on and cannot be shut down"]
pub struct Gateway {
    sessions: Running,
    zinx: Running<PlainServerHandle>,
    paguma: Running<PlainServerHandle>,
}

impl Serve {
    /// Starts the gateway in tasks of a runtime.
    ///
    /// # Errors
    ///
    /// If an address cannot be had.
    pub async fn start<N: Net>(&self, net: &N) -> Result<Gateway, Failure> {
        let groups = Groups::default();
        let routes = routes(&groups)?;
        let packets = TlvConfig { max: self.max_packet as usize, ..TlvConfig::DEFAULT };
        let server = || Server::on(net.clone()).groups(groups.clone());
        let sessions = server().bind(&self.sessions).await.map_err(|it| at(&self.sessions, it))?;
        let zinx = server().format(Tlv::new(packets.clone())?);
        let zinx = zinx.bind(&self.zinx).await.map_err(|it| at(&self.zinx, it))?;
        let paguma = server().format(Ltv::new(packets)?).groups(groups.clone());
        let paguma = paguma.bind(&self.paguma).await.map_err(|it| at(&self.paguma, it))?;
        Ok(Gateway {
            sessions: sessions.start(routes.factory())?,
            zinx: zinx.start(routes.plain_factory())?,
            paguma: paguma.start(routes.plain_factory())?,
        })
    }
}

impl Gateway {
    /// Where sessions, zinx and Paguma are.
    #[must_use]
    pub const fn addresses(&self) -> [SocketAddr; 3] {
        [self.sessions.local_addr(), self.zinx.local_addr(), self.paguma.local_addr()]
    }
}

impl Program for Serve {
    async fn run<N: Net>(self, net: N) -> Result<(), Failure> {
        let gateway = self.start(&net).await?;
        for (what, address) in ["sessions", "zinx", "paguma"].iter().zip(gateway.addresses()) {
            println!("{what} on {address}");
        }
        asked_to_end().await?;
        let second = Duration::from_secs(1);
        gateway.zinx.shutdown(second).await;
        gateway.paguma.shutdown(second).await;
        gateway.sessions.shutdown(second).await;
        Ok(())
    }
}

/// What a client speaks.
#[derive(Debug, Copy, Clone, PartialEq, Eq, ValueEnum)]
pub enum Speaks {
    /// A session: messages arrive once, over any number of connections.
    Session,
    /// zinx.
    Zinx,
    /// Paguma.
    Paguma,
}

/// Sends one message, and shows what comes back.
#[derive(Debug, Clone, Args)]
pub struct Call {
    /// What to speak
    #[arg(long, value_enum, default_value = "zinx")]
    pub format: Speaks,
    /// The gateway's address for that
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7431")]
    pub server: String,
    /// The message's number
    pub id: u32,
    /// What is in it
    #[arg(default_value = "")]
    pub text: String,
}

impl Program for Call {
    async fn run<N: Net>(self, net: N) -> Result<(), Failure> {
        match self.format {
            Speaks::Session => self.over_session(&net).await,
            Speaks::Zinx => self.plain(&net, Tlv::default()).await,
            Speaks::Paguma => self.plain(&net, Ltv::default()).await,
        }
    }
}

impl Call {
    /// A request has one answer; what comes beside it is shown as well.
    async fn over_session<N: Net>(&self, net: &N) -> Result<(), Failure> {
        let beside = |_: &mut Peer<'_>, event: Incoming<'_>| {
            if let Incoming::Message { route, payload } = event {
                show(format_args!("{}: {}", route.get(), String::from_utf8_lossy(payload)));
            }
        };
        let client = Client::on(net.clone()).address(&self.server);
        let (handle, runner) = client.connect(beside)?;
        keep(net, runner);
        let answer = handle.request(self.id, self.text.as_bytes()).await?;
        let text = String::from_utf8_lossy(&answer.payload).into_owned();
        show(format_args!("{} ({:?}): {text}", self.id, answer.status));
        handle.finish();
        handle.closed().await;
        Ok(())
    }

    /// The next packet is taken for the answer: these formats do not tie one to the other.
    fn plain<N: Net>(
        &self,
        net: &N,
        format: impl Format + Clone,
    ) -> impl Future<Output = Result<(), Failure>> {
        let (told, answer) = smol::channel::bounded(16);
        let handler = move |_: &mut PlainPeer<'_>, event: PlainEvent<'_>| {
            if let PlainEvent::Packet(Packet { key: Key::Id(id), payload, .. }) = event {
                let text = String::from_utf8_lossy(payload).into_owned();
                let _ = told.try_send(format!("{id}: {text}"));
            }
        };
        let made = PlainClient::on(net.clone(), format).address(&self.server).connect(handler);
        let net = net.clone();
        async move {
            let (handle, runner) = made?;
            keep(&net, runner);
            handle.connected().await;
            handle.send(&Packet::one_way(self.id, self.text.as_bytes())).await?;
            let gone = async {
                handle.closed().await;
                Err(smol::channel::RecvError)
            };
            let answer = smol::future::or(answer.recv(), gone).await;
            show(answer.map_err(|_| "the connection ended, and there was no answer")?);
            handle.close();
            Ok(())
        }
    }
}
