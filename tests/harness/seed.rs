//! Where chance comes from: a seed that is printed, and that the environment can set to have the same happen again.

/// A number from the environment.
pub(crate) fn setting(name: &str, otherwise: u64) -> u64 {
    let Ok(text) = std::env::var(name) else { return otherwise };
    text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number"))
}

/// The seed of a test: `CULVERT_CHAOS_SEED`, or another one each time.
pub(crate) fn seed() -> u64 {
    let seed = setting("CULVERT_CHAOS_SEED", rand::random());
    println!("CULVERT_CHAOS_SEED={seed}");
    seed
}
