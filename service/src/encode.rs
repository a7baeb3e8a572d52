//! Frames of messages, for queues outside of a session.

use outlast_core::Head;
use outlast_core::wire::{Header, Op, RequestId, Route};

/// What stands between a first frame's header and its payload: at most a route and a number.
pub(crate) struct Front {
    pub(crate) op: Op,
    pub(crate) tag: u8,
    bytes: [u8; 6],
    len: usize,
}

impl Front {
    pub(crate) fn of(head: Head) -> Self {
        let mut front = Self { op: Op::Message, tag: 0, bytes: [0; 6], len: 0 };
        match head {
            Head::Message { route } => front.route(route),
            Head::Request { id, route } => {
                front.op = Op::Request;
                front.route(route);
                front.id(id);
            }
            Head::Response { id, status } => {
                front.op = Op::Response;
                front.tag = status.0;
                front.id(id);
            }
        }
        front
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn route(&mut self, route: Route) {
        self.tag = route.tag();
        self.put(&route.to_bytes()[..route.encoded_len()]);
    }

    fn id(&mut self, id: RequestId) {
        self.put(&id.0.to_le_bytes());
    }

    fn put(&mut self, bytes: &[u8]) {
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }
}

/// Appends a message of any length as one frame or as fragments of at most `max_body` bytes.
pub(crate) fn long(out: &mut Vec<u8>, head: Head, payload: &[u8], max_body: u16) {
    let front = Front::of(head);
    let room = usize::from(max_body).saturating_sub(front.as_slice().len());
    let (first, mut rest) = payload.split_at(payload.len().min(room));
    let len = (front.as_slice().len() + first.len()) as u16;
    let header = Header::new(front.op, front.tag, len).with_more(!rest.is_empty());
    out.extend_from_slice(&header.to_bytes());
    out.extend_from_slice(front.as_slice());
    out.extend_from_slice(first);
    while !rest.is_empty() {
        let (part, more) = rest.split_at(rest.len().min(usize::from(max_body)));
        let header = Header::new(Op::Continue, 0, part.len() as u16).with_more(!more.is_empty());
        out.extend_from_slice(&header.to_bytes());
        out.extend_from_slice(part);
        rest = more;
    }
}
