//! Components of plugins, in pieces: no step takes long, and no value is so large that it holds up what
//! comes after it on its connection.

use redis::Value;

use crate::backend::redis::{
    RedisBackend,
    fault::{stored, unavailable},
    script::{COMPONENT, GIVE_UP},
    store::{Mode, text},
};
use crate::{
    backend::{
        BackendError,
        registry::{COMPONENT_PIECE, check_component_id, is_component, sweeping},
    },
    model::TenantId,
};

/// Pieces that are read together.
const READ: u64 = 4;
/// How often a component is looked for that is removed and stored again meanwhile.
const LOOKS: usize = 3;

impl RedisBackend {
    pub(super) async fn store_component(
        &self,
        tenant: &TenantId,
        sha256: &str,
        bytes: &[u8],
        at_most: Option<u64>,
    ) -> Result<(), BackendError> {
        check_component_id(sha256)?;
        let shard = self.store.shard_of(tenant)?;
        let upload = hex::encode(rand::random::<[u8; 8]>());
        let pieces = bytes.chunks(COMPONENT_PIECE);
        let count = pieces.len().to_string();
        let step = async |what: &str, more: &[&[u8]]| {
            let mut args: Vec<&[u8]> = vec![
                what.as_bytes(),
                tenant.as_str().as_bytes(),
                sha256.as_bytes(),
                upload.as_bytes(),
                count.as_bytes(),
            ];
            args.extend(more);
            let answer = self.store.run(shard, &COMPONENT, &args, Mode::STORE);
            let mut answer = answer.await?;
            if answer.tag == "GONE" {
                return Err(unavailable(
                    &"storing a component took so long that it was given up, or Redis has lost a part of it; upload it again",
                ));
            }
            if answer.tag == "FULL" {
                let stored = answer.int()?;
                return Err(BackendError::TooManyBytes {
                    stored: u64::try_from(stored).unwrap_or(0),
                    limit: at_most.unwrap_or(u64::MAX),
                });
            }
            Ok(answer.ok()?.int()? == 1)
        };
        let size = bytes.len().to_string();
        let most = at_most.map(|most| most.to_string()).unwrap_or_default();
        if step("begin", &[size.as_bytes(), most.as_bytes()]).await? {
            return Ok(());
        }
        for (number, piece) in pieces.enumerate() {
            let number = number.to_string();
            step("piece", &[number.as_bytes(), piece]).await?;
        }
        step("end", &[]).await.map(drop)
    }

    pub(super) async fn give_up_component(
        &self,
        tenant: &TenantId,
        sha256: &str,
    ) -> Result<(), BackendError> {
        let shard = self.store.shard_of(tenant)?;
        let args: [&[u8]; 2] = [tenant.as_str().as_bytes(), sha256.as_bytes()];
        let answer = self.store.run(shard, &GIVE_UP, &args, Mode::REPEATABLE);
        answer.await?.ok()?;
        sweeping(self.sweep(shard).await);
        Ok(())
    }

    pub(super) async fn read_component(
        &self,
        tenant: &TenantId,
        sha256: &str,
    ) -> Result<Option<Vec<u8>>, BackendError> {
        let shard = self.store.shard_of(tenant)?;
        let mut before = None;
        for _ in 0..LOOKS {
            let mut get = redis::pipe();
            get.hget(
                self.store.key(shard, &format!("components:{tenant}")),
                sha256,
            );
            let found = self.store.read(shard, &get).await?.into_iter().next();
            let whole = match found {
                None | Some(Value::Nil) => return Ok(None),
                Some(whole) => text(whole)?,
            };
            if before.as_ref() == Some(&whole) {
                return Err(stored("a piece of a component is missing"));
            }
            if let Some(bytes) = self.pieces(shard, &whole).await? {
                return verified(sha256.to_owned(), bytes).await.map(Some);
            }
            before = Some(whole);
        }
        Ok(None)
    }

    pub(super) async fn read_piece(
        &self,
        tenant: &TenantId,
        sha256: &str,
        number: u32,
    ) -> Result<Option<Vec<u8>>, BackendError> {
        let shard = self.store.shard_of(tenant)?;
        let all = self.store.key(shard, &format!("components:{tenant}"));
        let mut get = redis::pipe();
        get.hget(all, sha256);
        let whole = match self.store.read(shard, &get).await?.into_iter().next() {
            None | Some(Value::Nil) => return Ok(None),
            Some(whole) => text(whole)?,
        };
        let upload = whole.split('|').next().unwrap_or_default();
        let mut get = redis::pipe();
        get.get(self.store.key(shard, &format!("piece:{upload}|{number}")));
        match self.store.read(shard, &get).await?.into_iter().next() {
            Some(Value::BulkString(piece)) => Ok(Some(piece)),
            None | Some(Value::Nil) => Ok(None),
            Some(_) => Err(stored("a piece of a component is not bytes")),
        }
    }

    /// The pieces of an upload, together; `None` if one is missing.
    async fn pieces(&self, shard: usize, whole: &str) -> Result<Option<Vec<u8>>, BackendError> {
        let odd = || stored("a component has no number of pieces");
        let (upload, pieces) = whole.split_once('|').ok_or_else(odd)?;
        let pieces: u64 = pieces.parse().map_err(|_| odd())?;
        let mut bytes = Vec::new();
        let mut next = 0;
        while next < pieces {
            let end = pieces.min(next.saturating_add(READ));
            let mut get = redis::pipe();
            for number in next..end {
                get.get(self.store.key(shard, &format!("piece:{upload}|{number}")));
            }
            for piece in self.store.read(shard, &get).await? {
                match piece {
                    Value::BulkString(piece) => bytes.extend_from_slice(&piece),
                    Value::Nil => return Ok(None),
                    _ => return Err(stored("a piece of a component is not bytes")),
                }
            }
            next = end;
        }
        Ok(Some(bytes))
    }
}

/// The bytes, if they are those that were stored under this name.
async fn verified(sha256: String, bytes: Vec<u8>) -> Result<Vec<u8>, BackendError> {
    let check = move || match is_component(&sha256, &bytes) {
        true => Ok(bytes),
        false => Err(stored("a component is not what was stored")),
    };
    let checking = tokio::task::spawn_blocking(check).await;
    checking.map_err(|_| BackendError::Internal("looking at a component panicked".to_owned()))?
}
