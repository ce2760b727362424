//! Event rules and their conditions, against what NetBox answers.

mod conditions;
mod netbox_conditions;
mod python;
mod random;
mod reference;
