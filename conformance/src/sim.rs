//! Long histories from one number.
//!
//! A seed draws everything: both configurations, what is said, where positions start, and how
//! often each fault happens (often not at all, so that rare combinations occur in pure form). A
//! history has two phases. In the first one faults happen; nothing may be lost, repeated or
//! reordered. Then all faults are healed, and within bounded virtual time everything must have
//! arrived and been acknowledged, and both ends must be quiet.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use outlast_core::{Config, Instant, Release};

use crate::model::{Plan, Wrong};
use crate::rng::Rng;
use crate::world::{Action, Party, Rules, Seen, Store, World};

/// Virtual time that healing may take, in microseconds.
const PATIENCE: u64 = 600_000_000;

/// How often each fault happens, in a thousand steps.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash, Default)]
pub struct Rates {
    /// A connection breaks.
    pub cut: u64,
    /// The client dials although its connection is up.
    pub abandon: u64,
    /// One direction of a connection stops, or goes on.
    pub stall: u64,
    /// One direction of a connection goes nowhere from now on.
    pub black: u64,
    /// The server crashes and restarts.
    pub crash: u64,
    /// The server replaces the session's key.
    pub rotate: u64,
    /// The server announces that it will leave.
    pub drain: u64,
    /// A long time passes in which nobody does anything.
    pub pause: u64,
}

impl Rates {
    /// Half of all faults never happen; a server that stores may crash.
    fn draw(rng: &mut Rng, durable: bool) -> Self {
        let mut rate = |most: u64| {
            if rng.chance(500) { 0 } else { rng.range(1, most) }
        };
        let (cut, abandon, stall, black) = (rate(30), rate(15), rate(20), rate(5));
        let crash = if durable { rate(10) } else { 0 };
        let rotate = if durable { 0 } else { rate(10) };
        Self { cut, abandon, stall, black, crash, rotate, drain: rate(5), pause: rate(5) }
    }
}

/// One history: what a seed has drawn.
#[derive(Debug, Clone)]
pub struct History {
    /// The seed.
    pub seed: u64,
    /// Both ends.
    pub rules: Rules,
    /// What goes wrong.
    pub rates: Rates,
    /// Where positions start: client to server, server to client.
    pub start: (u64, u64),
    /// Steps of the first phase.
    pub steps: u32,
    /// Largest number of bytes written or read at a time.
    pub grain: u64,
    /// Largest pause between steps, in microseconds.
    pub pace: u64,
}

/// What a history came to.
#[derive(Debug, Copy, Clone)]
pub struct Report {
    /// Items delivered, both directions.
    pub items: u32,
    /// Requests answered.
    pub answers: u32,
    /// Connections opened.
    pub dials: u32,
    /// What happened on the way.
    pub seen: Seen,
    /// A number that two runs of one seed have in common.
    pub digest: u64,
}

/// A history that went wrong.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The seed to replay it from.
    pub seed: u64,
    /// The step at which it was noticed.
    pub step: u32,
    /// Whether faults had been healed: then it is about progress.
    pub healed: bool,
    /// What is wrong.
    pub wrong: Wrong,
    /// The last actions, latest last.
    pub tail: Vec<Action>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, step, healed, wrong, tail } = self;
        let phase = if *healed { "after healing" } else { "under faults" };
        writeln!(f, "seed {seed}, step {step}, {phase}: {wrong}; the last actions:")?;
        tail.iter().try_for_each(|action| writeln!(f, "  {action:?}"))
    }
}

impl std::error::Error for Failure {}

/// Runs the history of one seed.
///
/// # Errors
///
/// What went wrong, with the seed.
pub fn run(seed: u64) -> Result<Report, Box<Failure>> {
    History::draw(seed).run()
}

/// Seeds that the environment asks for: `OUTLAST_SEEDS` says how many (or `default`), and
/// `OUTLAST_SEED` names a single one to replay.
#[must_use]
pub fn seeds(default: u64) -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match number("OUTLAST_SEED") {
        Some(seed) => seed..seed + 1,
        None => 1..1 + number("OUTLAST_SEEDS").unwrap_or(default),
    }
}

impl History {
    /// What a seed stands for.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let durable = rng.chance(150);
        let (client, mut server) = (draw_config(&mut rng), draw_config(&mut rng));
        if durable {
            server.release = Release::Manual;
        }
        let longest = |config: &Config, rng: &mut Rng| match rng.below(3) {
            0 => 20,
            1 => u64::from(config.max_body) - 8,
            _ => u64::from(config.max_message),
        };
        let requests = if durable { 0 } else { (rng.below(4) * 20) as u8 };
        // A restored session knows nothing of fragments and requests that were not released.
        let up_longest = if durable { 40 } else { longest(&server, &mut rng) };
        let down_longest = if durable { 40 } else { longest(&client, &mut rng) };
        let finishes = rng.chance(500);
        let plan = |seed, longest, longest_answer, rng: &mut Rng| Plan {
            seed,
            items: rng.below(120) as u32,
            shortest: rng.below(9) as u32,
            longest: longest as u32,
            longest_answer,
            requests,
            finishes,
        };
        let up = plan(rng.next(), up_longest, client.max_message, &mut rng);
        let down = plan(rng.next(), down_longest, server.max_message, &mut rng);
        let rates = Rates::draw(&mut rng, durable);
        let capacity = [usize::MAX, 16, 300, 5000][rng.below(4) as usize];
        let rules = Rules {
            client,
            server,
            up,
            down,
            capacity,
            store: if durable { Store::Durable } else { Store::Nothing },
            may_lose: false,
        };
        let start = (draw_start(&mut rng), draw_start(&mut rng));
        let grain = [1, 8, 100, 3000][rng.below(4) as usize];
        let pace = [0, 100, 5_000, 50_000][rng.below(4) as usize];
        Self { seed, rules, rates, start, steps: 1500, grain, pace }
    }

    /// Runs the history.
    ///
    /// # Errors
    ///
    /// What went wrong.
    pub fn run(&self) -> Result<Report, Box<Failure>> {
        let mut player = Player {
            history: self,
            rng: Rng::new(!self.seed),
            digest: DefaultHasher::new(),
            tail: Vec::new(),
            step: 0,
            healed: false,
        };
        player.play().map_err(|wrong| {
            let Player { step, healed, tail, .. } = player;
            let seed = self.seed;
            Box::new(Failure { seed, step, healed, wrong, tail })
        })
    }
}

fn draw_config(rng: &mut Rng) -> Config {
    let max_body = rng.range(60, 400) as u16;
    let window = rng.range(u64::from(max_body) + 4, 2000) as u32;
    Config {
        max_body,
        max_message: u32::from(max_body) + rng.below(3000) as u32,
        window,
        window_max: window * [1, 1, 4][rng.below(3) as usize],
        // Room for the least frame and for the bits of requests.
        send_buffer: rng.range(72, 3000) as u32,
        max_requests: rng.range(1, 10) as u16,
        max_requests_out: rng.range(1, 20) as u16,
        idle_timeout_ms: [0, 300, 3_000, 45_000][rng.below(4) as usize],
        heartbeat_min_ms: [0, 100][rng.below(2) as usize],
        ack_delay_ms: [0, 1, 25, 200][rng.below(4) as usize],
        // Nobody is to run out of time here, however long the pauses.
        retention_s: 100_000_000,
        linger_ms: [0, 50, 2_000][rng.below(3) as usize],
        release: if rng.chance(250) { Release::Manual } else { Release::Automatic },
        ..Config::SERVER
    }
}

/// Nothing may change where a number of 32 or 63 bits would overflow.
fn draw_start(rng: &mut Rng) -> u64 {
    match rng.below(6) {
        0 => (1 << 32) - rng.below(3000),
        1 => (1 << 31) - rng.below(3000),
        2 => (1 << 63) - rng.below(3000),
        3 => rng.next() >> 1,
        _ => 0,
    }
}

struct Player<'h> {
    history: &'h History,
    rng: Rng,
    digest: DefaultHasher,
    tail: Vec<Action>,
    step: u32,
    healed: bool,
}

impl Player<'_> {
    fn play(&mut self) -> Result<Report, Wrong> {
        let history = self.history;
        let (up, down) = history.start;
        let mut world = if up | down == 0 && history.rules.store == Store::Nothing {
            World::new(&history.rules)?
        } else {
            World::established(&history.rules, up, down)?
        };
        while self.step < history.steps {
            let action = self.choose(&world);
            self.take(&mut world, action)?;
        }
        self.heal(&mut world)?;
        let answers = world.client.app.answered;
        let server = world.served().map(|served| &served.end.app);
        let (items, more) = server.map_or((0, 0), |app| (app.got, app.answered));
        (world.client.app.got, items, world.dials, world.now.as_micros()).hash(&mut self.digest);
        Ok(Report {
            items: items + world.client.app.got,
            answers: answers + more,
            dials: world.dials,
            seen: world.seen,
            digest: self.digest.finish(),
        })
    }

    fn take(&mut self, world: &mut World, action: Action) -> Result<(), Wrong> {
        self.step += 1;
        if self.tail.len() >= 40 {
            self.tail.remove(0);
        }
        self.tail.push(action);
        action.hash(&mut self.digest);
        world.step(&self.history.rules, action)?;
        world.client.app.disconnected.clear();
        Ok(())
    }

    /// What happens next, with all the faults of this history.
    fn choose(&mut self, world: &World) -> Action {
        let rates = self.history.rates;
        let wire = world.wires.get(self.rng.below(world.wires.len() as u64) as usize);
        let from = if self.rng.chance(500) { Party::Client } else { Party::Server };
        let mut dice = self.rng.below(1000);
        let mut falls = |rate: u64| {
            let hit = dice < rate;
            dice = if hit { u64::MAX } else { dice - rate };
            hit
        };
        if let Some(wire) = wire {
            let id = wire.id;
            if falls(rates.cut) {
                let up = self.rng.range(0, wire.up.len() as u64) as usize;
                let down = self.rng.range(0, wire.down.len() as u64) as usize;
                return Action::Cut { wire: id, up, down };
            }
            if falls(rates.stall) {
                return Action::Stall { wire: id, from, on: self.rng.chance(500) };
            }
            if falls(rates.black) {
                return Action::Blacken { wire: id, from };
            }
        }
        if falls(rates.abandon) {
            return Action::Dial;
        }
        if falls(rates.crash) {
            return Action::Crash;
        }
        if falls(rates.rotate) {
            return Action::Rotate;
        }
        if falls(rates.drain) {
            return Action::Drain;
        }
        if falls(rates.pause) {
            return Action::Elapse(self.rng.below(200_000_000));
        }
        self.choose_harmless(world)
    }

    /// What happens next in a world without faults, though in any order and grain.
    fn choose_harmless(&mut self, world: &World) -> Action {
        let grain = self.history.grain;
        if self.rng.chance(200) {
            return Action::Elapse(self.rng.below(self.history.pace + 1));
        }
        let mut moves = Vec::new();
        world.moves(&self.history.rules, &mut moves);
        match self.rng.pick(&moves) {
            None => Action::Elapse(self.rng.below(20_000)),
            Some(Action::Write { wire, by, .. }) => {
                let buffer =
                    [0, 96, 100 + self.rng.below(2000) as usize][self.rng.below(3) as usize];
                Action::Write { wire, by, buffer, take: self.rng.range(1, grain) as usize }
            }
            Some(Action::Read { wire, by, .. }) => {
                Action::Read { wire, by, most: self.rng.range(1, grain) as usize }
            }
            // Dialling takes its time.
            Some(Action::Dial) if self.rng.chance(700) => Action::Elapse(self.rng.below(20_000)),
            Some(other) => other,
        }
    }

    /// No more faults: everything has to arrive, and then it has to be quiet.
    fn heal(&mut self, world: &mut World) -> Result<(), Wrong> {
        self.healed = true;
        let rules = &self.history.rules;
        let wires: Vec<_> = world
            .wires
            .iter()
            .map(|wire| (wire.id, wire.up.is_black(), wire.down.is_black()))
            .collect();
        for (wire, up, down) in wires {
            for from in Party::BOTH {
                self.take(world, Action::Stall { wire, from, on: false })?;
            }
            if up || down {
                self.take(world, Action::Cut { wire, up: 0, down: 0 })?;
            }
        }
        let deadline = world.now.after(PATIENCE);
        let mut moves = Vec::new();
        loop {
            moves.clear();
            world.moves(rules, &mut moves);
            let before = world.now;
            let mut moved = false;
            for action in moves.clone() {
                self.take(world, action)?;
                moved = true;
            }
            if world.is_complete(rules) && world.is_settled() {
                return self.stay_quiet(world);
            }
            let next = self.next_deadline(world);
            if !moved || before == world.now {
                let wait = next.saturating_sub(world.now.as_micros()).clamp(1, 50_000);
                self.take(world, Action::Elapse(if moved { 500 } else { wait }))?;
            }
            if world.now > deadline {
                return Err(Wrong(format!("no completion: {}", describe(world))));
            }
        }
    }

    fn next_deadline(&self, world: &World) -> u64 {
        let client = world.client.session.poll_timeout();
        let servers = world.desk.sessions.iter().filter_map(|s| s.end.session.poll_timeout());
        let first = client.into_iter().chain(servers).min();
        first.map_or(u64::MAX, Instant::as_micros)
    }

    /// Ten minutes later nothing but signs of life may have been transmitted.
    fn stay_quiet(&mut self, world: &mut World) -> Result<(), Wrong> {
        let rules = &self.history.rules;
        let mut moves = Vec::new();
        let transmitted = world.client.session.transmitted();
        for _ in 0..200 {
            world.moves(rules, &mut moves);
            for action in moves.drain(..) {
                self.take(world, action)?;
            }
            self.take(world, Action::Elapse(50_000))?;
        }
        if world.client.session.transmitted() != transmitted || !world.is_complete(rules) {
            return Err(Wrong(format!("not quiet: {}", describe(world))));
        }
        Ok(())
    }
}

fn describe(world: &World) -> String {
    let end = |end: &crate::world::End| {
        let (session, app) = (&end.session, &end.app);
        format!(
            "{:?} {:?}: sent {} got {} taken {} open {} to answer {} answered {} \
             unacknowledged {} {:?}",
            session.state(),
            session.link_state(),
            app.sent,
            app.got,
            app.taken,
            app.open.len(),
            app.to_answer.len(),
            app.answered,
            session.unacknowledged(),
            app.over,
        )
    };
    let server = world.served().map(|served| end(&served.end));
    format!("client {}; server {server:?}", end(&world.client))
}
