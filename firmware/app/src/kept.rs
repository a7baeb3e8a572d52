//! A session that is kept over a reset of the board.

use defmt::info;
use outlast_embedded::Session;
use outlast_embedded::smoltcp::Client;
use static_cell::ConstStaticCell;

use crate::{Board, Count, Task};

/// The ring of a session that is taken up again.
static SECOND_RING: ConstStaticCell<[u8; 512]> = ConstStaticCell::new([0; 512]);

/// What outlasts a reset, if there is such memory.
pub(crate) struct Keeping(Option<&'static mut Kept>);

impl Keeping {
    pub(crate) fn begin(board: &mut impl Board, task: &mut Task) -> Option<Self> {
        let kept = board.kept();
        if kept.as_ref().is_some_and(|kept| kept.written == WRITTEN) {
            // A second boot dials from another port.
            task.seed += 1_000;
            task.reset = 0;
        }
        Some(Self(kept))
    }

    /// Takes up what was written before a reset, if there was one.
    #[inline(never)]
    pub(crate) fn take_up(&mut self, client: &mut Client<'static>, count: &mut Count) {
        if let Some(kept) = &mut self.0 {
            kept.read(client, count);
        }
    }

    /// Writes everything down and resets the board, once it is time.
    pub(crate) fn keep(
        &mut self,
        board: &mut impl Board,
        task: &Task,
        client: &mut Client<'static>,
        count: &Count,
    ) {
        let due = task.reset > 0 && count.came_back >= task.reset;
        if due && self.0.as_mut().is_some_and(|kept| kept.write(client, count)) {
            info!("reset came_back={=u32}", count.came_back);
            board.reset();
        }
    }
}

/// What the application keeps over a reset. Any bytes are a value of it.
#[repr(C)]
pub struct Kept {
    /// [`WRITTEN`] if the rest means something.
    written: u32,
    sent: u32,
    came_back: u32,
    len: u32,
    session: [u8; 1024],
}

/// Tells memory that was written from what it holds after power came on.
const WRITTEN: u32 = 0x6B65_7074;

impl Kept {
    /// Writes the session and the counts down; whether that was possible.
    fn write(&mut self, client: &mut Client<'static>, count: &Count) -> bool {
        let Ok(len) = client.session().snapshot(600, &[], &mut self.session) else {
            return false;
        };
        self.len = u32::try_from(len).unwrap_or(0);
        (self.sent, self.came_back) = (count.sent, count.came_back);
        self.written = WRITTEN;
        true
    }

    /// Takes up what was written, once; whether there was anything.
    fn read(&mut self, client: &mut Client<'static>, count: &mut Count) -> bool {
        if self.written != WRITTEN {
            return false;
        }
        self.written = 0;
        let bytes = self.session.get(..self.len as usize).unwrap_or_default();
        // Written when everything had been transmitted that ever was, so nothing is missing.
        let config = outlast_embedded::Config::CONSTRAINED;
        let Ok(restored) = Session::restore(config, bytes, true, &mut SECOND_RING.take()[..])
        else {
            return false;
        };
        *client.session() = restored.session;
        (count.sent, count.came_back) = (self.sent, self.came_back);
        // What is resumed was opened before.
        count.opened = 1;
        true
    }
}
