//! Fan-out: one connection publishes, all of them receive.

use core::time::Duration;
use std::collections::VecDeque;
use std::io;
use std::time::Instant;

use super::engine::Engine;
use super::template::Template;
use super::{PATIENCE, Tally, stalled};

/// Rounds that may miss somebody before the load is given up.
const ROLL_CALLS: usize = 20;
/// A round that brought nothing for so long brings no more.
const ROUND_OVER: Duration = Duration::from_millis(300);

/// Publishes until a round reaches every link: a server may accept a connection, or make it a
/// member, well after the connection is there.
pub(super) fn roll_call(engine: &mut Engine, template: &Template) -> io::Result<()> {
    for link in &mut engine.links {
        link.expect(template, 1)?;
    }
    for _ in 0..ROLL_CALLS {
        let mut present = 0;
        let mut last = Instant::now();
        publish(engine, template, 1, &mut VecDeque::new())?;
        while present < engine.links.len() && last.elapsed() < ROUND_OVER {
            let moved = engine.pump(Duration::from_millis(20), |_, _, arrived| {
                present += arrived.replies as usize;
            })?;
            if moved {
                last = Instant::now();
            }
        }
        if present == engine.links.len() {
            return Ok(());
        }
    }
    Err(stalled("fan-out to every connection"))
}

/// Publishes on the first link, `window` rounds under way; a round is over once every link has
/// received it.
///
/// The generator never sleeps meanwhile. On one machine the server's core wakes a receiver that
/// does, at each of its writes; a server that is faster than the receivers is spared that, and so
/// who is a little slower would be charged a wake-up for each write besides. Receivers elsewhere
/// cost the server nothing of the kind.
pub(super) fn drive(
    engine: &mut Engine,
    template: &Template,
    window: usize,
    duration: Duration,
) -> io::Result<Tally> {
    let begin = Instant::now();
    let everybody = engine.hearing();
    for link in &mut engine.links {
        link.expect(template, 1)?;
    }
    let mut tally = Tally::default();
    // How many links have received each round that is not over, and what each link has seen.
    let mut rounds: VecDeque<usize> = VecDeque::with_capacity(window);
    let mut first_open = 0usize;
    let mut seen = vec![0usize; engine.links.len()];
    publish(engine, template, window, &mut rounds)?;
    let mut last = begin;
    while !rounds.is_empty() {
        let moved = engine.pump(Duration::ZERO, |index, _, arrived| {
            tally.messages += u64::from(arrived.replies);
            for _ in 0..arrived.replies {
                if let Some(count) = rounds.get_mut(seen[index] - first_open) {
                    *count += 1;
                }
                seen[index] += 1;
            }
        })?;
        let mut over = 0;
        while rounds.front() == Some(&everybody) {
            rounds.pop_front();
            over += 1;
        }
        first_open += over;
        let now = Instant::now();
        if over > 0 && now - begin < duration {
            publish(engine, template, over, &mut rounds)?;
        }
        if moved {
            last = now;
        } else if now - last > PATIENCE {
            return Err(stalled("fan-out"));
        }
    }
    tally.wall = begin.elapsed();
    Ok(tally)
}

fn publish(
    engine: &mut Engine,
    template: &Template,
    count: usize,
    rounds: &mut VecDeque<usize>,
) -> io::Result<()> {
    rounds.extend(core::iter::repeat_n(0, count));
    let Some(publisher) = engine.links.first_mut() else {
        return Ok(());
    };
    publisher.queue(template, count);
    publisher.flush()?;
    publisher.adjust(&engine.epoll, 0)
}
