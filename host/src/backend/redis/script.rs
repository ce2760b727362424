//! The steps as Redis runs them: Lua, each with the part that all share before it.

use std::sync::LazyLock;

/// One step. Redis knows it by the SHA-1 of its text, and gets the text when it does not.
#[derive(Debug)]
pub(crate) struct Script {
    pub(super) name: &'static str,
    pub(super) code: String,
    pub(super) sha1: String,
}

impl Script {
    /// `flags` are Redis': with `allow-oom` a step is made also when memory is at its limit, which is right
    /// for all that move deliveries on, and with `no-writes` also by a replica.
    fn new(name: &'static str, flags: &str, body: &str) -> Self {
        let code = format!("#!lua flags={flags}\n{COMMON}{body}");
        let sha1 = redis::Script::new(&code).get_hash().to_owned();
        Self { name, code, sha1 }
    }
}

const COMMON: &str = include_str!("lua/common.lua");

macro_rules! scripts {
    ($($name:ident = ($flags:literal, $file:literal $(after $shared:literal)?);)+) => {
        $(pub(crate) static $name: LazyLock<Script> = LazyLock::new(|| {
            let body = concat!(
                $(include_str!(concat!("lua/", $shared, ".lua")),)?
                include_str!(concat!("lua/", $file, ".lua")),
            );
            Script::new($file, $flags, body)
        });)+
    };
}

scripts! {
    ENQUEUE = ("", "enqueue");
    CLAIM = ("allow-oom", "claim");
    RENEW = ("allow-oom", "renew");
    SETTLE = ("allow-oom", "settle");
    RELEASE = ("allow-oom", "release");
    DEFER = ("allow-oom", "defer");
    REQUEUE = ("allow-oom", "requeue");
    CANCEL = ("allow-oom", "cancel");
    DRAIN = ("allow-oom", "drain");
    PRUNE = ("allow-oom", "prune");
    HEARTBEAT = ("allow-oom", "heartbeat");
    OVERVIEW = ("no-writes", "overview");
    WAKE = ("allow-oom", "wake");
    PUT_WEBHOOK = ("", "put_webhook" after "named");
    PUT_RULE = ("", "put_rule" after "named");
    PUT_SECRET = ("", "put_secret" after "named");
    PUT_PLUGIN = ("", "put_plugin" after "named");
    PUT_KEY = ("", "put_key" after "named");
    DELETE = ("allow-oom", "delete");
    COMPONENT = ("", "component");
    GIVE_UP = ("allow-oom", "give_up");
    SWEEP = ("allow-oom", "sweep");
    TALLY = ("allow-oom", "tally");
    PAGE = ("no-writes", "page");
    TENANT = ("no-writes", "tenant");
    ATTEMPTS = ("no-writes", "attempts");
    PING = ("", "ping");
}
