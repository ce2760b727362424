//! Comparison as Python does it, on JSON values.

use std::cmp::Ordering;

use serde_json::{Number, Value};

use super::{
    fuel::{Fuel, OutOfFuel},
    path::Found,
};

/// `gt`, `gte`, `lt`, `lte`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Gt,
    Gte,
    Lt,
    Lte,
}

impl Order {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Gt => "gt",
            Self::Gte => "gte",
            Self::Lt => "lt",
            Self::Lte => "lte",
        }
    }

    pub(super) const fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Gt => ordering.is_gt(),
            Self::Gte => ordering.is_ge(),
            Self::Lt => ordering.is_lt(),
            Self::Lte => ordering.is_le(),
        }
    }
}

/// `a == b`: numbers and booleans by value whatever their type, lists by their elements, objects by their
/// keys whatever their order. Values are walked with a stack of their own, so that depth costs no stack.
pub(super) fn equal(a: &Value, b: &Value, fuel: &mut Fuel) -> Result<bool, OutOfFuel> {
    let mut pending = Vec::new();
    let mut next = Some((a, b));
    while let Some((a, b)) = next {
        match (a, b) {
            (Value::Array(a), Value::Array(b)) => {
                if a.len() != b.len() {
                    return Ok(false);
                }
                fuel.spend(a.len() as u64)?;
                pending.extend(a.iter().zip(b).rev());
            }
            (Value::Object(a), Value::Object(b)) => {
                if a.len() != b.len() {
                    return Ok(false);
                }
                for (key, a) in a {
                    fuel.step(key.len())?;
                    let Some(b) = b.get(key) else {
                        return Ok(false);
                    };
                    pending.push((a, b));
                }
            }
            _ => {
                if !equal_scalars(a, b, fuel)? {
                    return Ok(false);
                }
            }
        }
        fuel.step(0)?;
        next = pending.pop();
    }
    Ok(true)
}

fn equal_scalars(a: &Value, b: &Value, fuel: &mut Fuel) -> Result<bool, OutOfFuel> {
    Ok(match (a, b) {
        (Value::String(a), Value::String(b)) => {
            fuel.step(a.len().min(b.len()))?;
            a == b
        }
        (Value::Null, Value::Null) => true,
        _ => compare(a, b) == Some(Ordering::Equal),
    })
}

/// `a == b` for what paths found: a list gathered from many places equals a list of equal elements.
pub(super) fn found_equal(
    a: &Found<'_>,
    b: &Found<'_>,
    fuel: &mut Fuel,
) -> Result<bool, OutOfFuel> {
    match (a, b) {
        (Found::Value(a), Found::Value(b)) => equal(a, b, fuel),
        (Found::List(a), Found::List(b)) => all_equal(
            a.iter().copied(),
            b.iter().copied(),
            a.len() == b.len(),
            fuel,
        ),
        (Found::List(list), Found::Value(Value::Array(items)))
        | (Found::Value(Value::Array(items)), Found::List(list)) => all_equal(
            items.iter(),
            list.iter().copied(),
            items.len() == list.len(),
            fuel,
        ),
        (Found::List(_), Found::Value(_)) | (Found::Value(_), Found::List(_)) => {
            fuel.step(0)?;
            Ok(false)
        }
    }
}

fn all_equal<'a>(
    a: impl Iterator<Item = &'a Value>,
    b: impl Iterator<Item = &'a Value>,
    same_length: bool,
    fuel: &mut Fuel,
) -> Result<bool, OutOfFuel> {
    fuel.step(0)?;
    if !same_length {
        return Ok(false);
    }
    for (a, b) in a.zip(b) {
        if !equal(a, b, fuel)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether one of the elements equals the value.
pub(super) fn any_equal<'a>(
    elements: impl Iterator<Item = &'a Value>,
    value: &Found<'_>,
    fuel: &mut Fuel,
) -> Result<bool, OutOfFuel> {
    for element in elements {
        fuel.step(0)?;
        if found_equal(&Found::Value(element), value, fuel)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The exact order of two numbers, also of an integer and a float; true and false count as 1 and 0. `None` if one of
/// them is not a number.
pub(super) fn compare(a: &Value, b: &Value) -> Option<Ordering> {
    match (real(a)?, real(b)?) {
        (Real::Int(a), Real::Int(b)) => Some(a.cmp(&b)),
        (Real::Float(a), Real::Float(b)) => a.partial_cmp(&b),
        (Real::Int(a), Real::Float(b)) => int_with_float(a, b),
        (Real::Float(a), Real::Int(b)) => int_with_float(b, a).map(Ordering::reverse),
    }
}

enum Real {
    Int(i128),
    Float(f64),
}

fn real(value: &Value) -> Option<Real> {
    match value {
        Value::Bool(b) => Some(Real::Int(i128::from(*b))),
        Value::Number(n) => integer(n)
            .map(Real::Int)
            .or_else(|| n.as_f64().map(Real::Float)),
        _ => None,
    }
}

fn integer(n: &Number) -> Option<i128> {
    n.as_i64()
        .map(i128::from)
        .or_else(|| n.as_u64().map(i128::from))
}

/// Exact: the float is taken apart into its whole part, which an `i128` holds for every float in reach of
/// a 64-bit integer, and the rest.
fn int_with_float(a: i128, b: f64) -> Option<Ordering> {
    const BEYOND: f64 = (1_u128 << 100) as f64;
    if b.is_nan() {
        return None;
    }
    if b >= BEYOND {
        return Some(Ordering::Less);
    }
    if b <= -BEYOND {
        return Some(Ordering::Greater);
    }
    let whole = b.trunc() as i128;
    Some(
        a.cmp(&whole)
            .then_with(|| 0.0_f64.partial_cmp(&b.fract()).unwrap_or(Ordering::Equal)),
    )
}
