//! One function's body: what makes it costly to compile.

use wasmparser::{FunctionBody, Operator, OperatorsReader};

/// The figures of a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Body {
    pub(super) locals: u64,
    pub(super) block_depth: u64,
    pub(super) branch_targets: u64,
}

/// Reads a body once, from its locals to its end. Time and memory: linear in its bytes.
pub(super) fn measure(body: &FunctionBody<'_>) -> wasmparser::Result<Body> {
    let mut found = Body::default();
    let mut locals = body.get_locals_reader()?;
    for _ in 0..locals.get_count() {
        // the reader refuses a sum that is no u32
        let (count, _) = locals.read()?;
        found.locals = found.locals.saturating_add(u64::from(count));
    }
    let mut operators = OperatorsReader::new(locals.get_binary_reader());
    let mut depth: u64 = 0;
    while !operators.eof() {
        match operators.read()? {
            Operator::Block { .. }
            | Operator::Loop { .. }
            | Operator::If { .. }
            | Operator::Try { .. }
            | Operator::TryTable { .. } => {
                depth = depth.saturating_add(1);
                found.block_depth = found.block_depth.max(depth);
            }
            Operator::End | Operator::Delegate { .. } => depth = depth.saturating_sub(1),
            Operator::BrTable { targets } => {
                found.branch_targets = found.branch_targets.max(u64::from(targets.len()));
            }
            _ => {}
        }
    }
    operators.finish()?;
    Ok(found)
}
