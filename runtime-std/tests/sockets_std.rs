//! Limits, deadlines and policies over real sockets, on plain threads.

use outlast_conformance::net::Ground;
use outlast_std::Std;

outlast_conformance::socket_suite! { Ground::new(Std::new()) }
