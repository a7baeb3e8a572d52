//! The gateway: frames of devices in, messages of one session out.

use std::cmp::Ordering;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clap::Args;
use outlast_service::core::client::DialerConfig;
use outlast_service::core::wire::Route;
use outlast_service::net::{Client, Net, Running, Server};
use outlast_service::plain::PlainServerHandle;
use outlast_service::router::{BuildError, Hook, Router, Routes, State};
use outlast_service::{Bytes, Handle, Incoming, Peer};

use super::frame::{self, Frame};
use super::plant::message;
use super::{DEVICES, PLANT, READING};
use crate::runtime::{Failure, Program, asked_to_end, at, keep, lock, show};

/// What the gateway can be told.
#[derive(Debug, Clone, Args)]
pub struct Serve {
    /// Where devices come
    #[arg(long, value_name = "ADDR", default_value = DEVICES)]
    pub devices: String,
    /// Where the plant is
    #[arg(long, value_name = "ADDR", default_value = PLANT)]
    pub uplink: String,
    /// Longest pause between two attempts to reach the plant, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 10_000,
          value_parser = clap::value_parser!(u64).range(1..=86_400_000))]
    pub patience: u64,
}

/// What the gateway's tasks share. Clones are the same.
#[derive(Debug, Clone)]
struct Accepting {
    uplink: Handle,
    /// The reading of each device that is next: the session has those before it.
    next: Arc<Mutex<HashMap<u16, u32>>>,
    rescued: Rescued,
}

/// What a lost session left: sent again in the next one, ahead of everything new.
#[derive(Debug, Clone, Default)]
struct Rescued(Arc<Mutex<VecDeque<Sent>>>);

/// A message that was sent.
type Sent = (Route, Vec<u8>);

/// What is to be done with a reading.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
enum Turn {
    /// It is the next one.
    Now,
    /// It is accepted already.
    Before,
    /// One before it is missing, which has to come first.
    Later,
}

impl Accepting {
    /// A device that comes for the first time begins with what it has no acknowledgement for.
    fn turn(&self, frame: &Frame<'_>) -> Turn {
        let begin = frame.number.saturating_sub(frame.open.into());
        let next = *lock(&self.next).entry(frame.device).or_insert(begin);
        match frame.number.cmp(&next) {
            Ordering::Less => Turn::Before,
            Ordering::Equal => Turn::Now,
            Ordering::Greater => Turn::Later,
        }
    }

    /// The acknowledgement of everything that was accepted of a device.
    fn acknowledge(&self, device: u16) -> Vec<u8> {
        let last = lock(&self.next).get(&device).and_then(|next| next.checked_sub(1));
        let frame = |number| Frame { device, number, open: 0, data: &[] }.to_bytes();
        last.map_or_else(Vec::new, frame)
    }
}

/// Accepts a reading: what this returns goes back to the device, and nothing if it is empty.
///
/// While the session's queue is full, this waits, and so does the device: it is not read from. What
/// has a wrong checksum is not answered, and is sent again.
async fn accept(State(gateway): State<Accepting>, bytes: Bytes) -> Vec<u8> {
    let Some(frame) = Frame::read(&bytes) else {
        show("a frame is damaged");
        return Vec::new();
    };
    let Frame { device, number, data, .. } = frame;
    match gateway.turn(&frame) {
        Turn::Before | Turn::Later => gateway.acknowledge(device),
        Turn::Now if !lock(&gateway.rescued.0).is_empty() => {
            // What was accepted earlier goes first. The device will ask again.
            gateway.acknowledge(device)
        }
        Turn::Now => {
            let reading = message(device, number, data);
            if gateway.uplink.send(READING, &reading).await.is_ok() {
                let mut next = lock(&gateway.next);
                let known = next.entry(device).or_default();
                *known = number.saturating_add(1).max(*known);
            }
            gateway.acknowledge(device)
        }
    }
}

fn routes(gateway: Accepting) -> Result<Routes<impl Hook + use<>>, BuildError> {
    // Frames have no number that a router could go by: all of them are for route 0.
    Router::new().state(gateway).route(0u32, accept).build()
}

impl Rescued {
    /// Sends as much as there is room for; the rest when there is more.
    fn send(&self, peer: &mut Peer<'_>) {
        let mut waiting = lock(&self.0);
        while let Some((route, payload)) = waiting.front() {
            if peer.send(*route, payload).is_err() {
                return;
            }
            waiting.pop_front();
        }
    }
}

/// The client's side of the uplink.
fn uplink(rescued: Rescued) -> impl FnMut(&mut Peer<'_>, Incoming<'_>) + Send + 'static {
    move |peer, event| match event {
        Incoming::Opened | Incoming::Writable => rescued.send(peer),
        Incoming::Disconnected { cause, .. } => {
            show(format_args!("the uplink is cut: {cause}"));
        }
        Incoming::Resumed { .. } => show("the uplink is back"),
        Incoming::Lost { code, undelivered, .. } => {
            // What may have arrived goes again, too: the plant knows readings by their numbers.
            let again = undelivered.unknown().chain(undelivered.missing());
            let again: Vec<_> = again.map(|(route, it)| (route, it.to_vec())).collect();
            show(format_args!("the session is lost ({code}); {} go again", again.len()));
            lock(&rescued.0).extend(again);
        }
        _ => {}
    }
}

/// A gateway that runs.
#[derive(Debug)]
#[must_use = "dropped, it goes on and cannot be shut down"]
pub struct Gateway {
    /// The listener of devices.
    pub devices: Running<PlainServerHandle>,
    uplink: Handle,
}

impl Serve {
    /// Starts it in tasks of a runtime.
    ///
    /// # Errors
    ///
    /// If the address for devices cannot be had.
    pub async fn start<N: Net>(&self, net: &N) -> Result<Gateway, Failure> {
        let rescued = Rescued::default();
        let usual = DialerConfig::default();
        let backoff_cap = self.patience * 1_000;
        let backoff_base = usual.backoff_base.min(backoff_cap);
        let (uplink, runner) = Client::on(net.clone())
            .address(&self.uplink)
            .reconnect(DialerConfig { backoff_base, backoff_cap, ..usual })
            .connect(uplink(rescued.clone()))?;
        keep(net, runner);
        let accepting = Accepting { uplink: uplink.clone(), next: Arc::default(), rescued };
        let listener = Server::on(net.clone()).format(frame::format()?).bind(&self.devices).await;
        let listener = listener.map_err(|error| at(&self.devices, error))?;
        let devices = listener.start(routes(accepting)?.plain_factory())?;
        Ok(Gateway { devices, uplink })
    }
}

impl Gateway {
    /// Takes nothing more of devices, and ends when the plant has everything.
    pub async fn shutdown(self) {
        self.devices.shutdown(Duration::from_secs(1)).await;
        self.uplink.finish();
        show(self.uplink.closed().await);
    }
}

impl Program for Serve {
    async fn run<N: Net>(self, net: N) -> Result<(), Failure> {
        let gateway = self.start(&net).await?;
        println!("devices come to {}", gateway.devices.local_addr());
        asked_to_end().await?;
        gateway.shutdown().await;
        Ok(())
    }
}
