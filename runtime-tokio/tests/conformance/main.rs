//! Every case of the suite over tokio and real sockets on loopback, in real time.

mod subject;

use outlast_conformance::net::Loopback;
use subject::over_tokio;

outlast_conformance::suite! {
    Loopback::new(over_tokio()),
    // What is held is looked at in a process of its own: see the tests named `bounded`.
    not_run: [a02_announced_body_costs_nothing],
}
