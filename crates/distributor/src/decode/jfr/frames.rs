//! Names of Java frames, rid of what differs from run to run: generated classes, libraries unpacked to random names.

use crate::decode::jfr::pools::Pools;

/// Writes `<class>.<method>`; the dot stands even without a class.
pub(crate) fn write_frame_name(pools: &Pools<'_>, method: i64, out: &mut String) {
    let symbol = |at: &i64| pools.symbols.get(at).map_or("", |text| text);
    let method = pools.methods.get(&method);
    let class = method.and_then(|method| pools.classes.get(&method.class)).map_or("", symbol);
    let method = method.map_or("", |method| symbol(&method.name));
    let (class, generated) = stable(class);
    out.push_str(class);
    out.push_str(generated);
    out.push('.');
    let (method, generated) = stable(method);
    out.push_str(method);
    out.push_str(generated);
}

/// A name without its random part: what is kept of it, and what stands for the rest.
fn stable(name: &str) -> (&str, &'static str) {
    const ACCESSOR: &str = "jdk/internal/reflect/GeneratedMethodAccessor";
    const CGLIB: &str = "$$EnhancerBySpringCGLIB$$";
    // Most names have none of these, and at most one `$`: it leads the name of an inner class.
    let first = memchr::memchr(b'$', name.as_bytes());
    if first.is_some_and(|first| name.as_bytes()[first..].windows(2).any(|pair| pair == b"$$")) {
        if let Some((class, _)) = lambda(name) {
            return (class, "$$Lambda_");
        }
        if let Some((class, _)) = name.split_once(CGLIB) {
            return (class, "$$EnhancerBySpringCGLIB$$_");
        }
    }
    if name.strip_prefix(ACCESSOR).is_some_and(|rest| is_all(rest, |byte| byte.is_ascii_digit())) {
        return (ACCESSOR, "_");
    }
    library(name).map_or((name, ""), |library| ("", library))
}

fn lambda(name: &str) -> Option<(&str, &str)> {
    name.split_once("$$Lambda").filter(|(_, rest)| is_lambda(rest))
}

/// `$12/0x0000`, `.0x0000`, `/0x0000`: what follows `$$Lambda`.
fn is_lambda(rest: &str) -> bool {
    let rest = rest.strip_prefix('$').map_or(rest, |rest| rest.trim_start_matches(|c: char| c.is_ascii_digit()));
    let number = rest.strip_prefix(['/', '.', '+']).unwrap_or_default();
    let number = number.strip_prefix("0x").unwrap_or(number);
    is_all(number, |byte| byte.is_ascii_hexdigit())
}

fn is_all(text: &str, is: impl Fn(u8) -> bool) -> bool {
    !text.is_empty() && text.bytes().all(is)
}

/// A native library that is unpacked anew at each start: those lie in a temporary folder. A bare name is kept, as the reference does.
fn library(name: &str) -> Option<&'static str> {
    let name = name.strip_prefix('.').unwrap_or(name).strip_prefix("/tmp/")?;
    let name = name.strip_suffix(" (deleted)").unwrap_or(name);
    let file = name.rsplit('/').next()?.strip_suffix(".so")?;
    match file {
        _ if file.starts_with("libzstd-jni-") => Some("libzstd-jni-_.so"),
        _ if file.starts_with("libamazonCorrettoCryptoProvider") => Some("libamazonCorrettoCryptoProvider_.so"),
        _ if file.starts_with("libasyncProfiler-") => Some("libasyncProfiler-_.so"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_parts_are_removed() {
        for (name, expected) in [
            ("a/B$$Lambda$12/0x00007f", "a/B$$Lambda_"),
            ("a/B$$Lambda.0x00007f", "a/B$$Lambda_"),
            ("a/B$$Lambda$Own", "a/B$$Lambda$Own"),
            ("jdk/internal/reflect/GeneratedMethodAccessor31", "jdk/internal/reflect/GeneratedMethodAccessor_"),
            ("a/B$$EnhancerBySpringCGLIB$$1f2e", "a/B$$EnhancerBySpringCGLIB$$_"),
            ("./tmp/libzstd-jni-1.5.1-169313118.so (deleted)", "libzstd-jni-_.so"),
            ("/tmp/me/libasyncProfiler-linux-x64-505cc1.so", "libasyncProfiler-_.so"),
            ("libasyncProfiler-linux-x64-505cc1.so", "libasyncProfiler-linux-x64-505cc1.so"),
            ("libc.so.6", "libc.so.6"),
        ] {
            let (kept, rest) = stable(name);
            assert_eq!(format!("{kept}{rest}"), expected);
        }
    }
}
