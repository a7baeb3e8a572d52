//! Devices with a framing of their own, and a gateway that forwards what they say over a session.
//!
//! ```text
//!   device ── frames with CRC ──> gateway ── one session ──> plant
//!          <── acknowledgements ──
//! ```
//!
//! The gateway acknowledges a reading when the session has it. From then on it arrives: the
//! session outlasts every break of the uplink, and should it be lost as a whole, what is not known
//! to have arrived is sent again in the next one, ahead of everything new. A device sends again
//! whatever was not acknowledged, so that a cut on its side costs nothing either. Numbers of
//! readings make that no reading counts twice.
//!
//! | part | where |
//! |---|---|
//! | the frames of the devices | [`frame`] |
//! | the gateway | [`gateway`] |
//! | who wants to know the readings | [`plant`] |
//! | a device, to try it with | [`device`] |

pub mod device;
pub mod frame;
pub mod gateway;
pub mod plant;

use clap::Args;
use outlast_service::net::Net;

use crate::runtime::{Failure, Program};

/// The number of messages that are readings.
pub const READING: u8 = 1;

/// Where the plant is, unless it is said otherwise.
pub const PLANT: &str = "127.0.0.1:7440";

/// Where devices come, unless it is said otherwise.
pub const DEVICES: &str = "127.0.0.1:7441";

/// Plant, gateway and some devices in one process: what there is to see in a second.
#[derive(Debug, Clone, Args)]
pub struct All {
    /// How many devices
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub devices: u16,
    /// How many readings of each
    #[arg(long, default_value_t = 5)]
    pub readings: u32,
}

impl Program for All {
    async fn run<N: Net>(self, net: N) -> Result<(), Failure> {
        let anywhere = || "127.0.0.1:0".to_owned();
        let plant = plant::Serve { listen: anywhere() };
        let (plant, ledger) = plant.start(&net).await?;
        let uplink = plant.local_addr().to_string();
        let gateway = gateway::Serve { devices: anywhere(), uplink, patience: 1_000 };
        let gateway = gateway.start(&net).await?;
        let at = gateway.devices.local_addr().to_string();
        for number in 1..=self.devices {
            let device = device::Device {
                number,
                gateway: at.clone(),
                readings: self.readings,
                patience: 1_000,
            };
            device.run(net.clone()).await?;
        }
        gateway.shutdown().await;
        plant.shutdown(std::time::Duration::from_secs(1)).await;
        for (device, count) in ledger.counts() {
            println!("device {device}: {count} readings are with the plant");
        }
        Ok(())
    }
}
