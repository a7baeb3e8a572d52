//! Every case of the suite over threads and real sockets on loopback, in real time.

use outlast_conformance::net::{Loopback, Over};
use outlast_std::Std;

outlast_conformance::suite! {
    Loopback::new(Over::new("std over sockets", Std::new())),
    // What is held is looked at in a process of its own: see the tests named `bounded`.
    not_run: [a02_announced_body_costs_nothing],
}
