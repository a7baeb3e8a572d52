//! The page in a real browser: Chromium without a window, driven over its own protocol.
//!
//! Where there is no Chromium this says so and looks at nothing; with `OUTLAST_BROWSER` set to a
//! program, as `cargo xtask test dashboard` does, that program has to be there. With
//! `OUTLAST_BLESS=1` the picture in `docs/images` is taken anew.

mod chromium;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use outlast_admin::{Admin, Showing};
use outlast_tokio::{
    Client, Handle, Incoming, Limits, Peer, Running, Server, ServerHandle, SessionInfo, Status,
};
use serde_json::json;

use chromium::{Chromium, Tab};

const TOKEN: &str = "open sesame";
/// A telephone that is held upright.
const NARROW: (u32, u32) = (375, 812);

/// A server with guests, and what it shows.
struct House {
    running: Running<ServerHandle>,
    showing: Showing,
    guests: Vec<Handle>,
    drained: Arc<AtomicBool>,
}

impl House {
    async fn open(guests: usize) -> Self {
        let server = Server::builder().limits(Limits::one_source());
        let server = server.bind("127.0.0.1:0").await.unwrap();
        let running = server.start(|_: &SessionInfo| {
            |peer: &mut Peer<'_>, event: Incoming<'_>| match event {
                Incoming::Request { id, payload, .. } => {
                    peer.respond(id, Status::OK, payload).unwrap();
                }
                Incoming::Finished => peer.finish(),
                _ => {}
            }
        });
        let running = running.unwrap();
        let drained = Arc::new(AtomicBool::new(false));
        let noted = Arc::clone(&drained);
        let admin = Admin::new(running.handle()).title("a busy server").token(TOKEN);
        let admin = admin.on_drain(move || noted.store(true, Ordering::Release));
        let showing = admin.bind("127.0.0.1:0").await.unwrap().start();
        let mut house = Self { running, showing, guests: Vec::new(), drained };
        for _ in 0..guests {
            let client = Client::builder().address(house.running.local_addr().to_string());
            let (handle, runner) = client.connect(|_: &mut Peer<'_>, _: Incoming<'_>| {}).unwrap();
            tokio::spawn(runner);
            handle.states().wait_for(|state| state.is_connected()).await.unwrap();
            house.guests.push(handle);
        }
        house
    }

    /// One of them has so much to say that the server measures how long the way is.
    async fn pour(&self) {
        for _ in 0..100 {
            self.guests[0].send(2u8, &[7; 32 << 10]).await.unwrap();
        }
        self.guests[0].flushed().await.unwrap();
    }

    /// Each guest asks so many things.
    async fn talk(&self, each: usize) {
        for guest in &self.guests {
            for _ in 0..each {
                guest.request(1u8, b"how are you, and what is new?").await.unwrap();
            }
        }
    }

    fn url(&self) -> String {
        format!("http://{}/", self.showing.local_addr())
    }
}

/// Everything in a row over one visit, since starting a browser is most of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_is_alive_quiet_narrow_and_can_drain() {
    let Some(browser) = Chromium::start() else {
        return;
    };
    let house = Arc::new(House::open(12).await);
    house.talk(5).await;
    house.pour().await;
    let tab = Arc::new(std::sync::Mutex::new(browser.open(&house.url())));
    let visit = |what: fn(&mut Tab, &House)| {
        let (tab, house) = (Arc::clone(&tab), Arc::clone(&house));
        tokio::task::spawn_blocking(move || what(&mut tab.lock().unwrap(), &house))
    };
    visit(it_shows_what_there_is).await.unwrap();
    for round in 0..8 {
        house.talk(10 + 5 * (round % 3)).await;
        // So that the picture has some seconds of history.
        visit(|tab, _| tab.next_event()).await.unwrap();
    }
    visit(numbers_change).await.unwrap();
    visit(it_fits).await.unwrap();
    visit(nothing_is_complained_of).await.unwrap();
    visit(who_has_the_token_drains).await.unwrap();
    assert!(house.drained.load(Ordering::Acquire));
    let stats = house.running.handle().statistics();
    assert!(stats.messages_in >= 12 * 5, "{stats:?}");
}

fn it_shows_what_there_is(tab: &mut Tab, house: &House) {
    tab.wait("text('state') === 'ready'");
    tab.wait("text('sessions') === '12' && text('connections') === '12'");
    tab.wait("document.querySelectorAll('#rows tr').length === 12");
    let id = house.guests[0].id().unwrap();
    let cells = format!(
        "[...document.querySelectorAll('#rows td:first-child')].some((c) => c.textContent === \
         '{id:016x}'.slice(0, 8))"
    );
    tab.wait(&cells);
    assert_eq!(tab.value("document.title"), "a busy server");
    assert_eq!(tab.value("at('drain').hidden"), false);
}

/// Without anybody doing anything to the page.
fn numbers_change(tab: &mut Tab, house: &House) {
    let before = house.running.handle().statistics().messages_in;
    tab.wait(&format!("text('messages-in') === count({before})"));
    let line = tab.value("at('line-in').getAttribute('d')");
    assert!(line.as_str().unwrap().starts_with('M'), "{line}");
    tab.wait("text('handler') !== '–'");
    let runtime = tokio::runtime::Handle::current();
    runtime.block_on(house.talk(1));
    tab.wait(&format!("text('messages-in') === count({})", before + 12));
    // A rate is that of the last seconds: as long as it is looked for, there is something to count.
    let until = Instant::now() + DEADLINE;
    while tab.value("text('rate-in') !== '0'") != true {
        assert!(Instant::now() < until, "nothing is counted");
        runtime.block_on(house.talk(1));
        tab.next_event();
    }
}

/// On a telephone and on a desk, by day and by night.
fn it_fits(tab: &mut Tab, _: &House) {
    tab.resize(1280, 900);
    let light = tab.value("getComputedStyle(document.body).backgroundColor");
    tab.save_picture("dashboard.png");
    tab.prefer("dark");
    let dark = tab.value("getComputedStyle(document.body).backgroundColor");
    assert_ne!(light, dark, "night is not day");
    tab.prefer("light");
    for (width, height) in [NARROW, (320, 640), (1280, 900), (2560, 1440)] {
        tab.resize(width, height);
        let wide = tab.value("document.documentElement.scrollWidth").as_u64().unwrap();
        assert!(wide <= width.into(), "{wide} of {width} pixels");
        // Nothing is too small to be read, or hangs over.
        let small = "Math.min(...[...document.querySelectorAll('main *')].map((e) => \
                     parseFloat(getComputedStyle(e).fontSize)))";
        assert!(tab.value(small).as_f64().unwrap() >= 11.5, "at {width}");
        let over = "[...document.querySelectorAll('.card, header *')].filter((e) => \
                    e.getBoundingClientRect().right > innerWidth + 1).length";
        assert_eq!(tab.value(over), 0, "at {width}");
    }
    tab.resize(NARROW.0, NARROW.1);
    tab.save_picture("dashboard-narrow.png");
}

fn nothing_is_complained_of(tab: &mut Tab, house: &House) {
    assert_eq!(tab.complaints(), [""; 0], "on the console");
    let asked = tab.requests();
    assert!(asked.iter().any(|url| url.ends_with("/events")), "{asked:?}");
    let own = |url: &&String| !url.starts_with(&house.url()) && !url.starts_with("data:");
    assert_eq!(asked.iter().filter(own).collect::<Vec<_>>(), [&""; 0], "nothing from elsewhere");
}

fn who_has_the_token_drains(tab: &mut Tab, house: &House) {
    let submit = |tab: &mut Tab, token: &str| {
        let token = json!(token);
        tab.value(&format!("at('token').value = {token}; at('go').click(); 1"));
    };
    submit(tab, "open sesamE");
    tab.wait("text('said') === 'the token is missing or wrong'");
    assert!(!house.drained.load(Ordering::Acquire));
    submit(tab, TOKEN);
    tab.wait("text('said') === 'The server drains.'");
    tab.wait("text('state') === 'draining' && at('go').disabled && at('token').value === ''");
}

/// Where pictures are kept that documents show.
fn pictures() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/images")
}

/// Longer than anything here takes on a busy machine; reaching it is a failure.
const DEADLINE: Duration = Duration::from_secs(60);
