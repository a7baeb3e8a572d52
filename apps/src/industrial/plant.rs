//! Who wants to know the readings: a server of sessions, one for each gateway.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clap::Args;
use outlast_service::net::{Net, Running, Server};
use outlast_service::{Incoming, Peer, SessionInfo};

use super::{PLANT, READING};
use crate::runtime::{Failure, Program, asked_to_end, at, lock, show};

/// What the plant can be told.
#[derive(Debug, Clone, Args)]
pub struct Serve {
    /// Where gateways come
    #[arg(long, value_name = "ADDR", default_value = PLANT)]
    pub listen: String,
}

/// Which reading of each device is next, and how many came. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Ledger(Arc<Mutex<BTreeMap<u16, Entry>>>);

#[derive(Debug, Default)]
struct Entry {
    next: Option<u32>,
    /// What was left out before it, and may still come.
    missing: BTreeSet<u32>,
    count: u64,
}

/// Missing readings of one device that are remembered.
const MISSING: usize = 1_000;

/// What a reading is to the ledger.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum Reading {
    /// The next one, or the first; or one that was missing.
    New,
    /// It was there before: its gateway could not know that it had arrived.
    Known,
    /// Behind a gap of so many.
    Gap(u32),
}

impl Ledger {
    /// Writes a reading down.
    #[must_use]
    pub fn enter(&self, device: u16, number: u32) -> Reading {
        let mut entries = lock(&self.0);
        let entry = entries.entry(device).or_default();
        let next = entry.next.unwrap_or(number);
        if number < next && !entry.missing.remove(&number) {
            return Reading::Known;
        }
        entry.count += 1;
        if number <= next {
            entry.next = Some(next.max(number.saturating_add(1)));
            return Reading::New;
        }
        let room = MISSING.saturating_sub(entry.missing.len());
        entry.missing.extend((next..number).take(room));
        entry.next = Some(number.saturating_add(1));
        Reading::Gap(number - next)
    }

    /// How many readings of each device there are.
    #[must_use]
    pub fn counts(&self) -> Vec<(u16, u64)> {
        lock(&self.0).iter().map(|(device, entry)| (*device, entry.count)).collect()
    }
}

/// The message that carries a reading: device, number, data.
#[must_use]
pub fn message(device: u16, number: u32, data: &[u8]) -> Vec<u8> {
    [&device.to_be_bytes()[..], &number.to_be_bytes(), data].concat()
}

fn read(message: &[u8]) -> Option<(u16, u32, &[u8])> {
    let (device, rest) = message.split_first_chunk()?;
    let (number, data) = rest.split_first_chunk()?;
    Some((u16::from_be_bytes(*device), u32::from_be_bytes(*number), data))
}

impl Serve {
    /// Starts it in tasks of a runtime.
    ///
    /// # Errors
    ///
    /// If the address cannot be had.
    pub async fn start<N: Net>(&self, net: &N) -> Result<(Running, Ledger), Failure> {
        let ledger = Ledger::default();
        let entries = ledger.clone();
        let server = Server::on(net.clone()).bind(&self.listen).await;
        let server = server.map_err(|error| at(&self.listen, error))?;
        let running = server.start(move |_: &SessionInfo| {
            let ledger = entries.clone();
            move |peer: &mut Peer<'_>, event: Incoming<'_>| match event {
                Incoming::Message { route, payload } if route == READING.into() => {
                    take(&ledger, payload);
                }
                Incoming::Finished => peer.finish(),
                _ => {}
            }
        })?;
        Ok((running, ledger))
    }
}

/// When this returns, the reading counts as taken, and the gateway forgets it.
fn take(ledger: &Ledger, payload: &[u8]) {
    let Some((device, number, data)) = read(payload) else {
        return;
    };
    match ledger.enter(device, number) {
        Reading::New => {}
        Reading::Known => return,
        Reading::Gap(missing) => show(format_args!("device {device}: {missing} are missing")),
    }
    show(format_args!("device {device} reading {number}: {}", String::from_utf8_lossy(data)));
}

impl Program for Serve {
    async fn run<N: Net>(self, net: N) -> Result<(), Failure> {
        let (running, _) = self.start(&net).await?;
        println!("the plant is on {}", running.local_addr());
        asked_to_end().await?;
        running.shutdown(Duration::from_secs(1)).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reading_counts_once() {
        let ledger = Ledger::default();
        let numbers = [5, 6, 6, 5, 9, 7, 7, 8, 10, 4, 9];
        let taken = numbers.map(|number| ledger.enter(3, number));
        use Reading::{Gap, Known, New};
        assert_eq!(taken, [New, New, Known, Known, Gap(2), New, Known, New, New, Known, Known]);
        assert_eq!(ledger.enter(4, 0), New, "each device by itself");
        assert_eq!(ledger.counts(), [(3, 6), (4, 1)]);
    }

    #[test]
    fn readings_come_as_they_were_sent() {
        assert_eq!(read(&message(7, 9, b"20.5")), Some((7, 9, &b"20.5"[..])));
        assert_eq!(read(b"short"), None);
    }
}
