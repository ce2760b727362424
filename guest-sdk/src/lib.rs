//! Write a hookbox transformer in Rust: one function from an event and a webhook to a request.
//!
//! ```
//! use hookbox_guest::{Decision, Event, Failure, Webhook};
//! use serde::Deserialize;
//!
//! hookbox_guest::transformer!(transform);
//!
//! #[derive(Deserialize)]
//! #[serde(deny_unknown_fields)]
//! struct Settings {
//!     channel: String,
//! }
//!
//! fn transform(event: &Event, webhook: &Webhook) -> Result<Decision, Failure> {
//!     if event.event_type() == "deleted" {
//!         return Ok(Decision::skip("deletions are of no interest"));
//!     }
//!     let settings: Settings = webhook.settings()?;
//!     let request = webhook
//!         .request()
//!         .bearer(&hookbox_guest::required_secret("token")?)
//!         .json(&serde_json::json!({ "channel": settings.channel, "text": event.at("/data/name") }))?;
//!     Ok(request.into())
//! }
//!
//! // The function is an ordinary one, so its tests run natively, without a sandbox.
//! use hookbox_guest::testing;
//! use serde_json::json;
//!
//! testing::set_secret("token", "handle");
//! let event = testing::event("created", "dcim.site", json!({ "name": "Zürich" }));
//! let Decision::Send(request) = transform(&event, &testing::webhook(json!({ "channel": "ops" })))? else {
//!     panic!("a request was to be sent");
//! };
//! assert_eq!(request.body, r#"{"channel":"ops","text":"Zürich"}"#.as_bytes());
//! assert_eq!(request.header_value("authorization"), Some("Bearer handle"));
//!
//! let failure = transform(&event, &testing::webhook(json!({}))).unwrap_err();
//! assert_eq!(failure.message, "settings: missing field `channel`");
//! # Ok::<(), Failure>(())
//! ```
//!
//! Compile it as a `cdylib` with `hookbox plugin build`. In native tests [`log()`] and [`secret`] work on
//! stand-ins that [`testing`] controls.
//!
//! A transformer computes and nothing else. It has no clock, files, network, environment or randomness,
//! a fresh memory for each event, and the limits that the host's operator set.

// The generated code names this crate by its outside name.
#[cfg(target_arch = "wasm32")]
extern crate self as hookbox_guest;

mod decision;
mod event;
mod host;
mod path;
mod request;
mod text;
mod time;
mod webhook;

#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod bindings;
#[cfg(not(target_arch = "wasm32"))]
mod samples;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

pub use decision::{Decision, Failure, FailureKind};
pub use event::Event;
pub use host::{Level, log, required_secret, secret};
pub use request::Request;
pub use text::clip;
pub use webhook::{BodyEscape, Webhook};

/// The text of the package `hookbox:transformer` that this crate speaks.
pub const WIT: &str = include_str!("../wit/transformer.wit");

/// Makes a component of a function.
///
/// `transformer!(transform)` exports `transform: fn(&Event, &Webhook) -> Result<Decision, Failure>`.
/// `transformer!(transform, check)` exports also `check: fn(&Webhook) -> Result<(), Failure>`, which the
/// host calls when a webhook is saved; an error refuses the webhook.
///
/// Where the target is not WebAssembly this only checks the functions' types.
///
/// It is a macro by example and no attribute: an attribute would need a crate of its own and a parser of Rust,
/// which every author would compile first, and would hide the function's signature behind its own errors.
#[macro_export]
macro_rules! transformer {
    ($transform:path $(,)?) => {
        $crate::__export!(transformer, $transform, {});
    };
    ($transform:path, $check:path $(,)?) => {
        $crate::__export!(checking, $transform, {
            fn check(
                webhook: ::std::string::String,
            ) -> ::std::result::Result<(), $crate::bindings::transformer::Failure> {
                $crate::bindings::check(&webhook, $check)
            }
        });
        const _: fn(&$crate::Webhook) -> ::std::result::Result<(), $crate::Failure> = $check;
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export {
    ($world:ident, $transform:path, { $($check:tt)* }) => {
        const _: fn(
            &$crate::Event,
            &$crate::Webhook,
        ) -> ::std::result::Result<$crate::Decision, $crate::Failure> = $transform;

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Component;
            impl $crate::bindings::$world::Guest for Component {
                fn transform(
                    event: ::std::string::String,
                    webhook: ::std::string::String,
                ) -> ::std::result::Result<
                    $crate::bindings::transformer::Decision,
                    $crate::bindings::transformer::Failure,
                > {
                    $crate::bindings::transform(event, &webhook, $transform)
                }
                $($check)*
            }
            $crate::bindings::$world::export!(
                Component with_types_in $crate::bindings::$world
            );
        };
    };
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_wit_text_is_the_one_of_the_host() {
        assert_eq!(super::WIT, include_str!("../../wit/transformer.wit"));
    }
}
