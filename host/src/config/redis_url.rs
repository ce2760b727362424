//! `redis.url`.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use crate::config::redis_address::Address;

/// Where Redis is, or nothing for the embedded store, which an empty text stands for. It serialises without
/// passwords, and what it serialises to is refused if it had one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RedisUrl(Option<Address>);

impl RedisUrl {
    /// The address, if there is one.
    #[must_use]
    pub fn address(&self) -> Option<&Address> {
        self.0.as_ref()
    }
}

impl From<Address> for RedisUrl {
    fn from(address: Address) -> Self {
        Self(Some(address))
    }
}

impl Serialize for RedisUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Some(address) => serializer.collect_str(address),
            None => serializer.serialize_str(""),
        }
    }
}

impl<'de> Deserialize<'de> for RedisUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() {
            return Ok(Self(None));
        }
        let address: Address = text
            .parse()
            .map_err(|e| D::Error::custom(format_args!("not a valid Redis URL: {e}")))?;
        Ok(address.into())
    }
}
