//! What hostile peers may cost over threads and real sockets, counted for the whole process.

#[path = "../../../runtime-tokio/tests/bounded/heap.rs"]
mod heap;

use outlast_conformance::cases;
use outlast_conformance::net::{Loopback, Over};
use outlast_std::Std;

#[global_allocator]
static HEAP: heap::Counting = heap::Counting;

/// Every case that looks at what is held, and the one that no other driver of threads runs.
#[test]
fn cases_that_look_at_memory() {
    for name in [
        "a02_announced_body_costs_nothing",
        "c07_peer_that_never_reads",
        "c13_requests_leave_nothing_behind",
        "a25_pings_without_progress",
        "a32_message_that_never_ends",
    ] {
        let over = Over::new("std over sockets", Std::new());
        let mut driver = Loopback::new(over.counting(heap::held));
        match cases::run(&mut driver, name) {
            Ok(ran) => assert!(ran, "{name} was not run"),
            Err(wrong) => panic!("{name}: {wrong}"),
        }
    }
}
