//! Every case of the suite over firmware: `outlast-embedded` on smoltcp and a LAN9118, on a
//! Cortex-M4 under QEMU, as a server and as a client. Each subject is a board of its own.
//!
//! `OUTLAST_SUITE_ELF` names the program `suite` of this workspace; `cargo xtask board` builds it
//! and runs this.

mod board;

use outlast_conformance::net::Loopback;
use outlast_conformance::net::foreign::Foreign;

/// The board. QEMU's user network calls this machine 10.0.2.2.
fn firmware() -> Loopback<Foreign> {
    let board = Foreign::new("firmware on a Cortex-M4", board::boot);
    Loopback::new(board.reaching_us_at("10.0.2.2"))
}

outlast_conformance::suite! { firmware() }
