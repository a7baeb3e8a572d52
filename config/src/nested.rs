//! Settings as tables inside of tables, for everything that `serde` reads and writes.

use std::collections::BTreeMap;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::client::ClientSettings;
use crate::file::nest;
use crate::server::ServerSettings;
use crate::settings::Settings;
use crate::value::Value;

macro_rules! nested {
    ($($settings:ty)*) => {$(
        impl Serialize for $settings {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                Value::Map(nest(self.to_map())).serialize(serializer)
            }
        }

        impl<'de> Deserialize<'de> for $settings {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let map = BTreeMap::<String, Value>::deserialize(deserializer)?;
                Self::from_map(&map).map_err(D::Error::custom)
            }
        }
    )*};
}

nested!(ServerSettings ClientSettings);
