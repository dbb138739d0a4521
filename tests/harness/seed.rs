//! Where chance comes from: a seed that is printed, and that the environment can set to have the same happen again.

/// A number from the environment.
pub(crate) fn setting(name: &str, otherwise: u64) -> u64 {
    let Ok(text) = std::env::var(name) else { return otherwise };
    text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number"))
}

/// The seed of who looks for nothing in particular: a change is judged by the same as the one before it.
const SAME: u64 = 1;

/// The seed of a test: `CULVERT_CHAOS_SEED`, where `random` is another one each time.
pub(crate) fn seed() -> u64 {
    let is_random = std::env::var("CULVERT_CHAOS_SEED").is_ok_and(|seed| seed == "random");
    let seed = if is_random { rand::random() } else { setting("CULVERT_CHAOS_SEED", SAME) };
    println!("CULVERT_CHAOS_SEED={seed}");
    seed
}
