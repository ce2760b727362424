//! Tenants and their keys, put straight into the store: the API makes none yet.

use hookbox::{
    backend::{ApiKey, KeyScope, Registry},
    model::{TenantId, Timestamp},
    tenant::keys::key_hash,
};
use hookbox_tests::server::KEY;

use super::open_at;
use crate::contract::bed::LIMITS;

/// The admin keys of so many tenants, the first of which is `default`. `shards` is what the store is to be
/// set up with.
pub(crate) async fn keys_of_tenants(url: &str, shards: u16, tenants: usize) -> Vec<String> {
    let backend = open_at(url, LIMITS, |config| config.redis.shards = shards).await;
    let mut keys = vec![KEY.to_owned()];
    for n in 1..tenants {
        let key = format!("hb_admin_key_of_the_tenant_number_{n}_0123456789abcdef");
        let record = ApiKey {
            id: format!("key_{n}"),
            name: format!("admin {n}"),
            tenant: TenantId::from(format!("tenant-{n}")),
            scope: KeyScope::Admin,
            created: Timestamp::now(),
            hash: key_hash(&key),
        };
        backend.put_key(&record, None).await.unwrap();
        keys.push(key);
    }
    keys
}
