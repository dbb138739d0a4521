use super::*;

#[test]
fn what_is_cut_is_still_too_long_and_what_fits_is_not_touched() {
    for one in ["x", "ü", "€", "🦀"] {
        for times in [1, LONGEST / 4, LONGEST / 2, LONGEST, LONGEST + 1, 2 * LONGEST] {
            let value = one.repeat(times);
            let kept = cut(value.clone());
            assert!(value.starts_with(&kept));
            if value.len() > LONGEST {
                assert!(kept.len() > LONGEST && kept.capacity() <= LONGEST + 4, "{one}, {times} times");
            } else {
                assert_eq!(kept, value);
            }
        }
    }
}
