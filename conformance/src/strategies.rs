//! Histories for property tests: parts drawn one by one, so that a failure can be made smaller.

use outlast_core::{Config, Release};
use proptest::prelude::*;

use crate::model::Plan;
use crate::sim::{History, Rates};
use crate::world::{Rules, Store};

/// A configuration that every other one fits to.
pub fn config() -> impl Strategy<Value = Config> {
    let sizes = (60u16..400, 0u32..2_000, 72u32..3_000);
    let times = (prop::sample::select(vec![0u32, 300, 3_000]), 0u32..200);
    (sizes, times, 1u16..10, any::<bool>()).prop_map(|(sizes, times, requests, manual)| {
        let (max_body, more, send_buffer) = sizes;
        let window = u32::from(max_body) + 4 + more;
        Config {
            max_body,
            max_message: u32::from(max_body) + 2_000,
            window,
            window_max: window * 2,
            send_buffer,
            max_requests: requests,
            max_requests_out: 10,
            idle_timeout_ms: times.0,
            ack_delay_ms: times.1,
            retention_s: 100_000_000,
            release: if manual { Release::Manual } else { Release::Automatic },
            ..Config::SERVER
        }
    })
}

/// What one end says.
pub fn plan() -> impl Strategy<Value = Plan> {
    (any::<u64>(), 0u32..60, 0u32..9, 9u32..2_000, 0u8..80, any::<bool>()).prop_map(
        |(seed, items, shortest, longest, requests, finishes)| Plan {
            seed,
            items,
            shortest,
            longest,
            longest_answer: longest,
            requests,
            finishes,
        },
    )
}

/// How often what goes wrong.
pub fn rates() -> impl Strategy<Value = Rates> {
    (0u64..30, 0u64..15, 0u64..20, 0u64..5, 0u64..10, 0u64..5, 0u64..5).prop_map(
        |(cut, abandon, stall, black, rotate, drain, pause)| Rates {
            cut,
            abandon,
            stall,
            black,
            crash: 0,
            rotate,
            drain,
            pause,
        },
    )
}

/// A whole history without crashes.
pub fn history() -> impl Strategy<Value = History> {
    let ends = (config(), config(), plan(), plan());
    let start = (any::<u64>(), any::<u64>()).prop_map(|(up, down)| (up >> 1, down >> 1));
    let pace = (1u64..3_000, 0u64..50_000, 17usize..5_000);
    (any::<u64>(), ends, rates(), start, 0u32..1_500, pace).prop_map(
        |(seed, (client, server, up, mut down), rates, start, steps, pace)| {
            let (grain, pace, capacity) = pace;
            down.finishes = up.finishes;
            let rules = Rules {
                client,
                server,
                up: Plan { longest: up.longest.min(server.max_message), ..up },
                down: Plan { longest: down.longest.min(client.max_message), ..down },
                capacity,
                store: Store::Nothing,
                may_lose: false,
            };
            History { seed, rules, rates, start, steps, grain, pace }
        },
    )
}
