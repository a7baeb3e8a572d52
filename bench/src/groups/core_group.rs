//! The core in memory, without I/O: ns, allocations and (on request) instructions per message.

use core::hint::black_box;
use std::io;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use tokio_util::codec::{Decoder, Encoder, LengthDelimitedCodec};

use super::core_pair::Pair;
use super::instructions;
use crate::options::Options;
use crate::report::{Report, Table, digits};
use crate::servers::Kind;
use crate::sys;

/// Payload sizes in bytes.
const SIZES: [usize; 3] = [16, 256, 4096];
/// Bytes of payload in one round, so that a round stays in the nearest cache.
const ROUND_BYTES: usize = 16 * 1024;
const PREFIX: usize = 4;

/// What one case does to every message of a round.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// Payload to bytes that are ready to be written.
    Encode,
    /// Bytes to a delivered payload.
    Decode,
    /// Both ends, with acknowledgement and credit where there are any.
    Both,
}

impl Step {
    const fn name(self) -> &'static str {
        match self {
            Self::Encode => "encode",
            Self::Decode => "decode",
            Self::Both => "both",
        }
    }
}

/// Something measured: `round` processes a whole batch and leaves things as it found them.
pub(crate) struct Case {
    pub(crate) subject: &'static str,
    pub(crate) step: Step,
    pub(crate) round: Box<dyn FnMut()>,
}

impl Case {
    pub(crate) fn new(subject: &'static str, step: Step, round: impl FnMut() + 'static) -> Self {
        Self { subject, step, round: Box::new(round) }
    }

    /// `16.tokio-util.decode`
    fn name(&self, size: usize) -> String {
        format!("{size}.{}.{}", self.subject, self.step.name())
    }
}

/// This project's session: sending and receiving by themselves, and two ends together with
/// acknowledgement and credit.
fn outlast_cases(size: usize, batch: usize) -> Vec<Case> {
    let payload = vec![7u8; size];
    let mut pair = Pair::new();
    let frames = pair.frames(&payload, batch);
    let mut receiver = Pair::new();
    let decode = Case::new("outlast", Step::Decode, move || {
        let taken = receiver.receive(black_box(&frames));
        assert_eq!(taken, batch);
        receiver.acknowledge_unseen();
    });
    let (mut sender, bytes) = (Pair::new(), payload.clone());
    let encode = Case::new("outlast", Step::Encode, move || {
        sender.send(black_box(&bytes), batch);
        black_box(sender.transmit());
        sender.acknowledged();
    });
    let both = Case::new("outlast", Step::Both, move || {
        pair.send(black_box(&payload), batch);
        let taken = pair.deliver();
        assert_eq!(taken, batch);
    });
    vec![decode, encode, both]
}

fn cases(size: usize, batch: usize) -> Vec<Case> {
    let mut all = Vec::from(baselines(size, batch));
    all.extend(codec_cases(size, batch));
    all.extend(outlast_cases(size, batch));
    all
}

fn baselines(size: usize, batch: usize) -> [Case; 2] {
    let source = vec![1u8; size * batch];
    let mut target = vec![0u8; (size + PREFIX) * batch];
    let each = Case::new("memcpy-each", Step::Both, move || {
        let from = black_box(&source).chunks_exact(size);
        let to = black_box(&mut target).chunks_exact_mut(size + PREFIX);
        for (from, to) in from.zip(to) {
            to[PREFIX..].copy_from_slice(from);
        }
    });
    let source = vec![1u8; (size + PREFIX) * batch];
    let mut target = source.clone();
    let all = Case::new("memcpy-all", Step::Both, move || {
        black_box(&mut target).copy_from_slice(black_box(&source));
    });
    [each, all]
}

fn codec_cases(size: usize, batch: usize) -> [Case; 2] {
    let item = Bytes::from(vec![7u8; size]);
    let mut framed = BytesMut::new();
    let mut codec = LengthDelimitedCodec::new();
    for _ in 0..batch {
        // Cannot fail: the message is far below the codec's limit.
        let _ = codec.encode(item.clone(), &mut framed);
    }
    let mut output = BytesMut::with_capacity(framed.len());
    let encode = Case::new("tokio-util", Step::Encode, move || {
        output.clear();
        for _ in 0..batch {
            let _ = codec.encode(black_box(item.clone()), &mut output);
        }
        black_box(&output);
    });
    let mut codec = LengthDelimitedCodec::new();
    let decode = Case::new("tokio-util", Step::Decode, move || {
        // The refill stands for the read that a codec cannot do without.
        let mut input = BytesMut::from(black_box(&framed[..]));
        let mut count = 0;
        while let Ok(Some(message)) = codec.decode(&mut input) {
            black_box(&message[..]);
            count += 1;
        }
        assert_eq!(count, batch);
    });
    [encode, decode]
}

/// Messages in a round.
const fn batch_of(size: usize) -> usize {
    let batch = ROUND_BYTES / (size + PREFIX);
    if batch < 4 { 4 } else { batch }
}

pub(super) fn run(options: &Options, report: &mut Report) -> io::Result<()> {
    let millis = if options.quick { 60 } else { 400 };
    for size in SIZES {
        let batch = batch_of(size);
        let title = format!("core, {size}-byte messages, {batch} in a round, in memory");
        let mut table = Table::new(title, &["", "step", "ns/msg", "GB/s", "allocations/msg"]);
        let mut found = Vec::new();
        for mut case in cases(size, batch) {
            let nanos = best(millis, batch, &mut case.round);
            let allocations = sys::allocations_during(&mut case.round) as f64 / batch as f64;
            table.row(vec![
                case.subject.to_owned(),
                case.step.name().to_owned(),
                digits(nanos),
                digits(size as f64 / nanos),
                digits(allocations),
            ]);
            let name = format!("core.{}", case.name(size));
            report.ratio(format!("{name}_ns"), nanos);
            report.ratio(format!("{name}_allocations"), allocations);
            found.push((case.subject, case.step, nanos));
        }
        compare(report, size, &found);
        report.table(table);
    }
    if outlast_cases(SIZES[0], 1).is_empty() && options.wants(Kind::Outlast) {
        report.note("core: outlast is not built in, only the baselines were measured");
    }
    if options.instructions {
        let names = SIZES.into_iter().flat_map(|size| {
            let all = cases(size, batch_of(size));
            all.into_iter().map(move |case| (case.name(size), batch_of(size))).collect::<Vec<_>>()
        });
        instructions::count(&names.collect::<Vec<_>>(), report)?;
    }
    Ok(())
}

/// How many times the codec's time ours is (less is better).
fn compare(report: &mut Report, size: usize, found: &[(&str, Step, f64)]) {
    let of = |subject: &str, step: Step| {
        found.iter().find(|(s, t, _)| *s == subject && *t == step).map(|(_, _, nanos)| *nanos)
    };
    for step in [Step::Encode, Step::Decode] {
        if let (Some(ours), Some(theirs)) = (of("outlast", step), of("tokio-util", step)) {
            let name = format!("core.{size}.outlast.{}_vs_codec", step.name());
            report.ratio(name, ours / theirs);
        }
    }
}

/// The best round of `millis` worth of them, in ns per message: the machine is shared.
fn best(millis: u64, batch: usize, round: &mut dyn FnMut()) -> f64 {
    for _ in 0..10 {
        round();
    }
    let mut best = f64::MAX;
    let begin = Instant::now();
    while begin.elapsed().as_millis() < u128::from(millis) {
        let at = Instant::now();
        // Several rounds per look at the clock, which would count otherwise.
        for _ in 0..8 {
            round();
        }
        best = best.min(at.elapsed().as_secs_f64() / 8.0);
    }
    best * 1e9 / batch as f64
}

/// `bench exact NAME ROUNDS`: runs one case so often and ends, for an instruction counter.
pub(crate) fn exact(args: &[String]) -> io::Result<()> {
    let usage = || io::Error::other("usage: bench exact SIZE.SUBJECT.STEP ROUNDS");
    let [name, rounds] = args else {
        return Err(usage());
    };
    let rounds: usize = rounds.parse().map_err(io::Error::other)?;
    let size: usize = name.split('.').next().and_then(|n| n.parse().ok()).ok_or_else(usage)?;
    let mut all = cases(size, batch_of(size)).into_iter();
    let mut case = all.find(|case| case.name(size) == *name).ok_or_else(usage)?;
    for _ in 0..rounds {
        (case.round)();
    }
    Ok(())
}
