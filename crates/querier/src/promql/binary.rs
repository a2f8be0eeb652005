//! Operators between two expressions: which elements of two vectors meet, and what becomes of their values and labels.

mod matching;
mod set;

use flamelake_model::StatusError;

use super::ast::{Binary, BinaryOp};
use super::eval::Evaluator;
use super::values::{Steps, Value, Vector};

/// The value of an operation. Kinds of its operands are checked.
pub(crate) fn binary(evaluator: &Evaluator<'_>, binary: &Binary, steps: Steps) -> Result<Value, StatusError> {
    let left = evaluator.evaluate(&binary.left, steps)?;
    let right = evaluator.evaluate(&binary.right, steps)?;
    let vector = match (left, right) {
        (Value::Scalar(left), Value::Scalar(right)) => {
            let values = left.iter().zip(&right).map(|(left, right)| number(binary.op, *left, *right));
            return Ok(Value::Scalar(values.collect()));
        }
        (Value::Vector(left), Value::Scalar(right)) => {
            with_scalar(evaluator, binary, left, |at, value| (value, right[at]))?
        }
        (Value::Scalar(left), Value::Vector(right)) => {
            with_scalar(evaluator, binary, right, |at, value| (left[at], value))?
        }
        (Value::Vector(left), Value::Vector(right)) if binary.op.is_set() => {
            set::combine(evaluator.budget, binary, &left.series, &right.series, steps)?
        }
        (Value::Vector(left), Value::Vector(right)) => {
            matching::meet(evaluator.budget, binary, &left.series, &right.series, steps)?
        }
        _ => return Err(StatusError::internal("numbers were checked for")),
    };
    Ok(Value::Vector(vector))
}

/// A vector and a number; `operands` puts them in order.
fn with_scalar(
    evaluator: &Evaluator<'_>,
    binary: &Binary,
    vector: Vector,
    operands: impl Fn(usize, f64) -> (f64, f64),
) -> Result<Vector, StatusError> {
    if !binary.op.is_comparison() || binary.bool {
        return evaluator.mapped_at(vector, |at, value| {
            let (left, right) = operands(at, value);
            Some(number(binary.op, left, right))
        });
    }
    let Vector { mut series, .. } = vector;
    for series in &mut series {
        for (at, slot) in series.values.iter_mut().enumerate() {
            *slot = slot.filter(|value| {
                let (left, right) = operands(at, *value);
                number(binary.op, left, right) != 0.0
            });
        }
    }
    Vector::new(series, evaluator.budget)
}

/// Of two numbers; comparisons give 1 or 0.
fn number(op: BinaryOp, left: f64, right: f64) -> f64 {
    let truth = |holds: bool| f64::from(u8::from(holds));
    match op {
        BinaryOp::Add => left + right,
        BinaryOp::Subtract => left - right,
        BinaryOp::Multiply => left * right,
        BinaryOp::Divide => left / right,
        BinaryOp::Modulo => left % right,
        BinaryOp::Power => left.powf(right),
        BinaryOp::Atan2 => left.atan2(right),
        BinaryOp::Equal => truth(left == right),
        BinaryOp::NotEqual => truth(left != right),
        BinaryOp::Less => truth(left < right),
        BinaryOp::LessOrEqual => truth(left <= right),
        BinaryOp::Greater => truth(left > right),
        BinaryOp::GreaterOrEqual => truth(left >= right),
        // Of vectors only.
        BinaryOp::And | BinaryOp::Or | BinaryOp::Unless => f64::NAN,
    }
}
