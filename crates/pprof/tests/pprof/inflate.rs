//! What comes out of the inflater, and that nothing comes out past the limit.

use flamelake_pprof::DecodeError;
use flamelake_pprof::inflate::Inflater;
use flamelake_testkit::profile::gzip;

fn run(input: &[u8], limit: usize) -> Result<Vec<u8>, DecodeError> {
    Inflater::default().run(input, limit).map(<[u8]>::to_vec)
}

#[test]
fn gzip_and_plain_are_told_apart_by_the_magic() {
    for text in [&b""[..], b"x", b"hello hello hello", &[0x1f, 1, 2]] {
        assert_eq!(run(text, 100).unwrap(), text);
        assert_eq!(run(&gzip(text, 6), 100).unwrap(), text);
    }
}

#[test]
fn the_limit_is_exact() {
    let text = vec![b'a'; 1000];
    for input in [text.clone(), gzip(&text, 6)] {
        assert_eq!(run(&input, 1000).unwrap().len(), 1000);
        assert_eq!(run(&input, 999), Err(DecodeError::TooLarge { limit: 999 }));
        assert_eq!(run(&input, 10), Err(DecodeError::TooLarge { limit: 10 }));
    }
}

#[test]
fn members_are_concatenated() {
    for (a, b) in [("first", "second, longer"), ("same", "same"), ("", "x"), ("x", "")] {
        let input = [gzip(a.as_bytes(), 6), gzip(b.as_bytes(), 1)].concat();
        assert_eq!(run(&input, 100).unwrap(), [a, b].concat().into_bytes(), "{a:?} {b:?}");
        assert_eq!(run(&input, 1).is_err(), a.len() + b.len() > 1);
    }
}

#[test]
fn members_with_equal_sizes_beyond_the_limit_are_refused() {
    let member = gzip(&[b'z'; 600], 6);
    assert_eq!(run(&[member.clone(), member].concat(), 1000), Err(DecodeError::TooLarge { limit: 1000 }));
}

#[test]
fn broken_streams_are_errors() {
    let whole = gzip(b"some text that is long enough to be cut anywhere", 6);
    for len in 2..whole.len() {
        assert!(matches!(run(&whole[..len], 100), Err(DecodeError::Gzip(_))), "cut at {len}");
    }
    let trailing = [whole.clone(), b"garbage".to_vec()].concat();
    assert!(matches!(run(&trailing, 100), Err(DecodeError::Gzip(_))));
    let mut flipped = whole.clone();
    *flipped.iter_mut().nth_back(6).unwrap() ^= 1;
    assert!(matches!(run(&flipped, 100), Err(DecodeError::Gzip(_))), "wrong checksum");
}

#[test]
fn the_size_in_the_trailer_is_not_believed() {
    let mut lying = gzip(&[b'q'; 500], 6);
    let at = lying.len() - 4;
    for size in [0, 1, 499, 501, u32::MAX] {
        lying[at..].copy_from_slice(&size.to_le_bytes());
        assert!(run(&lying, 1000).is_err(), "{size}");
    }
    let bomb = gzip(&vec![0; 10 << 20], 9);
    assert_eq!(run(&bomb, 1 << 20), Err(DecodeError::TooLarge { limit: 1 << 20 }));
}

#[test]
fn buffers_are_reused_without_mixing() {
    let mut inflater = Inflater::default();
    assert_eq!(inflater.run(&gzip(&[1; 1000], 6), 5000).unwrap().len(), 1000);
    assert_eq!(inflater.run(&gzip(b"ab", 6), 5000).unwrap(), b"ab");
    assert!(inflater.run(&[0x1f, 0x8b, 8], 5000).is_err());
    assert_eq!(inflater.bytes(), b"");
    inflater.shrink_to(10);
    assert_eq!(inflater.run(b"plain", 5000).unwrap(), b"plain");
}
