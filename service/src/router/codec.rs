//! Payloads that are values.

#[cfg(any(feature = "json", feature = "postcard"))]
use serde::{Serialize, de::DeserializeOwned};

#[cfg(any(feature = "json", feature = "postcard"))]
use super::{Context, Extract, IntoReply, Rejection, Reply};

/// A value as JSON, in arguments and in answers (feature `json`).
#[cfg(feature = "json")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Json<T>(pub T);

#[cfg(feature = "json")]
impl<T: DeserializeOwned> Extract for Json<T> {
    fn extract(cx: &Context<'_>) -> Result<Self, Rejection> {
        let value = serde_json::from_slice(cx.payload());
        value.map(Self).map_err(|error| Rejection::invalid(format!("no such JSON: {error}")))
    }
}

#[cfg(feature = "json")]
impl<T: Serialize> IntoReply for Json<T> {
    fn into_reply(self) -> Reply {
        serde_json::to_vec(&self.0).map_or_else(Reply::fault, Vec::into_reply)
    }
}

/// A value as postcard, in arguments and in answers (feature `postcard`): a few bytes, and the same
/// type can be used by firmware.
#[cfg(feature = "postcard")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Postcard<T>(pub T);

#[cfg(feature = "postcard")]
impl<T: DeserializeOwned> Extract for Postcard<T> {
    fn extract(cx: &Context<'_>) -> Result<Self, Rejection> {
        let no = |error: &dyn std::fmt::Display| {
            Rejection::invalid(format!("no such value in postcard: {error}"))
        };
        match postcard::take_from_bytes(cx.payload()) {
            Ok((value, [])) => Ok(Self(value)),
            Ok((_, rest)) => Err(no(&format_args!("{} bytes too many", rest.len()))),
            Err(error) => Err(no(&error)),
        }
    }
}

#[cfg(feature = "postcard")]
impl<T: Serialize> IntoReply for Postcard<T> {
    fn into_reply(self) -> Reply {
        let fault = |error: postcard::Error| Reply::fault(error.to_string());
        postcard::to_allocvec(&self.0).map_or_else(fault, Vec::into_reply)
    }
}
