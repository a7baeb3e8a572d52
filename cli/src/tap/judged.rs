//! The judge's connections in a capture.

use outlast_conformance::driver;
use outlast_conformance::judge::Reach;

use super::{Tapping, Wire};

/// A way to connections that are all kept in a capture.
pub(crate) struct Overheard {
    reach: Box<dyn Reach>,
    tapping: Tapping,
    /// The judge is the client.
    dials: bool,
}

impl Overheard {
    pub(crate) const fn new(reach: Box<dyn Reach>, tapping: Tapping, dials: bool) -> Self {
        Self { reach, tapping, dials }
    }

    fn tap(&self, stream: Box<dyn driver::Stream>) -> Box<dyn driver::Stream> {
        let Some((local, remote)) = stream.addresses() else {
            return stream;
        };
        let wire = self.tapping.wire(local, remote, self.dials);
        Box::new(Tapped { stream, wire })
    }
}

impl Reach for Overheard {
    fn connect(&mut self) -> Result<Box<dyn driver::Stream>, String> {
        let stream = self.reach.connect()?;
        Ok(self.tap(stream))
    }

    fn waiting(&mut self) -> Option<Box<dyn driver::Stream>> {
        let stream = self.reach.waiting()?;
        Some(self.tap(stream))
    }

    fn now(&self) -> u64 {
        self.reach.now()
    }

    fn pause(&mut self, micros: u64) {
        self.reach.pause(micros);
    }
}

struct Tapped {
    stream: Box<dyn driver::Stream>,
    wire: Wire,
}

impl driver::Stream for Tapped {
    fn write(&mut self, bytes: &[u8]) -> usize {
        let taken = self.stream.write(bytes);
        self.wire.sent(&bytes[..taken]);
        taken
    }

    fn read(&mut self, out: &mut Vec<u8>) -> bool {
        let known = out.len();
        let goes_on = self.stream.read(out);
        self.wire.received(&out[known..]);
        if !goes_on {
            self.wire.ended();
        }
        goes_on
    }

    fn shut(&mut self) {
        self.stream.shut();
        self.wire.finished();
    }

    fn cut(&mut self) {
        self.stream.cut();
        self.wire.cut();
    }

    fn addresses(&self) -> Option<(std::net::SocketAddr, std::net::SocketAddr)> {
        self.stream.addresses()
    }
}
