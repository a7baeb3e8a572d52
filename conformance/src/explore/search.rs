//! The searches: what may happen in each, and within which bounds.

use outlast_core::{Config, Release};

use super::{Explorer, Faults, Outcome, Search};
use crate::model::{Plan, Wrong};
use crate::world::{Action, Rules, Store, World};

/// A configuration so small that everything about it can be tried.
const TINY: Config = Config {
    max_body: 60,
    max_message: 60,
    window: 64,
    window_max: 64,
    send_buffer: 64,
    max_requests: 0,
    max_requests_out: 0,
    idle_timeout_ms: 0,
    ack_delay_ms: 0,
    ..Config::SERVER
};

/// Messages of 28 bytes, so that two frames fill a window of 64. The seeds above give short routes.
const fn plan(seed: u64, items: u32) -> Plan {
    Plan { seed, items, shortest: 28, longest: 28, ..Plan::SILENT }
}

const NO_FAULTS: Faults =
    Faults { cuts: 0, abandons: 0, crashes: 0, copies: 0, expiries: 0, rotations: 0 };

impl Search {
    const fn of(name: &'static str, items: u32) -> Self {
        Self {
            name,
            rules: Rules {
                client: TINY,
                server: TINY,
                up: plan(4, items),
                down: plan(9, items),
                capacity: usize::MAX,
                store: Store::Nothing,
                may_lose: false,
            },
            faults: NO_FAULTS,
            most: 20_000_000,
        }
    }

    /// Every search there is, the quick ones first.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let manual = Config { release: Release::Manual, ..TINY };
        let mut finish = Self::of("finish", 1);
        finish.rules.up.finishes = true;
        finish.rules.down.finishes = true;
        finish.faults = Faults { cuts: 2, ..NO_FAULTS };
        let mut credit = Self::of("credit", 3);
        credit.faults = Faults { cuts: 1, ..NO_FAULTS };
        let mut expire = Self::of("expire", 2);
        expire.rules.may_lose = true;
        expire.faults = Faults { cuts: 1, expiries: 1, ..NO_FAULTS };
        // More can be kept for sending than a window takes, so that a reconnect could overfill it.
        let mut release = Self::of("release", 2);
        release.rules.up.items = 3;
        release.rules.client = Config { send_buffer: 128, ..manual };
        release.rules.server = manual;
        release.faults = Faults { cuts: 1, ..NO_FAULTS };
        let mut durable = Self::of("durable", 2);
        durable.rules.server = manual;
        durable.rules.store = Store::Durable;
        durable.faults = Faults { crashes: 1, cuts: 1, ..NO_FAULTS };
        let mut rollback = Self::of("rollback", 2);
        rollback.rules.store = Store::Old;
        rollback.rules.may_lose = true;
        rollback.faults = Faults { crashes: 1, copies: 1, ..NO_FAULTS };
        let mut rotate = Self::of("rotate", 1);
        rotate.faults = Faults { cuts: 2, rotations: 1, ..NO_FAULTS };
        let mut takeover = Self::of("takeover", 2);
        takeover.faults = Faults { cuts: 2, abandons: 1, ..NO_FAULTS };
        vec![finish, credit, expire, release, rotate, durable, rollback, takeover]
    }

    /// The search with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::all().into_iter().find(|search| search.name == name)
    }

    /// Searches.
    #[must_use]
    pub fn run(&self) -> Outcome {
        Explorer::new(self).run()
    }

    /// Takes the steps of a trace again; the world they lead to, or what is wrong on the way.
    ///
    /// # Errors
    ///
    /// What is wrong after the last step.
    pub fn replay(&self, trace: &[Action]) -> Result<World, Wrong> {
        let mut world = World::new(&self.rules)?;
        for action in trace {
            world.step(&self.rules, *action)?;
        }
        Ok(world)
    }
}
