//! Boards without servers, and sessions that are none.

use std::task::Poll;

use super::*;
use crate::ground::Ground;
use crate::outgoing::Outgoing;
use crate::transport::{Clock, Runtime, Timer};

#[derive(Clone)]
struct Still;

impl Runtime for Still {
    type Timer = Self;

    fn now(&self) -> std::time::Instant {
        std::time::Instant::now()
    }

    fn timer(&self) -> Self {
        Self
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(task);
    }
}

impl Timer for Still {
    fn poll_until(&mut self, _: &mut Context<'_>, _: std::time::Instant) -> Poll<()> {
        Poll::Pending
    }
}

/// Whoever has a board last may have a session's lock.
#[test]
fn a_board_without_a_server_has_nothing_to_drop() {
    let board = Arc::new(Board::default());
    let directory = Directory::default();
    let clock = Clock::new(Still.now());
    let ground = Arc::new(Ground::new(&Still, clock, Outgoing::default()));
    let shared = Arc::new(Shared::new(None, 0, ground));
    directory.insert(1, Arc::clone(&shared));
    board.open(&directory);
    drop(directory);
    assert_eq!(Arc::strong_count(&shared), 2, "it has a seat");
    board.clear();
    assert_eq!(Arc::strong_count(&shared), 1);
    // Who still comes finds nobody.
    shared.leave_board();
    assert!(shared.evict().is_none() && board.post(Route::from(1u8), b"?", None).0 == 0);
}

/// A session that is lent what is carried to it, or takes it for good.
struct Borrower {
    borrows: bool,
    lent: u32,
}

impl Parked for Borrower {
    fn carry(&mut self, frames: &[u8], _: Instant) -> Carried {
        self.lent += if self.borrows { frames.len() as u32 } else { 0 };
        Carried { taken: true, sleeps: true }
    }

    fn lent(&self) -> u32 {
        self.lent
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any + Send> {
        self
    }
}

/// A task that is waked, or not.
#[derive(Default)]
struct Task(AtomicBool);

impl std::task::Wake for Task {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

/// What goes to everybody but one does not stay for the sake of that one, which was lent something
/// and is not sent anything that would wake it.
#[test]
fn who_is_left_out_does_not_keep_what_the_others_have() {
    let board = Arc::new(Board::default());
    let ground = Arc::new(Ground::new(&Still, Clock::new(Still.now()), Outgoing::default()));
    let (task, now) = (Arc::new(Task::default()), Instant::from_micros(1));
    let waker = Waker::from(Arc::clone(&task));
    let seats = [true, false].map(|borrows| {
        let shared = Arc::new(Shared::new(None, 0, Arc::clone(&ground)));
        let (index, number) = board.lock().seat(u64::from(borrows), Arc::clone(&shared));
        let seat = Seat { board: Arc::downgrade(&board), index, number };
        if borrows {
            shared.take_seat(|| seat.clone());
            assert!(shared.sleep_after(&waker, |_| {}));
        }
        assert!(seat.park(|| Some(Box::new(Borrower { borrows, lent: 0 }))));
        seat
    });
    let (mut bag, mut cx) = (Bag::default(), Context::from_waker(Waker::noop()));
    let mut post = |except| {
        assert!(board.post(Route::from(1u8), &[7; 4_000], except).0 > 0);
        while board.carry(&mut cx, &mut bag, now, |_, _, _| true) {}
        board.lock().entries.len()
    };
    assert!(post(None) > 4_000, "it is lent to one of the two");
    let mut most = 0;
    for _ in 0..1_000 {
        most = most.max(post(Some(&seats[0])));
        if task.0.swap(false, Ordering::AcqRel) {
            let Some(Left::Here(body, rest)) = seats[0].unpark() else {
                panic!("it is there");
            };
            assert!(rest.is_empty());
            let mut shown = 0;
            let recalled = seats[0].recall(body.lent() as usize, |frames| shown = frames.len());
            assert_eq!((recalled, shown), (Some(()), 4_004));
        }
    }
    assert!(most <= 2 * LENT as usize, "{most} of 4,000,000 were kept");
    assert!(most as u64 > LENT, "it was waked before there was need: {most}");
}
