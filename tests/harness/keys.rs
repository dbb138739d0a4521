//! What private keys of workloads look like: nobody knows them, but all begin in one way.

/// How a key of P-256 begins as PKCS #8 (RFC 5958), behind its length.
const BEGINNING: [u8; 17] =
    [0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a];

/// What is in whatever has a key, in each form that people and programs write bytes in.
pub(crate) fn forms() -> impl Iterator<Item = (&'static str, Vec<u8>)> {
    let joined =
        |each: fn(&u8) -> String, between| BEGINNING.iter().map(each).collect::<Vec<_>>().join(between);
    let texts = [
        ("a key in PEM", "PRIVATE KEY".to_owned()),
        // Of all from the start on: what comes before decides about each character.
        ("a key in base64", "MIGHAgEAMBMGByqGSM49".to_owned()),
        ("a key in hex", joined(|byte| format!("{byte:02x}"), "")),
        ("a key in large hex", joined(|byte| format!("{byte:02X}"), "")),
        ("a key in hex with colons", joined(|byte| format!("{byte:02x}"), ":")),
        ("a key in hex with spaces", joined(|byte| format!("{byte:02x}"), " ")),
        ("a key in a list of numbers", joined(u8::to_string, ", ")),
        ("a key in JSON", joined(u8::to_string, ",")),
        ("a key in a literal", BEGINNING.escape_ascii().to_string()),
        ("a key in a literal of JSON", joined(|byte| format!("\\u{byte:04x}"), "")),
    ];
    let texts = texts.map(|(what, text)| (what, text.into_bytes()));
    texts.into_iter().chain([("a key", BEGINNING.to_vec())])
}
