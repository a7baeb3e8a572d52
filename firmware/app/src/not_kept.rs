//! Nothing is kept over a reset of the board.

use outlast_embedded::smoltcp::Client;

use crate::{Board, Count, Task};

pub(crate) struct Keeping;

impl Keeping {
    /// `None` if a reset is asked for.
    pub(crate) fn begin(_: &mut impl Board, task: &mut Task) -> Option<Self> {
        (task.reset == 0).then_some(Self)
    }

    pub(crate) fn take_up(&mut self, _: &mut Client<'static>, _: &mut Count) {}

    pub(crate) fn keep(
        &mut self,
        _: &mut impl Board,
        _: &Task,
        _: &mut Client<'static>,
        _: &Count,
    ) {
    }
}
