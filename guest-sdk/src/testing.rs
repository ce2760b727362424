//! The host's stand-in where a transformer runs natively, in its tests. It belongs to the thread, so
//! tests do not disturb each other.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::Level;

#[derive(Default)]
struct Host {
    secrets: BTreeMap<String, String>,
    logs: Vec<(Level, String)>,
}

thread_local! {
    static HOST: RefCell<Host> = RefCell::default();
}

/// Lets [`crate::secret`] know a secret, by the handle it shall return.
pub fn set_secret(name: impl Into<String>, handle: impl Into<String>) {
    HOST.with_borrow_mut(|host| host.secrets.insert(name.into(), handle.into()));
}

/// The lines logged on this thread since the last call.
#[must_use]
pub fn take_logs() -> Vec<(Level, String)> {
    HOST.with_borrow_mut(|host| std::mem::take(&mut host.logs))
}

pub(crate) fn secret(name: &str) -> Option<String> {
    HOST.with_borrow(|host| host.secrets.get(name).cloned())
}

pub(crate) fn log(level: Level, message: &str) {
    HOST.with_borrow_mut(|host| host.logs.push((level, message.to_owned())));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_and_logs_stand_in_for_the_host() {
        assert_eq!(crate::secret("token"), None);
        set_secret("token", "handle_1");
        assert_eq!(crate::secret("token").as_deref(), Some("handle_1"));
        crate::log(Level::Warn, "careful");
        assert_eq!(take_logs(), [(Level::Warn, "careful".to_owned())]);
        assert_eq!(take_logs(), []);
    }
}
