//! Event rules and their conditions, against what NetBox answers.

mod netbox_conditions;
