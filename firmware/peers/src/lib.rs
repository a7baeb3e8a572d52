//! What a client needs to be linked: a transport and a clock that the optimiser knows nothing of,
//! and something that polls its futures.
#![no_std]

use core::convert::Infallible;
use core::hint::black_box;
use core::pin::pin;
use core::task::{Context, Poll, Waker};

use embassy_time_driver::Driver;
use embedded_io_async::{ErrorType, Read, Write};

/// A connection.
#[derive(Debug)]
pub struct Io;

impl ErrorType for Io {
    type Error = Infallible;
}

impl Read for Io {
    async fn read(&mut self, out: &mut [u8]) -> Result<usize, Infallible> {
        Ok(black_box(out).len())
    }
}

impl Write for Io {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        Ok(black_box(bytes).len())
    }

    async fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

struct Clock;

impl Driver for Clock {
    fn now(&self) -> u64 {
        black_box(1)
    }

    fn schedule_wake(&self, at: u64, waker: &Waker) {
        black_box((at, waker));
    }
}

embassy_time_driver::time_driver_impl!(static CLOCK: Clock = Clock);

/// Polls until it is done.
pub fn run<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut cx = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(done) = future.as_mut().poll(&mut cx) {
            return done;
        }
    }
}

#[panic_handler]
fn on_panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        cortex_m::asm::nop();
    }
}
