//! Keys that go to another process.

use culvert_core::tunnel::Fault;
use culvert_core::tunnel::record::{Ahead, Direction, Keys};
use culvert_tls::InheritedKeys;

use crate::link::{End, connect};
use crate::pki::{Configs, SUITES};

const GENERATIONS: usize = 3;

/// What the other process gets.
fn pass_on(keys: &mut dyn Keys) -> InheritedKeys {
    let mut next = |direction| std::iter::from_fn(|| keys.next(direction)).take(GENERATIONS).collect();
    let ahead = Ahead { outgoing: next(Direction::Out), incoming: next(Direction::In) };
    let passed = serde_json::to_vec(&ahead).unwrap();
    serde_json::from_slice::<Ahead>(&passed).unwrap().into()
}

fn say(from: &mut End, to: &mut End, text: &[u8]) -> Result<(), Fault> {
    let sealed = from.records().send(text)?;
    assert_eq!(to.records().receive(&sealed)?, text);
    Ok(())
}

/// No keys at all.
fn none() -> InheritedKeys {
    Ahead::default().into()
}

#[test]
fn inherited_keys_last_as_long_as_they_were_derived_for() {
    for suite in &SUITES[..2] {
        let (mut heir, mut other) = connect(&Configs::new(*suite), usize::MAX);
        let mut keys = heir.records().replace_keys(none());
        heir.records().replace_keys(pass_on(&mut *keys));

        for _ in 0..GENERATIONS {
            heir.records().change_keys();
            say(&mut heir, &mut other, b"under new keys").unwrap();
            other.records().change_keys();
            say(&mut other, &mut heir, b"under new keys as well").unwrap();
        }
        heir.records().change_keys();
        assert_eq!(say(&mut heir, &mut other, b"x"), Err(Fault::KeysUsedUp));
        other.records().change_keys();
        assert_eq!(say(&mut other, &mut heir, b"x"), Err(Fault::KeysUsedUp));
    }
}

#[test]
fn a_connection_may_move_twice() {
    let (mut heir, mut other) = connect(&Configs::new(SUITES[0]), usize::MAX);
    for _ in 0..2 {
        let mut keys = heir.records().replace_keys(none());
        heir.records().replace_keys(pass_on(&mut *keys));
        heir.records().change_keys();
        say(&mut heir, &mut other, b"under new keys").unwrap();
    }
}

#[test]
fn under_tls_1_2_there_is_nothing_to_inherit() {
    let (mut heir, mut other) = connect(&Configs::new(SUITES[2]), usize::MAX);
    let mut keys = heir.records().replace_keys(none());
    heir.records().replace_keys(pass_on(&mut *keys));
    say(&mut heir, &mut other, b"under the keys there are").unwrap();
    heir.records().change_keys();
    assert_eq!(say(&mut heir, &mut other, b"x"), Err(Fault::KeysUsedUp));
}
