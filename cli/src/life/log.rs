//! What is told of sessions and connections on standard error.

use outlast_config::LogLevel;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, fmt};

/// How much of it is told, which may change at any time.
pub(crate) struct Log(Handle<LevelFilter, Registry>);

impl Log {
    /// Tells from now on, in this process.
    ///
    /// # Errors
    ///
    /// A sentence, if somebody else tells already.
    pub(crate) fn begin(level: LogLevel) -> Result<Self, String> {
        let (filter, handle) = reload::Layer::new(of(level));
        let told = fmt::layer().with_writer(std::io::stderr);
        let begun = tracing_subscriber::registry().with(filter).with(told).try_init();
        begun.map_err(|error| format!("log.level: {error}"))?;
        Ok(Self(handle))
    }

    /// Tells more or less from now on.
    pub(crate) fn set(&self, level: LogLevel) {
        // The other end of it lives as long as the process.
        let _ = self.0.reload(of(level));
    }
}

const fn of(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    }
}
