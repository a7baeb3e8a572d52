//! A device, to try the gateway with: it sends readings, and again what was not acknowledged.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use clap::Args;
use outlast_service::core::client::DialerConfig;
use outlast_service::net::{Net, PlainClient};
use outlast_service::plain::formats::Packet;
use outlast_service::plain::{PlainEvent, PlainHandle, PlainPeer};
use smol::channel::{Receiver, Sender};

use super::DEVICES;
use super::frame::{Frame, format};
use crate::runtime::{Failure, Program, keep, pause, show};

/// What a device can be told.
#[derive(Debug, Clone, Args)]
pub struct Device {
    /// Its number
    #[arg(long, default_value_t = 1)]
    pub number: u16,
    /// The gateway
    #[arg(long, value_name = "ADDR", default_value = DEVICES)]
    pub gateway: String,
    /// How many readings
    #[arg(long, default_value_t = 10)]
    pub readings: u32,
    /// Longest pause between two attempts to reach the gateway, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 10_000,
          value_parser = clap::value_parser!(u64).range(1..=86_400_000))]
    pub patience: u64,
}

/// Readings that may be under way without an acknowledgement.
const WINDOW: u32 = 32;

/// So long without an acknowledgement, and what was not acknowledged goes again.
const AGAIN: Duration = Duration::from_millis(200);

/// What woke the device up.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
enum Woken {
    /// More is acknowledged.
    Acknowledged,
    /// The connection is gone, or nothing was heard for too long: go back.
    Back,
}

impl Device {
    /// What is read: a temperature that comes and goes.
    fn reading(number: u32) -> String {
        format!("{:.2}", 20.0 + f64::from(number % 100) / 20.0)
    }

    /// The side of the connection that hears.
    fn handler(
        &self,
        acknowledged: Arc<AtomicU32>,
        wake: Sender<Woken>,
    ) -> impl FnMut(&mut PlainPeer<'_>, PlainEvent<'_>) + Send + 'static {
        let own = self.number;
        move |_, event| {
            let woken = match event {
                PlainEvent::Packet(packet) => match Frame::read(&packet.payload) {
                    Some(Frame { device, number, .. }) if device == own => {
                        let before = acknowledged.fetch_max(number + 1, Ordering::SeqCst);
                        (before <= number).then_some(Woken::Acknowledged)
                    }
                    Some(_) | None => None,
                },
                PlainEvent::Closed(_) => Some(Woken::Back),
                _ => None,
            };
            if let Some(woken) = woken {
                // A full channel has woken the device already, and there is always the time.
                let _ = wake.try_send(woken);
            }
        }
    }

    /// Sends until everything is acknowledged.
    async fn talk<N: Net>(
        &self,
        net: &N,
        handle: &PlainHandle,
        acknowledged: &AtomicU32,
        woken: &Receiver<Woken>,
    ) -> Result<(), Failure> {
        let mut next = 0;
        loop {
            let done = acknowledged.load(Ordering::SeqCst);
            if done >= self.readings {
                return Ok(());
            }
            if !handle.connected().await {
                return Err("there is no gateway any more".into());
            }
            next = next.max(done);
            while next < self.readings.min(done + WINDOW) {
                let data = Self::reading(next);
                // Others may be acknowledged meanwhile; they were not when this was sent.
                let open = u8::try_from(next - done).unwrap_or(u8::MAX);
                let (device, number, data) = (self.number, next, data.as_bytes());
                let frame = Frame { device, number, open, data };
                if handle.send(&Packet::plain(&frame.to_bytes())).await.is_err() {
                    break;
                }
                next += 1;
            }
            let waited = async {
                pause(net, AGAIN).await;
                Ok(Woken::Back)
            };
            if smol::future::or(woken.recv(), waited).await? == Woken::Back {
                next = acknowledged.load(Ordering::SeqCst);
            }
        }
    }
}

impl Program for Device {
    async fn run<N: Net>(self, net: N) -> Result<(), Failure> {
        let acknowledged = Arc::new(AtomicU32::new(0));
        let (wake, woken) = smol::channel::bounded(64);
        let usual = DialerConfig::default();
        let backoff_cap = self.patience * 1_000;
        let backoff_base = usual.backoff_base.min(backoff_cap);
        let (handle, runner) = PlainClient::on(net.clone(), format()?)
            .address(&self.gateway)
            .reconnect(DialerConfig { backoff_base, backoff_cap, ..usual })
            .connect(self.handler(Arc::clone(&acknowledged), wake))?;
        keep(&net, runner);
        self.talk(&net, &handle, &acknowledged, &woken).await?;
        handle.finish();
        handle.closed().await;
        show(format_args!("device {}: all {} are accepted", self.number, self.readings));
        Ok(())
    }
}
