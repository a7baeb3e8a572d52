//! What an item is, and how the fields of settings become values and values fields.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use outlast_core::admission::Rate;
use outlast_core::client::{Attempts, OnLost};
use outlast_service::{WhenExceeded, WhenFull};

use crate::address::Address;
use crate::kind::{Datum, Kind};
use crate::server::LogLevel;

/// One item of some settings, declared once: everything else is made of this.
#[derive(Debug)]
pub struct Item<S> {
    pub(crate) key: &'static str,
    pub(crate) kind: Kind,
    /// The word for not being set or not limited, if it may be so.
    pub(crate) none: Option<&'static str>,
    pub(crate) when: When,
    pub(crate) doc: &'static str,
    /// The names on the way to the field.
    pub(crate) field: &'static [&'static str],
    pub(crate) get: fn(&S) -> Datum,
    /// Whether it fits.
    pub(crate) set: fn(&mut S, &Datum) -> bool,
}

/// When another value of an item takes effect in a server that runs.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash)]
pub enum When {
    /// When settings are read again.
    AtOnce,
    /// When the program is started again.
    Restart,
}

/// Declares items: key, kind, word for none, unit and field, when it takes effect, what it is.
macro_rules! items {
    ($settings:ty; $(
        $key:literal $kind:expr, $none:expr, $unit:ident $($place:ident).+, $when:ident,
            $doc:literal;
    )*) => {
        vec![$($crate::item::Item::<$settings> {
            key: $key,
            kind: $kind,
            none: $none,
            when: $crate::item::When::$when,
            doc: $doc,
            field: &[$(stringify!($place)),+],
            get: |settings| $crate::item::$unit::get(&settings.$($place).+),
            set: |settings, datum| $crate::item::$unit::set(&mut settings.$($place).+, datum),
        }),*]
    };
}
pub(crate) use items;

/// The type of a field.
pub(crate) trait Field: Sized {
    fn show(&self) -> Datum;
    fn read(datum: &Datum) -> Option<Self>;
}

/// Fields as they are.
pub(crate) mod plain {
    use super::{Datum, Field};

    pub(crate) fn get<T: Field>(field: &T) -> Datum {
        field.show()
    }

    pub(crate) fn set<T: Field>(field: &mut T, datum: &Datum) -> bool {
        T::read(datum).map(|value| *field = value).is_some()
    }
}

/// Whole numbers of a unit, given the nanoseconds in one.
macro_rules! times {
    ($($name:ident $nanos:expr;)*) => {$(
        pub(crate) mod $name {
            use super::Datum;

            pub(crate) fn get<T: Copy + Into<u64>>(field: &T) -> Datum {
                let number: u64 = (*field).into();
                Datum::Number(number.saturating_mul($nanos))
            }

            pub(crate) fn set<T: TryFrom<u64>>(field: &mut T, datum: &Datum) -> bool {
                let Datum::Number(nanos) = datum else {
                    return false;
                };
                T::try_from(nanos / $nanos).map(|value| *field = value).is_ok()
            }
        }
    )*};
}

times! {
    micros 1_000;
    millis 1_000_000;
    seconds 1_000_000_000;
}

/// Sizes whose greatest value is no limit.
pub(crate) mod limit {
    use super::Datum;

    pub(crate) fn get(field: &usize) -> Datum {
        if *field == usize::MAX { Datum::None } else { Datum::Number(*field as u64) }
    }

    pub(crate) fn set(field: &mut usize, datum: &Datum) -> bool {
        *field = match datum {
            Datum::Number(number) => usize::try_from(*number).unwrap_or(usize::MAX),
            _ => usize::MAX,
        };
        true
    }
}

/// Batches: any of the three items begins them, and "none" of any of them ends them.
macro_rules! batches {
    ($($name:ident $field:ident $of:ident;)*) => {$(
        pub(crate) mod $name {
            use outlast_service::Batch;

            use super::{Datum, $of as unit};

            pub(crate) fn get(batch: &Option<Batch>) -> Datum {
                batch.as_ref().map_or(Datum::None, |batch| unit::get(&batch.$field))
            }

            pub(crate) fn set(batch: &mut Option<Batch>, datum: &Datum) -> bool {
                if *datum == Datum::None {
                    *batch = None;
                    return true;
                }
                unit::set(&mut batch.get_or_insert(super::BATCH).$field, datum)
            }
        }
    )*};
}

/// What holds of batches if only one of their items is set.
pub(crate) const BATCH: outlast_service::Batch =
    outlast_service::Batch { bytes: 16 << 10, messages: 100, delay: Duration::from_millis(5) };

batches! {
    batch_bytes bytes plain;
    batch_messages messages plain;
    batch_delay delay plain;
}

macro_rules! numbers {
    ($($number:ty)*) => {$(
        impl Field for $number {
            fn show(&self) -> Datum {
                Datum::Number(u64::try_from(*self).unwrap_or(0))
            }

            fn read(datum: &Datum) -> Option<Self> {
                match datum {
                    Datum::Number(number) => Self::try_from(*number).ok(),
                    _ => None,
                }
            }
        }
    )*};
}

numbers!(u8 u16 u32 i32 usize);

impl Field for bool {
    fn show(&self) -> Datum {
        Datum::Flag(*self)
    }

    fn read(datum: &Datum) -> Option<Self> {
        match datum {
            Datum::Flag(flag) => Some(*flag),
            _ => None,
        }
    }
}

impl Field for Duration {
    fn show(&self) -> Datum {
        Datum::Number(u64::try_from(self.as_nanos()).unwrap_or(u64::MAX))
    }

    fn read(datum: &Datum) -> Option<Self> {
        match datum {
            Datum::Number(nanos) => Some(Self::from_nanos(*nanos)),
            _ => None,
        }
    }
}

impl<T: Field> Field for Option<T> {
    fn show(&self) -> Datum {
        self.as_ref().map_or(Datum::None, T::show)
    }

    fn read(datum: &Datum) -> Option<Self> {
        match datum {
            Datum::None => Some(None),
            some => T::read(some).map(Some),
        }
    }
}

impl Field for Rate {
    fn show(&self) -> Datum {
        if *self == Self::UNLIMITED { Datum::None } else { Datum::Rate(*self) }
    }

    fn read(datum: &Datum) -> Option<Self> {
        match datum {
            Datum::None => Some(Self::UNLIMITED),
            Datum::Rate(rate) => Some(*rate),
            _ => None,
        }
    }
}

/// No attempt but the first is written as none, and no limit as no number.
impl Field for Attempts {
    fn show(&self) -> Datum {
        match self {
            Self::Once => Datum::Number(0),
            Self::UpTo(attempts) => Datum::Number((*attempts).into()),
            Self::Unlimited => Datum::None,
        }
    }

    fn read(datum: &Datum) -> Option<Self> {
        match datum {
            Datum::None => Some(Self::Unlimited),
            Datum::Number(0) => Some(Self::Once),
            Datum::Number(attempts) => u32::try_from(*attempts).ok().map(Self::UpTo),
            _ => None,
        }
    }
}

macro_rules! words {
    ($($name:ty: $($word:literal $variant:ident),+;)*) => {$(
        impl Field for $name {
            fn show(&self) -> Datum {
                Datum::Text(match self {
                    $(Self::$variant => $word,)+
                }.to_owned())
            }

            fn read(datum: &Datum) -> Option<Self> {
                let Datum::Text(word) = datum else {
                    return None;
                };
                match word.as_str() {
                    $($word => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    )*};
}

words! {
    WhenFull: "refuse" Refuse, "drop-newest" DropNewest, "disconnect" Disconnect;
    WhenExceeded: "wait" Wait, "disconnect" Disconnect;
    LogLevel: "off" Off, "warn" Warn, "info" Info, "debug" Debug;
    OnLost: "stop" Stop, "replace" Replace;
    outlast_core::admission::Access: "allow" Allow, "deny" Deny;
}

macro_rules! texts {
    ($($name:ty: |$it:ident| $show:expr;)*) => {$(
        impl Field for $name {
            fn show(&self) -> Datum {
                let $it = self;
                Datum::Text($show)
            }

            fn read(datum: &Datum) -> Option<Self> {
                match datum {
                    Datum::Text(text) => text.parse().ok(),
                    _ => None,
                }
            }
        }
    )*};
}

texts! {
    String: |it| it.clone();
    PathBuf: |it| it.to_string_lossy().into_owned();
    Address: |it| it.to_string();
}

impl Field for Vec<String> {
    fn show(&self) -> Datum {
        Datum::List(self.clone())
    }

    fn read(datum: &Datum) -> Option<Self> {
        match datum {
            Datum::List(list) => Some(list.clone()),
            _ => None,
        }
    }
}

impl Field for Vec<Address> {
    fn show(&self) -> Datum {
        Datum::List(self.iter().map(ToString::to_string).collect())
    }

    fn read(datum: &Datum) -> Option<Self> {
        match datum {
            Datum::List(list) => list.iter().map(|text| text.parse().ok()).collect(),
            _ => None,
        }
    }
}

impl Field for BTreeMap<String, String> {
    fn show(&self) -> Datum {
        Datum::Pairs(self.clone())
    }

    fn read(datum: &Datum) -> Option<Self> {
        match datum {
            Datum::Pairs(pairs) => Some(pairs.clone()),
            _ => None,
        }
    }
}
