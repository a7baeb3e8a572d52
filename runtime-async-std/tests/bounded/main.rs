//! Every case that looks at what is held, counted for the whole process.
//!
//! The tests take turns, so that each sees only its own memory.

#[path = "../../../runtime-tokio/tests/bounded/heap.rs"]
mod heap;
#[path = "../conformance/subject.rs"]
mod subject;

use std::sync::{Mutex, PoisonError};

use outlast_conformance::cases;
use outlast_conformance::net::{Loopback, Over};
use outlast_service::net::Net;

#[global_allocator]
static HEAP: heap::Counting = heap::Counting;

static TURN: Mutex<()> = Mutex::new(());

fn cases_that_look_at_memory<N: Net>(subject: impl Fn() -> Over<N>) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    for name in [
        "a02_announced_body_costs_nothing",
        "c07_peer_that_never_reads",
        "c13_requests_leave_nothing_behind",
        "a25_pings_without_progress",
        "a32_message_that_never_ends",
    ] {
        let mut driver = Loopback::new(subject().counting(heap::held));
        match cases::run(&mut driver, name) {
            Ok(ran) => assert!(ran, "{name} was not run"),
            Err(wrong) => panic!("{name}: {wrong}"),
        }
    }
}

#[cfg(feature = "async-std")]
#[test]
fn cases_that_look_at_memory_over_async_std() {
    cases_that_look_at_memory(subject::over_async_std);
}

#[cfg(feature = "smol")]
#[test]
fn cases_that_look_at_memory_over_smol() {
    cases_that_look_at_memory(subject::over_smol);
}
