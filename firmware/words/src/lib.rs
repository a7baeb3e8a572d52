//! What a board says: frames of defmt over semihosting, each in one piece.
//!
//! The frames hold numbers; the texts stay in the program's file, where `firmware/host` finds them.
#![no_std]

use core::cell::UnsafeCell;

use defmt::{Encoder, Logger};
use semihosting::io::{self, Write};

/// Bytes of the longest frame; what is longer goes out in parts.
const FRAME: usize = 96;

struct Out {
    encoder: Encoder,
    frame: Frame,
}

/// What waits to be handed over.
struct Frame {
    bytes: [u8; FRAME],
    len: usize,
}

impl Frame {
    fn push(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if self.len == FRAME {
                self.flush();
            }
            if let Some(place) = self.bytes.get_mut(self.len) {
                *place = *byte;
                self.len += 1;
            }
        }
    }

    fn flush(&mut self) {
        if let Ok(mut out) = io::stdout() {
            // Nobody listens, then.
            let _ = out.write_all(self.bytes.get(..self.len).unwrap_or_default());
        }
        self.len = 0;
    }
}

struct Cell(UnsafeCell<Out>);

// SAFETY: there is one core, and no interrupt is ever taken.
unsafe impl Sync for Cell {}

static OUT: Cell = Cell(UnsafeCell::new(Out {
    encoder: Encoder::new(),
    frame: Frame { bytes: [0; FRAME], len: 0 },
}));

#[defmt::global_logger]
struct Semihosting;

/// The one place that refers to it.
fn with(act: impl FnOnce(&mut Out)) {
    // SAFETY: nothing below calls this again, and nobody interrupts it.
    act(unsafe { &mut *OUT.0.get() });
}

// SAFETY: what is said goes out in order, as `with` is never entered twice.
unsafe impl Logger for Semihosting {
    fn acquire() {
        with(|out| out.encoder.start_frame(|bytes| out.frame.push(bytes)));
    }

    unsafe fn flush() {}

    unsafe fn release() {
        with(|out| {
            out.encoder.end_frame(|bytes| out.frame.push(bytes));
            out.frame.flush();
        });
    }

    unsafe fn write(bytes: &[u8]) {
        with(|out| out.encoder.write(bytes, |bytes| out.frame.push(bytes)));
    }
}
