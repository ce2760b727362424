//! Untrusted JSON becomes a webhook or a rule, or a list of what is wrong with it.
