//! What an application writes itself, with the names of this crate's root alone.

use outlast_conformance::net::Ground;
use outlast_std::Std;

outlast_conformance::own_method! { outlast_std, Ground::new(Std::new()) }
