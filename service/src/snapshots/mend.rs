//! What was queued for a session, as far as it still has a meaning in another process.
//!
//! Requests of this end go: those who waited for their answers are no more. A message of which only
//! a part was given is taken back.

use outlast_core::wire::{HEADER_LEN, Header, Op};

/// The tag of a continuation that takes the message back.
const ABORT: u8 = 1;

/// The frames of `queued` that are to be sent, in order. `open` says that a message in fragments is
/// under way before them. `None`: these are no frames.
pub(crate) fn mend(mut queued: &[u8], mut open: bool) -> Option<Vec<u8>> {
    let mut kept = Vec::with_capacity(queued.len());
    // The first frame of the message under way was left out.
    let mut dropping = false;
    while !queued.is_empty() {
        let header = Header::from_bytes(*queued.first_chunk::<HEADER_LEN>()?);
        let (frame, rest) = queued.split_at_checked(header.frame_size())?;
        queued = rest;
        let keep = match header.op()? {
            Op::Request => {
                dropping = header.more();
                false
            }
            Op::Continue if dropping => {
                dropping = header.more();
                false
            }
            Op::Message | Op::Response | Op::Continue => {
                open = header.more();
                true
            }
            // Nobody is left who would have asked for it.
            Op::Cancel => false,
            _ => return None,
        };
        if keep {
            kept.extend_from_slice(frame);
        }
    }
    if open {
        kept.extend_from_slice(&Header::new(Op::Continue, ABORT, 0).to_bytes());
    }
    Some(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(op: Op, more: bool, body: &[u8]) -> Vec<u8> {
        let header = Header::new(op, 0, body.len() as u16).with_more(more);
        [&header.to_bytes()[..], body].concat()
    }

    fn abort() -> Vec<u8> {
        Header::new(Op::Continue, ABORT, 0).to_bytes().to_vec()
    }

    #[test]
    fn requests_go_and_the_rest_stays_in_order() {
        let one = frame(Op::Message, false, b"one");
        let long = [frame(Op::Message, true, b"a"), frame(Op::Continue, false, b"b")].concat();
        let asked = [frame(Op::Request, true, b"\0\0?"), frame(Op::Continue, false, b"?")].concat();
        let cancel = frame(Op::Cancel, false, &[0, 0]);
        let queued = [&one[..], &asked, &long, &cancel, &one].concat();
        assert_eq!(mend(&queued, false), Some([&one[..], &long, &one].concat()));
        assert_eq!(mend(&[], false), Some(Vec::new()));
    }

    #[test]
    fn what_was_not_given_to_its_end_is_taken_back() {
        let begun = frame(Op::Message, true, b"a");
        assert_eq!(mend(&begun, false), Some([begun.clone(), abort()].concat()));
        assert_eq!(mend(&[], true), Some(abort()));
        let end = frame(Op::Continue, false, b"z");
        assert_eq!(mend(&end, true), Some(end));
        // Of a request that was never begun there is nothing to take back.
        assert_eq!(mend(&frame(Op::Request, true, b"\0\0?"), false), Some(Vec::new()));
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        let whole = frame(Op::Message, false, b"one");
        assert_eq!(mend(&whole[..whole.len() - 1], false), None);
        assert_eq!(mend(&[1, 2], false), None);
        assert_eq!(mend(&frame(Op::Ping, false, b""), false), None);
    }
}
