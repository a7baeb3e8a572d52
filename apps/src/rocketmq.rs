//! RocketMQ's remoting commands: a server that gives back what it gets, and a client.
//!
//! Here the handler is not a router's but one of its own, a [`PlainHandler`]: it sees packets as
//! they are, with kind, number and what only this format has. A request is answered with its own
//! opaque number, so that a client may have many open and take the answers in any order.

use std::time::Duration;

use clap::Args;
use outlast_service::net::{Net, PlainClient, Server};
use outlast_service::plain::formats::rocketmq::Command;
use outlast_service::plain::formats::{Cause, Extra, Key, Kind, Packet, RocketMq, RocketMqConfig};
use outlast_service::plain::{PlainError, PlainEvent, PlainHandle, PlainHandler, PlainPeer};

use crate::runtime::{Failure, Program, asked_to_end, at, keep, show};

/// `SEND_MESSAGE`: its body comes back.
pub const SEND_MESSAGE: u32 = 10;
/// `HEART_BEAT`: answered with nothing.
pub const HEART_BEAT: u32 = 34;
/// `SEND_MESSAGE_V2`: its body comes back.
pub const SEND_MESSAGE_V2: u32 = 310;

/// What the server can be told.
#[derive(Debug, Clone, Args)]
pub struct Serve {
    /// Where to listen
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9876")]
    pub listen: String,
    /// Clients are pyrocketmq, which marks one-way commands as if they were answers
    #[arg(long)]
    pub pyrocketmq: bool,
}

/// The server's side of one connection.
#[derive(Debug, Default)]
pub struct Echo;

impl PlainHandler for Echo {
    fn handle(&mut self, peer: &mut PlainPeer<'_>, event: PlainEvent<'_>) {
        let PlainEvent::Packet(packet) = event else {
            return;
        };
        let Key::Id(code) = packet.key else {
            return;
        };
        let done = match (packet.kind, code) {
            (Kind::Request, SEND_MESSAGE | SEND_MESSAGE_V2) => answer(peer, packet),
            (Kind::Request, HEART_BEAT) => peer.respond(packet, b""),
            (Kind::Request, code) => {
                let remark = format!("request type {code} not supported");
                peer.fail(Some(packet), Cause::NoRoute, Some(&remark)).map(|_| ())
            }
            (Kind::OneWay, code) => {
                // Nobody waits for an answer, and there is none, whatever it is.
                show(format_args!("one-way {code}: {}", text(&packet.payload)));
                Ok(())
            }
            // Nobody here asks anything.
            (Kind::Response | Kind::Heartbeat, _) => Ok(()),
        };
        if let Err(error) = done {
            show(format_args!("no answer to {code}: {error}"));
        }
    }
}

/// The body comes back, and so do the fields that go with it.
fn answer(peer: &mut PlainPeer<'_>, packet: &Packet<'_>) -> Result<(), PlainError> {
    let ext_fields = match packet.extra {
        Extra::RocketMq(command) => command.ext_fields,
        _ => None,
    };
    let extra = Extra::RocketMq(Command { ext_fields, ..Command::NONE });
    // Code 0 is success, and the opaque number that of the request.
    let reply = peer.reply_to(packet, packet.payload.clone());
    peer.send(&Packet { extra, ..reply })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Program for Serve {
    async fn run<N: Net>(self, net: N) -> Result<(), Failure> {
        let bit0_is_one_way = self.pyrocketmq;
        let format = RocketMq::new(RocketMqConfig { bit0_is_one_way, ..RocketMqConfig::DEFAULT })?;
        let listener = Server::on(net).format(format).bind(&self.listen).await;
        let running = listener.map_err(|it| at(&self.listen, it))?.start(|_| Echo)?;
        println!("RocketMQ commands on {}", running.local_addr());
        asked_to_end().await?;
        running.shutdown(Duration::from_secs(1)).await;
        Ok(())
    }
}

/// Sends commands.
#[derive(Debug, Clone, Args)]
pub struct Send {
    /// The server
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9876")]
    pub server: String,
    /// The command's code
    #[arg(long, default_value_t = SEND_MESSAGE_V2)]
    pub code: u32,
    /// Wait for no answer
    #[arg(long)]
    pub one_way: bool,
    /// How many to send at once, numbered if they are several
    #[arg(long, value_name = "COUNT", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub count: u32,
    /// The body
    #[arg(default_value = "")]
    pub body: String,
}

/// Longer than a server that is there takes.
const PATIENCE: Duration = Duration::from_secs(10);

impl Program for Send {
    async fn run<N: Net>(self, net: N) -> Result<(), Failure> {
        let client = PlainClient::on(net.clone(), RocketMq::default()).address(&self.server);
        let (handle, runner) = client.connect(|_: &mut PlainPeer<'_>, _: PlainEvent<'_>| {})?;
        keep(&net, runner);
        handle.connected().await;
        if self.one_way {
            self.tell(&handle).await?;
        } else {
            self.ask(&net, &handle).await?;
        }
        // What is queued goes out first.
        handle.finish();
        handle.closed().await;
        Ok(())
    }
}

impl Send {
    fn body(&self, number: u32) -> String {
        if self.count == 1 { self.body.clone() } else { format!("{} {number}", self.body) }
    }

    /// One-way commands have an opaque number as well, which nobody looks at.
    async fn tell(&self, handle: &PlainHandle) -> Result<(), Failure> {
        for number in 0..self.count {
            let body = self.body(number);
            let packet = Packet::one_way(self.code, body.as_bytes());
            handle.send(&Packet { correlation: Some(number), ..packet }).await?;
        }
        Ok(())
    }

    /// All of them are open at the same time; each gets its own answer.
    async fn ask<N: Net>(&self, net: &N, handle: &PlainHandle) -> Result<(), Failure> {
        let (told, answers) = smol::channel::bounded(1_000);
        for number in 0..self.count {
            let (handle, told, code) = (handle.clone(), told.clone(), self.code);
            let body = self.body(number);
            net.spawn(async move {
                let answer = handle.request(code, body.as_bytes(), PATIENCE).await;
                let _ = told.send((body, answer)).await;
            });
        }
        let mut refused = None;
        for _ in 0..self.count {
            let (body, answer) = answers.recv().await?;
            let answer = answer?;
            match answer.id {
                Some(0) => show(format_args!("{body} -> {}", text(&answer.payload))),
                other => refused = other,
            }
        }
        refused.map_or(Ok(()), |code| Err(format!("the server says code {code}").into()))
    }
}
