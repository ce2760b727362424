//! Removing a store.

use redis::Value;

use crate::backend::BackendError;
use crate::backend::redis::{RedisBackend, fault::stored};

/// Keys looked at, and then removed, by one command.
const STEP: usize = 1000;

impl RedisBackend {
    /// Removes every key under this store's prefix and no other: for stores that were made to be thrown away.
    /// Nothing may use the store meanwhile. Looks at every key of the database.
    ///
    /// # Errors
    /// When Redis fails; some keys may be left then.
    pub async fn remove_all(&self) -> Result<(), BackendError> {
        for shard in 0..self.store.shards() {
            // The prefix has none of the characters that mean something in a pattern.
            let pattern = self.store.key(shard, "*");
            let mut cursor = "0".to_owned();
            loop {
                let mut scan = redis::pipe();
                scan.cmd("SCAN").arg(&cursor);
                scan.arg("MATCH").arg(&pattern).arg("COUNT").arg(STEP);
                let answer = self.store.read(shard, &scan).await?.into_iter().next();
                let found = redis::from_redis_value(answer.unwrap_or(Value::Nil));
                let (next, keys): (String, Vec<String>) =
                    found.map_err(|_| stored("SCAN was not answered with keys"))?;
                if !keys.is_empty() {
                    let mut unlink = redis::pipe();
                    unlink.cmd("UNLINK").arg(keys);
                    self.store.read(shard, &unlink).await?;
                }
                if next == "0" {
                    break;
                }
                cursor = next;
            }
        }
        Ok(())
    }
}
