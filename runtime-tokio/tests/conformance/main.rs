//! Every case of the suite over tokio and real sockets on loopback, in real time.

mod subject;

use outlast_conformance::net::Loopback;
use subject::OverTokio;

outlast_conformance::suite! {
    Loopback::new(OverTokio::start()),
    // What is held is looked at in a process of its own: see the tests named `bounded`.
    not_run: [a02_announced_body_costs_nothing],
}
