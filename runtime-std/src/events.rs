//! What happens on a server, by calls that block.

use std::time::Duration;

use outlast_service::Lagged;

use crate::thread::{block_on, block_on_timeout};

/// Events as they happen, from the moment of the subscription on. `from` makes them of what
/// [`ServerHandle::events`](crate::ServerHandle::events) gives; as an iterator they wait for each
/// next one.
///
/// Nobody waits for who reads this. As many events as the subscription asked for are kept; when
/// there is one more, the oldest is dropped, and the next read says how many were: [`Lagged`].
///
/// ```
/// use outlast_std::{Events, Incoming, Peer, Server, ServerEvent, SessionInfo};
///
/// # fn main() -> std::io::Result<()> {
/// let server = Server::builder().bind("127.0.0.1:0")?.start(|_: &SessionInfo| {
///     |_: &mut Peer<'_>, _: Incoming<'_>| {}
/// })?;
/// let events = Events::from(server.handle().events(100));
/// let reader = std::thread::spawn(move || {
///     for event in events {
///         match event {
///             Ok(ServerEvent::Opened { id, .. }) => println!("session {id}"),
///             Ok(event) => println!("{event:?}"),
///             Err(lagged) => println!("{lagged}"),
///         }
///     }
/// });
/// server.shutdown(std::time::Duration::ZERO);
/// // Nothing more happens: the thread ends.
/// reader.join().expect("it does not panic");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Events<E> {
    inner: outlast_service::Events<E>,
}

impl<E> From<outlast_service::Events<E>> for Events<E> {
    fn from(inner: outlast_service::Events<E>) -> Self {
        Self { inner }
    }
}

impl<E> Events<E> {
    /// As [`next`](Iterator::next), for at most `limit`; `None` if there was none by then. Whether
    /// there will be any more says [`is_over`](Self::is_over).
    pub fn next_timeout(&mut self, limit: Duration) -> Option<Result<E, Lagged>> {
        block_on_timeout(self.inner.next(), limit).flatten()
    }

    /// The next event if there is one now.
    pub fn try_next(&mut self) -> Option<Result<E, Lagged>> {
        self.inner.try_next()
    }

    /// How many events wait to be read.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inner.len()
    }

    /// Whether none waits to be read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.inner.is_empty()
    }

    /// Whether nothing more will happen. Events may still wait to be read.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.inner.is_over()
    }
}

impl<E> Iterator for Events<E> {
    type Item = Result<E, Lagged>;

    fn next(&mut self) -> Option<Self::Item> {
        block_on(self.inner.next())
    }
}
