//! Generic and inlined functions, for mangled names.

mod flame {
    #[inline(always)]
    fn mix<T: Into<u64>>(x: T) -> u64 {
        x.into().wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(7)
    }

    #[inline(never)]
    pub fn sum<T: Into<u64> + Copy>(values: &[T]) -> u64 {
        values.iter().map(|value| mix(*value)).fold(0, u64::wrapping_add)
    }
}

fn main() {
    let count = std::env::args().count();
    let values: Vec<u64> = (0..count as u64 * 1000).collect();
    let small: Vec<u32> = (0..count as u32 * 1000).collect();
    std::process::exit(i32::from(flame::sum(&values) == flame::sum(&small)));
}
