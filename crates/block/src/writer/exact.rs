//! Division of multiples: a shift and a multiplication instead of a division, which costs ten times as much a sample.

/// Divides what is a multiple of it, and tells what is.
///
/// An odd number has an inverse modulo 2⁶⁴, and multiplying a multiple by it is the exact quotient (Warren, *Hacker's Delight*, 10-16 and 10-17).
#[derive(Clone, Copy, Debug)]
pub(super) struct ExactDivisor {
    divisor: i64,
    shift: u32,
    inverse: i64,
}

impl ExactDivisor {
    /// Of a number above 0.
    pub(super) fn new(divisor: i64) -> Self {
        let shift = divisor.trailing_zeros();
        let odd = divisor >> shift;
        // Newton: each step doubles the bits that are right, from the three that every odd number has of itself.
        let mut inverse = odd;
        for _ in 0..5 {
            inverse = inverse.wrapping_mul(2_i64.wrapping_sub(odd.wrapping_mul(inverse)));
        }
        Self { divisor, shift, inverse }
    }

    pub(super) fn get(self) -> i64 {
        self.divisor
    }

    /// The quotient of a multiple; of anything else something.
    pub(super) fn divide(self, multiple: i64) -> i64 {
        (multiple >> self.shift).wrapping_mul(self.inverse)
    }

    /// Whether it is a multiple.
    pub(super) fn divides(self, value: i64) -> bool {
        let low = value & ((1_i64 << self.shift) - 1);
        low == 0 && self.divide(value).checked_mul(self.divisor) == Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_divides_as_division_does() {
        let numbers = [1, 2, 3, 6, 7, 10, 255, 256, 10_000_000, 1 << 61, 1 << 62, i64::MAX / 2, i64::MAX];
        for divisor in numbers {
            let exact = ExactDivisor::new(divisor);
            for factor in [0, 1, -1, 2, 3, -7, 1_000, i64::MAX, i64::MIN] {
                let Some(multiple) = factor.checked_mul(divisor) else { continue };
                assert_eq!(exact.divide(multiple), factor, "{multiple} / {divisor}");
                for value in [multiple, multiple.wrapping_add(1), multiple.wrapping_sub(1), multiple ^ (1 << 62)] {
                    assert_eq!(exact.divides(value), value % divisor == 0, "{value} % {divisor}");
                }
            }
        }
    }
}
