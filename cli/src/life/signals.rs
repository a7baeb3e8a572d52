//! What a server is told by signals.

/// What somebody wants of the process.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) enum Word {
    /// That it ends, said with the signal of this number.
    End(u8),
    /// That it reads its settings again; or a terminal was closed.
    Hangup,
}

#[cfg(unix)]
mod unix {
    use tokio::signal::unix::{Signal, SignalKind, signal};

    use super::Word;

    /// Signals that are heard. What comes before somebody asks is kept, each once.
    pub(crate) struct Signals {
        terminate: Signal,
        interrupt: Signal,
        hangup: Option<Signal>,
    }

    impl Signals {
        /// Hears what asks for the end from now on. Hangups do what the system does with them.
        ///
        /// # Errors
        ///
        /// A sentence, if the system does not allow it.
        pub(crate) fn listen() -> Result<Self, String> {
            let (terminate, interrupt) = (SignalKind::terminate(), SignalKind::interrupt());
            let (terminate, interrupt) = (heard(terminate)?, heard(interrupt)?);
            Ok(Self { terminate, interrupt, hangup: None })
        }

        /// Hears hangups from now on.
        ///
        /// # Errors
        ///
        /// As [`listen`](Self::listen).
        pub(crate) fn hear_hangups(&mut self) -> Result<(), String> {
            if self.hangup.is_none() {
                self.hangup = Some(heard(SignalKind::hangup())?);
            }
            Ok(())
        }

        /// Waits for the next. Dropping the future loses nothing.
        pub(crate) async fn next(&mut self) -> Word {
            let Self { terminate, interrupt, hangup } = self;
            let hung_up = async {
                match hangup {
                    Some(signal) => signal.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = terminate.recv() => end(SignalKind::terminate()),
                _ = interrupt.recv() => end(SignalKind::interrupt()),
                _ = hung_up => Word::Hangup,
            }
        }
    }

    fn end(kind: SignalKind) -> Word {
        Word::End(u8::try_from(kind.as_raw_value()).unwrap_or(u8::MAX))
    }

    fn heard(kind: SignalKind) -> Result<Signal, String> {
        signal(kind).map_err(|error| format!("signals are not to be heard: {error}"))
    }
}

#[cfg(not(unix))]
mod elsewhere {
    use super::Word;

    /// What is heard: Ctrl-C.
    pub(crate) struct Signals;

    impl Signals {
        /// Nothing can go wrong before somebody asks.
        pub(crate) fn listen() -> Result<Self, String> {
            Ok(Self)
        }

        /// There are none.
        pub(crate) fn hear_hangups(&mut self) -> Result<(), String> {
            Ok(())
        }

        /// Waits for the next.
        pub(crate) async fn next(&mut self) -> Word {
            match tokio::signal::ctrl_c().await {
                Ok(()) => Word::End(2),
                Err(_) => std::future::pending().await,
            }
        }
    }
}

#[cfg(not(unix))]
pub(crate) use elsewhere::Signals;
#[cfg(unix)]
pub(crate) use unix::Signals;
