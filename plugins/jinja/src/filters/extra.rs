//! Filters that Jinja2 lacks and its users miss, by the names and arguments that Ansible gave them.

use super::Filter;

pub(crate) const FILTERS: &[Filter] = &[];
