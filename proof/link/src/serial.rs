//! A client of `outlast-embedded` over a serial line that says anything.

use core::hint::black_box;

use embedded_io::{ErrorKind, ErrorType, Read, ReadReady, Write};
use outlast_embedded::serial::SerialClient;
use outlast_embedded::{
    CloseCode, Event, Instant, Route, Session, StreamConfig, StreamMemory, StreamResources,
};

/// A line with bytes that the optimiser knows nothing about.
struct Line<'l> {
    input: &'l [u8],
}

impl ErrorType for Line<'_> {
    type Error = ErrorKind;
}

impl Read for Line<'_> {
    fn read(&mut self, out: &mut [u8]) -> Result<usize, ErrorKind> {
        let mut count = 0_usize;
        for (to, from) in out.iter_mut().zip(self.input) {
            *to = *from;
            count = count.wrapping_add(1);
        }
        self.input = self.input.get(count..).unwrap_or_default();
        Ok(black_box(count))
    }
}

impl ReadReady for Line<'_> {
    fn read_ready(&mut self) -> Result<bool, ErrorKind> {
        black_box(Ok(true))
    }
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        black_box(Ok(bytes.len()))
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        black_box(Ok(()))
    }
}

/// Every call of such a client.
pub(crate) fn all(input: &[u8], out: &mut [u8]) -> usize {
    let mut resources = StreamResources::<512, 256, 256>::new();
    let (mut incoming, mut outgoing) = ([0; 64], [0; 64]);
    let memory: StreamMemory<'_> = (&mut resources).into();
    let config = StreamConfig::new(black_box(1));
    let client = SerialClient::new(memory, &mut incoming, &mut outgoing, config);
    let Ok(mut client) = client else { return 0 };
    let mut line = Line { input };
    let mut heard = 0_usize;
    for now in black_box(1..9_u64) {
        let now = Instant::from_micros(now);
        let hear = |session: &mut Session<'_>, event: Event<'_>| {
            heard = heard.wrapping_add(1);
            if let Event::Message { route, payload, .. } = event {
                black_box(session.send(route, payload).is_ok());
            }
        };
        black_box(client.poll(now, &mut line, hear).is_ok());
        black_box(client.session().send(Route::from(1_u8), out).is_ok());
        if black_box(false) {
            client.stop(now, CloseCode::OK);
        }
    }
    black_box(client.stopped().is_some());
    heard
}
