//! A server that runs out of file descriptors, on plain threads.

use outlast_conformance::net::Ground;
use outlast_std::Std;

outlast_conformance::descriptors! { Ground::new(Std::new()) }
