//! Student's t distribution, by the regularised incomplete beta function.

/// Rounds of the continued fraction; it needs about the root of its larger parameter.
const ROUNDS_MAX: u32 = 20_000;
/// Where the continued fraction ends.
const PRECISION: f64 = 1e-14;
/// Stands for 0 where something is divided by it.
const TINY: f64 = 1e-300;

/// How likely a t of this size or larger, of either sign, is by chance. `freedom` is above 0.
pub(super) fn two_sided(t: f64, freedom: f64) -> f64 {
    if t.is_infinite() {
        return 0.0;
    }
    incomplete_beta(freedom / 2.0, 0.5, freedom / (freedom + t * t)).clamp(0.0, 1.0)
}

/// The t that [`two_sided`] gives this probability, between 0 and 1.
pub(super) fn quantile(two_sided_probability: f64, freedom: f64) -> f64 {
    let is_too_small = |t: f64| two_sided(t, freedom) > two_sided_probability;
    let (mut low, mut high) = (0.0, 1.0);
    while is_too_small(high) && high < 1e12 {
        (low, high) = (high, high * 2.0);
    }
    for _ in 0..100 {
        let middle = f64::midpoint(low, high);
        if is_too_small(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

/// I_x(a, b).
fn incomplete_beta(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return if x <= 0.0 { 0.0 } else { 1.0 };
    }
    let front = (ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (-x).ln_1p()).exp();
    // On this side of the mean the fraction converges fast.
    if x < (a + 1.0) / (a + b + 2.0) {
        front * fraction(a, b, x) / a
    } else {
        1.0 - front * fraction(b, a, 1.0 - x) / b
    }
}

/// The continued fraction of the incomplete beta function, by Lentz's method.
fn fraction(a: f64, b: f64, x: f64) -> f64 {
    let floor = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut c = 1.0;
    let mut d = 1.0 / floor(1.0 - (a + b) * x / (a + 1.0));
    let mut value = d;
    for round in 1..=ROUNDS_MAX {
        let m = f64::from(round);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let mut step = 1.0;
        for term in [even, odd] {
            d = 1.0 / floor(1.0 + term * d);
            c = floor(1.0 + term / c);
            step = c * d;
            value *= step;
        }
        if (step - 1.0).abs() < PRECISION {
            break;
        }
    }
    value
}

/// The logarithm of the gamma function above 0, by Lanczos' approximation (g = 7, nine terms).
fn ln_gamma(x: f64) -> f64 {
    const TERMS: [f64; 8] = [
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    if x < 0.5 {
        return (std::f64::consts::PI / (std::f64::consts::PI * x).sin()).ln() - ln_gamma(1.0 - x);
    }
    let x = x - 1.0;
    let sum = (1..).zip(TERMS).fold(0.999_999_999_999_809_9, |sum, (at, term)| sum + term / (x + f64::from(at)));
    let base = x + 7.5;
    0.5 * (2.0 * std::f64::consts::PI).ln() + (x + 0.5) * base.ln() - base + sum.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: f64, expected: f64, digits: f64) {
        assert!((found - expected).abs() <= digits * expected.abs(), "{found} is not {expected}");
    }

    #[test]
    fn logarithms_of_gamma() {
        for (x, expected) in
            [(0.5, 0.572_364_942_924_700_1), (1.0, 0.0), (5.0, 24_f64.ln()), (0.1, 2.252_712_651_734_206)]
        {
            assert!((ln_gamma(x) - expected).abs() < 1e-12, "{x}");
        }
        near(ln_gamma(1000.0), 5_905.220_423_209_181, 1e-13);
    }

    /// Values in closed form: one and two degrees of freedom, and the normal distribution far out.
    #[test]
    fn probabilities_in_closed_form() {
        for t in [0.0_f64, 0.3, 1.0, 2.5, 12.706, 1e4] {
            near(two_sided(t, 1.0), 1.0 - 2.0 / std::f64::consts::PI * t.atan(), 1e-9);
            near(two_sided(t, 2.0), 1.0 - t / (2.0 + t * t).sqrt(), 1e-7);
        }
        near(two_sided(1.959_963_984_540_054, 1e9), 0.05, 1e-6);
        assert_eq!((two_sided(f64::INFINITY, 7.0), two_sided(0.0, 7.0)), (0.0, 1.0));
    }

    /// Printed tables of the t distribution: degrees of freedom, two-sided probability, critical value.
    #[test]
    fn probabilities_of_printed_tables() {
        for (freedom, probability, t) in [
            (1.0, 0.05, 12.706_2),
            (4.0, 0.10, 2.131_8),
            (5.0, 0.01, 4.032_1),
            (10.0, 0.05, 2.228_1),
            (10.0, 0.001, 4.586_9),
            (30.0, 0.02, 2.457_3),
            (60.0, 0.05, 2.000_3),
            (120.0, 0.01, 2.617_4),
            (1e7, 0.001, 3.290_5),
        ] {
            near(two_sided(t, freedom), probability, 2e-4);
            near(quantile(probability, freedom), t, 5e-5);
            near(two_sided(-t, freedom), probability, 2e-4);
        }
    }

    #[test]
    fn quantiles_invert_probabilities() {
        for freedom in [1.5, 7.3, 399.0, 4_000.0] {
            for probability in [0.5, 0.05, 1e-6] {
                near(two_sided(quantile(probability, freedom), freedom), probability, 1e-9);
            }
        }
    }
}
