//! Log lines: by `defmt`, by `log`, or not at all.

/// Something that an operator may want to know.
macro_rules! info {
    ($text:literal $(, $value:expr)* $(,)?) => {{
        #[cfg(feature = "defmt")]
        defmt::info!($text $(, $value)*);
        #[cfg(all(feature = "log", not(feature = "defmt")))]
        log::info!($text $(, $value)*);
        #[cfg(not(any(feature = "defmt", feature = "log")))]
        { $( let _ = &$value; )* }
    }};
}

pub(crate) use info;
