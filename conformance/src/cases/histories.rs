//! What broke real users of earlier systems, each seen in at least one of them.

use outlast_core::{CloseCode, Config};

use super::tools::{SMALL, Table, ensure, fill, open, settles};
use crate::bench::{Bench, Proxy};
use crate::driver::{Cmd, Obs, Seen, Subject};
use crate::model::Wrong;
use crate::raw::{self, Hello, kind};
use crate::rng::Rng;

type Done = Result<(), Wrong>;

/// A client and a server with a connection between them.
pub(super) struct Pair {
    pub(super) client: Box<dyn Subject>,
    pub(super) server: Box<dyn Subject>,
    pub(super) proxy: Proxy,
    pub(super) session: u64,
}

impl Pair {
    pub(super) fn join(
        bench: &mut Bench<'_>,
        client: Config,
        server: Config,
    ) -> Result<Self, Wrong> {
        let mut server = bench.driver().server(server);
        let mut client = bench.driver().client(client);
        let near = bench.plug(&mut *client)?;
        let far = bench.plug(&mut *server)?;
        let mut proxy = Proxy::new(near, far);
        let session = bench.until("a session", || {
            proxy.carry(usize::MAX, usize::MAX);
            let seen = server.poll()?;
            (seen.what == Obs::Opened).then_some(seen.session)
        })?;
        Ok(Self { client, server, proxy, session })
    }

    /// Carries everything until `done` gives something, which may take very many turns.
    fn until_all<T>(
        &mut self,
        bench: &mut Bench<'_>,
        what: &str,
        mut done: impl FnMut(&mut dyn Subject, &mut dyn Subject) -> Option<T>,
    ) -> Result<T, Wrong> {
        let limit = bench.either(100_000_000_000, 300_000_000);
        bench.until_within(what, limit, || {
            self.proxy.carry(usize::MAX, usize::MAX);
            done(&mut *self.client, &mut *self.server)
        })
    }
}

pub(super) fn c01_any_split(bench: &mut Bench<'_>) -> Done {
    //= test FRM-17
    for round in 0..20 {
        let mut table = Table::set(bench, SMALL)?;
        let mut rng = Rng::new(round);
        let messages: Vec<Vec<u8>> = (0..8).map(|n| vec![n; rng.below(100) as usize]).collect();
        let bytes: Vec<u8> = messages.iter().flat_map(|m| raw::message(3, m)).collect();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let count = rng.range(1, 1 + round * 3).min(rest.len() as u64) as usize;
            bench.write(&mut table.peer, &rest[..count])?;
            rest = &rest[count..];
            bench.pass(10);
        }
        for payload in messages {
            bench.expect(&mut *table.server, &Obs::Message { route: 3, payload })?;
        }
    }
    Ok(())
}

pub(super) fn c02_connections_do_not_mix(bench: &mut Bench<'_>) -> Done {
    //= test DRV-10
    let mut table = Table::set(bench, SMALL)?;
    let (mut other, _) = open(bench, &mut *table.server, &Hello::default())?;
    let second = bench.expect(&mut *table.server, &Obs::Opened)?;
    let (one, two) = (raw::message(1, &[1; 50]), raw::message(2, &[2; 50]));
    for part in 0..6 {
        let range = part * 9..(part * 9 + 9).min(one.len());
        bench.write(&mut table.peer, &one[range.clone()])?;
        bench.write(&mut other, &two[range])?;
        bench.pass(100);
    }
    let mut seen = vec![bench.next(&mut *table.server)?, bench.next(&mut *table.server)?];
    seen.sort_by_key(|seen| seen.session != table.session);
    let message = |route: u32| Obs::Message { route, payload: vec![route as u8; 50] };
    let expected = [
        Seen { session: table.session, what: message(1) },
        Seen { session: second, what: message(2) },
    ];
    ensure(seen == expected, || format!("{seen:?}"))
}

pub(super) fn c03_pauses_lose_nothing(bench: &mut Bench<'_>) -> Done {
    //= test DRV-10 DRV-11
    let mut table = Table::alone(bench, Config { idle_timeout_ms: 3_000, ..SMALL })?;
    let pause = bench.either(900_000, 400_000);
    let bytes = raw::message(1, b"slowly");
    for byte in bytes {
        bench.write(&mut table.peer, &[byte])?;
        for _ in 0..9 {
            bench.pass(pause / 9);
        }
    }
    bench.expect(&mut *table.server, &Obs::Message { route: 1, payload: b"slowly".to_vec() })?;
    Ok(())
}

pub(super) fn c04_empty_is_not_the_end(bench: &mut Bench<'_>) -> Done {
    //= test POS-7 RSM-17
    let mut table = Table::set(bench, SMALL)?;
    bench.write(&mut table.peer, &raw::message(1, b""))?;
    bench.expect(&mut *table.server, &Obs::Message { route: 1, payload: Vec::new() })?;
    bench.write(&mut table.peer, &raw::message(1, b"cut")[..5])?;
    bench.pass(10_000);
    table.peer.stream().shut();
    bench.expect_silence(&mut *table.server)?;
    table.claim.tx_first = 0;
    let welcome = table.resumes(bench)?;
    let next = welcome.option(0x11).map(|option| option[..8].to_vec());
    ensure(next == Some(vec![4, 0, 0, 0, 0, 0, 0, 0]), || format!("{next:?}"))
}

pub(super) fn c05_too_large_from_the_header(bench: &mut Bench<'_>) -> Done {
    //= test FRM-10
    let mut table = Table::set(bench, SMALL)?;
    let header = &raw::message(1, &[0; 201])[..4];
    table.refuses(bench, header, CloseCode::TOO_LARGE).map(drop)
}

pub(super) fn c06_echo_without_deadlock(bench: &mut Bench<'_>) -> Done {
    //= test CRD-10 DRV-18
    let count = bench.many(1_000_000, 1_000_000);
    let mut pair = Pair::join(bench, SMALL, SMALL)?;
    let session = pair.session;
    let (mut sent, mut came) = (0u32, 0u32);
    let mut waiting = None;
    let say = |payload: &[u8]| Cmd::Send { route: 1, payload: payload.to_vec() };
    pair.until_all(bench, "every echo", |client, server| {
        while sent < count && client.command(0, say(&sent.to_le_bytes())).is_ok() {
            sent += 1;
        }
        while let Some(seen) = client.poll() {
            came += u32::from(matches!(seen.what, Obs::Message { .. }));
        }
        loop {
            waiting = waiting.take().or_else(|| server.poll());
            match &waiting {
                None => break,
                Some(Seen { what: Obs::Message { payload, .. }, .. }) => {
                    if server.command(session, say(payload)).is_err() {
                        break;
                    }
                }
                Some(_) => {}
            }
            waiting = None;
        }
        (came == count).then_some(())
    })
}

pub(super) fn c07_peer_that_never_reads(bench: &mut Bench<'_>) -> Done {
    //= test CRD-4
    let mut table = Table::set_with(bench, SMALL, Hello { window: 16_387, ..Hello::default() })?;
    let (mut other, _) = open(bench, &mut *table.server, &Hello::default())?;
    let second = bench.expect(&mut *table.server, &Obs::Opened)?;
    let say = || Cmd::Send { route: 1, payload: vec![0; 100] };
    let before = table.server.held_bytes();
    fill(bench, &mut *table.server, table.session, 100)?;
    // A buffer that grows may be twice as long as what is in it.
    let most = 2 * (2 * SMALL.send_buffer as usize + bench.driver().slack());
    settles(bench, &*table.server, before + most)?;
    table.server.command(second, say()).map_err(Wrong)?;
    loop {
        if bench.frame(&mut other)?.kind == kind::MSG {
            return Ok(());
        }
    }
}

pub(super) fn c08_unknown_kind_costs_one_connection(bench: &mut Bench<'_>) -> Done {
    //= test FRM-6 REG-1
    let mut table = Table::set(bench, SMALL)?;
    let (mut other, _) = open(bench, &mut *table.server, &Hello::default())?;
    bench.expect(&mut *table.server, &Obs::Opened)?;
    bench.write(&mut other, &raw::frame(0x1E, 0, b"?"))?;
    bench.expect_close(&mut other, CloseCode::UNKNOWN_CRITICAL)?;
    bench.expect_disconnected(&mut *table.server, CloseCode::UNKNOWN_CRITICAL)?;
    table.bears(bench, &[])
}

pub(super) fn c09_close_racing_send(bench: &mut Bench<'_>) -> Done {
    //= test CLS-4
    let mut table = Table::set(bench, SMALL)?;
    let close = [&[0x01, 0x80, 1, 0, 0, 0, 0, 0][..], b"bye"].concat();
    bench.write(&mut table.peer, &raw::frame(kind::CLOSE, 0, &close))?;
    let (mut refused, mut lost) = (0, 0);
    let mut race = || {
        let say = Cmd::Send { route: 1, payload: vec![1] };
        refused += u32::from(table.server.command(table.session, say).is_err());
        while let Some(seen) = table.server.poll() {
            lost += u32::from(matches!(seen.what, Obs::Lost(..)));
        }
        (lost, refused)
    };
    bench.until("the end", || {
        let (lost, refused) = race();
        (lost > 0 && refused > 0).then_some(())
    })?;
    for _ in 0..50 {
        bench.pass(1_000);
        race();
    }
    ensure(lost == 1, || format!("lost {lost} times, {refused} sends refused"))
}

pub(super) fn c10_silent_peer_frees_its_place(bench: &mut Bench<'_>) -> Done {
    //= test HBT-4 DRV-8
    let config = Config { idle_timeout_ms: 1_000, ..SMALL };
    let mut table = Table::alone(bench, config)?;
    bench.until("the end", || {
        table.peer.pull();
        (!table.peer.open).then_some(())
    })?;
    bench.expect_disconnected(&mut *table.server, CloseCode::IDLE)
}

pub(super) fn c11_misuse_leaves_the_session(bench: &mut Bench<'_>) -> Done {
    //= test HND-20
    let hello = Hello { max_body: 100, max_message: 300, window: 200, ..Hello::default() };
    let mut table = Table::set_with(bench, SMALL, hello)?;
    let long = Cmd::Send { route: 1, payload: vec![0; 90] };
    table.server.command(table.session, long).map_err(Wrong)?;
    let unknown = Cmd::Respond { id: 3, status: 0, payload: Vec::new() };
    let refused = table.server.command(table.session, unknown);
    ensure(refused.is_err(), || "an answer to nothing was taken".into())?;
    table.bears(bench, &[])
}

pub(super) fn c12_every_setting_has_an_effect(bench: &mut Bench<'_>) -> Done {
    //= test HND-14 HND-12 HND-13
    let config = Config { idle_timeout_ms: 777, retention_s: 33, ..SMALL };
    let mut server = bench.driver().server(config);
    let mut peer = bench.plug(&mut *server)?;
    let hello = Hello { idle_ms: 5_000, beat_ms: 400, retention_s: 99, ..Hello::default() };
    bench.write(&mut peer, &hello.encode())?;
    let welcome = bench.frame(&mut peer)?;
    let fields = [
        ("max_body", welcome.number::<2>(8), u64::from(config.max_body)),
        ("max_reqs", welcome.number::<2>(10), u64::from(config.max_requests)),
        ("idle_ms", welcome.number::<4>(12), 1_200),
        ("c_idle_ms", welcome.number::<4>(16), 5_000),
        ("window", welcome.number::<4>(20), u64::from(config.window)),
        ("max_msg", welcome.number::<4>(24), u64::from(config.max_message)),
        ("ttl_s", welcome.number::<4>(28), 33),
    ];
    for (name, announced, expected) in fields {
        ensure(announced == expected, || format!("{name} is {announced}, not {expected}"))?;
    }
    Ok(())
}

pub(super) fn c13_requests_leave_nothing_behind(bench: &mut Bench<'_>) -> Done {
    //= test REQ-5
    let count = bench.many(1_000_000, 20_000);
    let mut pair = Pair::join(bench, SMALL, SMALL)?;
    let session = pair.session;
    // The most in the first quarter, and the least while so many later ones are answered: what is
    // held for the work of a moment is not left behind.
    const WINDOW: u32 = 1_000;
    let (mut first, mut least, mut most) = (0, usize::MAX, 0);
    let (mut asked, mut answered) = (0, 0);
    pair.until_all(bench, "every response", |client, server| {
        while let Some(seen) = client.poll() {
            answered += u32::from(matches!(seen.what, Obs::Response { .. }));
        }
        if asked == answered && asked < count {
            let ask = Cmd::Request { route: 1, payload: asked.to_le_bytes().to_vec() };
            asked += u32::from(client.command(0, ask).is_ok());
        }
        while let Some(seen) = server.poll() {
            if let Obs::Request { id, payload, .. } = seen.what {
                let answer = Cmd::Respond { id, status: 0, payload };
                server.command(session, answer).ok()?;
            }
        }
        let held = server.held_bytes() + client.held_bytes();
        if answered <= count / 4 {
            first = first.max(held);
        } else {
            least = least.min(held);
        }
        if answered % WINDOW == 0 && answered > count / 4 {
            most = most.max(std::mem::replace(&mut least, usize::MAX));
        }
        (answered == count).then_some(())
    })?;
    ensure(most < first + 8_192, || format!("{first} bytes became {most}"))
}
