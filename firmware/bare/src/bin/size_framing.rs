//! Framing alone: a stream is cut into frames, and messages are written as frames.
#![no_std]
#![no_main]

use core::hint::black_box;
use core::panic::PanicInfo;

use outlast_core::wire::{Frame, HEADER_LEN, Header, Op};

#[panic_handler]
fn on_panic(_: &PanicInfo<'_>) -> ! {
    loop {
        cortex_m::asm::nop();
    }
}

#[cortex_m_rt::entry]
fn main() -> ! {
    let input = [0; 64];
    let mut out = [0; 64];
    loop {
        let mut rest: &[u8] = black_box(&input);
        while let Ok(Some((header, body, behind))) = Frame::split(rest, black_box(252)) {
            black_box((header.op(), header.tag(), header.more()));
            black_box(write(body, black_box(&mut out)));
            rest = behind;
        }
    }
}

/// One message as a frame.
#[inline(never)]
fn write(payload: &[u8], out: &mut [u8]) -> Option<usize> {
    let header = Header::new(Op::Message, 7, payload.len() as u16);
    let (head, rest) = out.split_at_mut_checked(HEADER_LEN)?;
    head.copy_from_slice(&header.to_bytes());
    rest.get_mut(..payload.len())?.copy_from_slice(payload);
    Some(header.frame_size())
}
