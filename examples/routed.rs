// A shared list, by routes: the same on every runtime. `runtime-*/examples/*routed.rs` include this
// file, name their crate `outlast`, and start it.

use std::sync::{Arc, Mutex, PoisonError};

use outlast::core::admission::Rate;
use outlast::router::{
    BuildError, IntoReply, Link, Property, Reply, Router, State, hooked, log, named, rate_limit,
};
use outlast::{Handle, RequestError, Route, Status};

/// What clients ask for.
const NAME: Route = named("list/name");
const ADD: Route = named("list/add");
const SHOW: Route = named("list/show");

/// What is on the list.
#[derive(Clone, Default)]
struct List(Arc<Mutex<Vec<String>>>);

/// What a session has called itself.
#[derive(Clone)]
struct Name(String);

/// What clients are told that ask for something that cannot be.
enum Refusal {
    Empty,
    Twice(String),
}

impl IntoReply for Refusal {
    fn into_reply(self) -> Reply {
        match self {
            Self::Empty => (Status::REFUSED, "nothing is nothing to add").into_reply(),
            Self::Twice(by) => (Status(64), format!("{by} has thought of that")).into_reply(),
        }
    }
}

fn name(link: Link, name: String) {
    link.set(Name(name));
}

/// It runs in a task of the session's: it may wait for a database, and nobody else would.
async fn add(
    Property(name): Property<Name>,
    State(list): State<List>,
    thing: String,
) -> Result<String, Refusal> {
    if thing.is_empty() {
        return Err(Refusal::Empty);
    }
    let mut list = list.0.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(by) = list.iter().find_map(|line| line.strip_suffix(&format!(": {thing}"))) {
        return Err(Refusal::Twice(by.to_owned()));
    }
    list.push(format!("{}: {thing}", name.0));
    Ok(format!("{} on the list", list.len()))
}

fn show(State(list): State<List>) -> String {
    list.0.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
}

/// Ten additions a second for each session, and a line of the log for everything.
fn routes() -> Result<outlast::router::Routes<impl outlast::router::Hook>, BuildError> {
    Router::new()
        .state(List::default())
        .hook(log(|line| println!("{:?} {} {:?}", line.link.id(), line.key, line.status)))
        .on_close(|link, end| println!("{:?} is gone: {end:?}", link.get::<Name>().map(|it| it.0)))
        .route("list/name", name)
        .route("list/add", hooked(rate_limit(Rate::per_second(10, 10)), add))
        .route("list/show", show)
        .build()
}

/// What a client does: adds its things, and shows what there is.
async fn tell(handle: &Handle, name: &str, things: &[String]) -> Result<(), RequestError> {
    handle.request(NAME, name.as_bytes()).await?;
    for thing in things {
        let answer = handle.request(ADD, thing.as_bytes()).await?;
        println!("{thing}: {}", String::from_utf8_lossy(&answer.payload));
    }
    let list = handle.request(SHOW, b"").await?;
    println!("{}", String::from_utf8_lossy(&list.payload));
    Ok(())
}
