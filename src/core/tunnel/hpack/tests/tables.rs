//! The dynamic table: its limits, what it costs, and how it moves to another process.

use super::*;

/// `a: b`, to be kept: 34 bytes.
const AB: &str = "40 01 61 01 62";

fn table(decoder: &Decoder) -> Fields {
    decoder.export().entries
}

#[test]
fn a_limit_that_is_lowered_has_to_be_confirmed() {
    for (block, expected) in [
        ("", Err(Error::TableSizeMissing)),
        ("82", Err(Error::TableSizeMissing)),
        ("20", Ok(0)),
        ("3f 45", Ok(100)),
        ("3f 46", Err(Error::TableSize { asked: 101, most: 100 })),
        ("20 3f 45", Ok(100)),
        ("20 3f 46", Err(Error::TableSize { asked: 101, most: 100 })),
    ] {
        let mut decoder = Decoder::new(4096);
        decoder.limit(100);
        let result = decode(&mut decoder, &hex(block), PLENTY).map(|_| decoder.export().size);
        assert_eq!(result, expected, "{block}");
    }
}

#[test]
fn a_limit_is_confirmed_once() {
    let mut decoder = Decoder::new(4096);
    decoder.limit(0);
    assert_eq!(whole(&mut decoder, &hex("20 82")), fields(&[(":method", "GET")]));
    assert_eq!(whole(&mut decoder, &hex("82")), fields(&[(":method", "GET")]));
}

#[test]
fn a_limit_above_the_table_needs_no_confirmation() {
    let mut decoder = Decoder::new(4096);
    whole(&mut decoder, &hex("20"));
    decoder.limit(0);
    assert_eq!(whole(&mut decoder, &hex("82")), fields(&[(":method", "GET")]));
    // A higher one is an offer that the peer may take up, or not.
    decoder.limit(100);
    whole(&mut decoder, &hex("82"));
    assert_eq!(decoder.export().size, 0);
    whole(&mut decoder, &hex("3f 45"));
    assert_eq!(decoder.export().size, 100);
}

#[test]
fn of_limits_in_a_row_the_smallest_is_confirmed_first() {
    for (block, expected) in [
        ("82", Err(Error::TableSizeMissing)),
        ("3f 45", Err(Error::TableSize { asked: 100, most: 30 })),
        ("3e 3f 45", Ok(100)),
        ("3e", Ok(30)),
        ("20 3f e1 1f", Ok(4096)),
        ("20 3f e2 1f", Err(Error::TableSize { asked: 4097, most: 4096 })),
    ] {
        let mut decoder = Decoder::new(1000);
        for limit in [50, 30, 200, 100, 4096] {
            decoder.limit(limit);
        }
        let result = decode(&mut decoder, &hex(block), PLENTY).map(|_| decoder.export().size);
        assert_eq!(result, expected, "{block}");
    }
}

#[test]
fn a_smaller_table_drops_the_oldest() {
    let mut decoder = Decoder::new(4096);
    whole(&mut decoder, &hex("40 01 61 01 62 40 01 63 01 64"));
    assert_eq!(table(&decoder), fields(&[("c", "d"), ("a", "b")]));
    whole(&mut decoder, &hex("3f 25")); // 68
    assert_eq!(table(&decoder), fields(&[("c", "d"), ("a", "b")]));
    whole(&mut decoder, &hex("3f 24")); // 67
    assert_eq!(table(&decoder), fields(&[("c", "d")]));
    decoder.limit(33);
    assert_eq!(table(&decoder), fields(&[]));
}

#[test]
fn an_entry_that_cannot_fit_empties_the_table() {
    let mut decoder = Decoder::new(40);
    whole(&mut decoder, &hex(AB));
    assert_eq!(table(&decoder), fields(&[("a", "b")]));
    let long = fields(&[("a", "eight by")]);
    assert_eq!(whole(&mut decoder, &hex("7e 08 65 69 67 68 74 20 62 79")), long);
    assert_eq!(table(&decoder), fields(&[]));
}

/// RFC 7541 §4.4: the entry a name is taken from may be the one that has to go.
#[test]
fn a_name_outlives_the_entry_it_is_taken_from() {
    let mut decoder = Decoder::new(34);
    whole(&mut decoder, &hex(AB));
    assert_eq!(whole(&mut decoder, &hex("7e 01 63")), fields(&[("a", "c")]));
    assert_eq!(table(&decoder), fields(&[("a", "c")]));
}

#[test]
fn a_list_is_cut_at_its_limit() {
    // Three times `:method: GET`, 42 each.
    for (most, count, expected) in [
        (0, 0, Decoded::TooLarge),
        (41, 0, Decoded::TooLarge),
        (42, 1, Decoded::TooLarge),
        (125, 2, Decoded::TooLarge),
        (126, 3, Decoded::Whole),
    ] {
        let (list, decoded) = decode(&mut Decoder::new(0), &hex("82 82 82"), most).unwrap();
        assert_eq!((list.len(), decoded), (count, expected), "{most}");
    }
    // A field that would still fit is not handed out after one that did not.
    let (list, decoded) = decode(&mut Decoder::new(0), &hex("82 90 00 00 00"), 100).unwrap();
    assert_eq!((list, decoded), (fields(&[(":method", "GET")]), Decoded::TooLarge));
}

/// The table is the peer's, however long the list is: also of fields nobody is told of, and of strings longer than the list.
#[test]
fn a_list_that_is_cut_leaves_the_table_whole() {
    let block = hex("40 88 25a8 49e9 5ba9 7d7f 89 25a8 49e9 5bb8 e8b4 bf 40 01 61 01 62 be");
    let expected = fields(&[("a", "b"), ("custom-key", "custom-value")]);
    for most in [0, 1, 40, 54, 100] {
        let mut decoder = Decoder::new(4096);
        let (list, decoded) = decode(&mut decoder, &block, most).unwrap();
        assert_eq!(decoded, Decoded::TooLarge);
        assert!(size(&list) <= most);
        assert_eq!(table(&decoder), expected, "{most}");
    }
}

/// Sixteen bytes that would be a list of 60 kB.
#[test]
fn references_to_a_large_entry_are_cut() {
    let mut decoder = Decoder::new(4096);
    let mut block = hex("40 01 61 7f a1 1e");
    block.extend([b'x'; 4000]);
    whole(&mut decoder, &block);
    let (list, decoded) = decode(&mut decoder, &[0xbe; 16], 10_000).unwrap();
    assert_eq!((list.len(), decoded), (2, Decoded::TooLarge));
}

/// What is too long for the list is not kept while it is decoded, and what is not is given back afterwards.
#[test]
fn long_strings_leave_nothing_behind() {
    let mut decoder = Decoder::new(0);
    let result = decode(&mut decoder, &literal_of_zeros(10_000), 1000);
    assert_eq!(result, Ok((fields(&[]), Decoded::TooLarge)));
    assert!(decoder.memory() < 1000, "{}", decoder.memory());
    // An error ends the connection, and leaves the memory as it was at that time.
    assert_eq!(decode(&mut decoder, &literal_of_zeros(10_001), 1000), Err(Error::Padding));
    assert!((1000..2000).contains(&decoder.memory()), "{}", decoder.memory());
    let mut decoder = Decoder::new(0);
    let list = whole(&mut decoder, &literal_of_zeros(10_000));
    assert_eq!(list, vec![(b"a".to_vec(), vec![b'0'; 16_000])]);
    assert!(decoder.memory() < 1000, "{}", decoder.memory());
}

#[test]
fn a_table_that_is_given_up_frees_its_memory() {
    let mut decoder = Decoder::new(4096);
    whole(&mut decoder, &hex(AB));
    assert!(decoder.memory() > 0);
    decoder.limit(0);
    assert_eq!(decoder.memory(), 0);
}

#[test]
fn nothing_to_carry_along() {
    let mut decoder = Decoder::new(4096);
    assert!(!decoder.is_stateless());
    whole(&mut decoder, &hex(AB));
    decoder.limit(0);
    assert!(decoder.is_stateless());
    // What a peer in order sends next is understood by a fresh one as well.
    let block = hex("20 82 40 01 61 01 62");
    assert_eq!(whole(&mut decoder, &block), whole(&mut Decoder::new(0), &block));
    assert!(decoder.is_stateless());
    assert!(Decoder::new(0).is_stateless());
}

#[test]
fn a_state_says_what_was() {
    let mut decoder = Decoder::new(4096);
    whole(&mut decoder, &hex("40 01 61 01 62 40 01 63 01 64"));
    decoder.limit(100);
    let entries = fields(&[("c", "d"), ("a", "b")]);
    let state = DecoderState { limit: 100, size: 100, owed: Some(100), entries };
    assert_eq!(decoder.export(), state);
    let mut moved = Decoder::import(state.clone());
    assert_eq!(moved.export(), state);
    assert_eq!(decode(&mut moved, &hex("82"), PLENTY), Err(Error::TableSizeMissing));
    let mut moved = Decoder::import(state);
    assert_eq!(whole(&mut moved, &hex("3f 45 bf be")), fields(&[("a", "b"), ("c", "d")]));
}

/// A state is only as good as who wrote it: it cannot make the table larger than it says the table may be.
#[test]
fn a_state_that_is_too_large_is_cut() {
    let entries = fields(&[("c", "d"), ("a", "b")]);
    let state = DecoderState { limit: 40, size: 4096, owed: None, entries };
    let state = Decoder::import(state).export();
    assert_eq!((state.size, state.entries), (40, fields(&[("c", "d")])));
}
