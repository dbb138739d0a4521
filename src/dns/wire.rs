//! The few bytes of a message that are looked at, or changed, without reading all of it (RFC 1035 §4.1).

/// Length of the header.
const HEADER: usize = 12;
/// What a name without records gets in the last bits of the flags.
const NAME_ERROR: u8 = 3;

/// Gives a message another number.
pub fn set_id(message: &mut [u8], id: u16) {
    if let Some(place) = message.get_mut(..2) {
        place.copy_from_slice(&id.to_be_bytes());
    }
}

/// Whether an answer says that it was cut.
#[must_use]
pub fn is_truncated(answer: &[u8]) -> bool {
    answer.get(2).is_some_and(|flags| flags & 0x02 != 0)
}

/// Whether an answer says that there is no such name.
#[must_use]
pub fn is_name_error(answer: &[u8]) -> bool {
    code(answer) == Some(NAME_ERROR)
}

/// Whether an answer says something about the question, rather than about the server: others need not be asked.
#[must_use]
pub fn is_settled(answer: &[u8]) -> bool {
    matches!(code(answer), Some(0 | NAME_ERROR))
}

fn code(message: &[u8]) -> Option<u8> {
    message.get(3).map(|flags| flags & 0x0f)
}

/// Whether a message is an answer to `query`: its number, its operation and its question are the same. The letters of the
/// name may be other ones. A server that has not understood the question need not repeat it.
#[must_use]
pub fn answers(message: &[u8], query: &[u8]) -> bool {
    let (Some(said), Some(asked)) = (message.get(..HEADER), query.get(..HEADER)) else { return false };
    let operation = |header: &[u8]| header[2] & 0x78;
    let is_answer = said[2] & 0x80 != 0;
    if said[..2] != asked[..2] || !is_answer || operation(said) != operation(asked) {
        return false;
    }
    match (question(message), question(query)) {
        (Some(said), Some(asked)) => said.is(&asked),
        (None, Some(_)) => !is_settled(message),
        (_, None) => true,
    }
}

/// The question of a message.
#[derive(Debug, Clone, Copy)]
pub struct Question<'m> {
    name: &'m [u8],
    /// Type and class.
    kind: &'m [u8],
}

impl Question<'_> {
    fn is(&self, other: &Self) -> bool {
        self.name.eq_ignore_ascii_case(other.name) && self.kind == other.kind
    }

    /// The name as it was written, and the kind.
    #[must_use]
    pub fn as_written(&self) -> Box<[u8]> {
        [self.name, self.kind].concat().into()
    }

    /// The same for all ways to write the name.
    #[must_use]
    pub fn key(&self) -> Box<[u8]> {
        [&self.name.to_ascii_lowercase(), self.kind].concat().into()
    }
}

/// The question of a message that has one.
#[must_use]
pub fn question(message: &[u8]) -> Option<Question<'_>> {
    if message.get(4..6)? != [0, 1] {
        return None;
    }
    let mut end = HEADER;
    loop {
        match usize::from(*message.get(end)?) {
            0 => break,
            length @ 1..64 => end += 1 + length,
            // The first name of a message has nothing to point to.
            _ => return None,
        }
    }
    let (name, kind) = (message.get(HEADER..=end)?, message.get(end + 1..end + 5)?);
    Some(Question { name, kind })
}

/// Gives a message the name of another one's question, which is the same but for its letters.
pub fn set_name(message: &mut [u8], other: &[u8]) {
    let name = question(other).map_or(&[][..], |question| question.name);
    if let Some(place) = message.get_mut(HEADER..HEADER + name.len()) {
        place.copy_from_slice(name);
    }
}

/// Takes away from an answer that it was given with authority.
pub fn set_no_authority(answer: &mut [u8]) {
    if let Some(flags) = answer.get_mut(2) {
        *flags &= !0x04;
    }
}

/// Changes how long each record of a message holds.
pub fn change_times(message: &mut [u8], places: &[u16], change: impl Fn(u32) -> u32) {
    for place in places.iter().copied().map(usize::from) {
        if let Some(Ok(time)) = message.get_mut(place..place + 4).map(<&mut [u8; 4]>::try_from) {
            *time = change(u32::from_be_bytes(*time)).to_be_bytes();
        }
    }
}

/// The type of what is no record, but looks like one: its place for a time has flags (RFC 6891 §6.1.3).
const OPT: u16 = 41;

/// Where in a message the records say how long they hold; `None` when it cannot be read to its end, or is very long.
#[must_use]
pub fn times(message: &[u8]) -> Option<Box<[u16]>> {
    let number = |at: usize| Some(u16::from_be_bytes(message.get(at..at + 2)?.try_into().ok()?));
    let mut at = HEADER;
    for _ in 0..number(4)? {
        at = behind_name(message, at)? + 4;
    }
    let records = usize::from(number(6)?) + usize::from(number(8)?) + usize::from(number(10)?);
    let mut places = Vec::new();
    for _ in 0..records {
        at = behind_name(message, at)?;
        if number(at)? != OPT {
            places.push(u16::try_from(at + 4).ok()?);
        }
        at += 10 + usize::from(number(at + 8)?);
    }
    (at <= message.len()).then(|| places.into())
}

/// The place behind a name: it ends with an empty label or with a pointer.
fn behind_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match usize::from(*message.get(at)?) {
            0 => return Some(at + 1),
            length @ 1..64 => at += 1 + length,
            0xc0.. => return Some(at + 2),
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message with a question for an address of `name`, which has one label.
    fn message(id: u8, flags: [u8; 2], name: &[u8], kind: u8) -> Vec<u8> {
        let length = u8::try_from(name.len()).unwrap();
        let head = [0, id, flags[0], flags[1], 0, 1, 0, 0, 0, 0, 0, 0, length];
        [&head, name, &[0, 0, kind, 0, 1]].concat()
    }

    #[test]
    fn an_answer_is_known_by_its_number_and_its_question() {
        let query = message(7, [1, 0], b"web", 65);
        assert!(answers(&message(7, [0x81, 0x80], b"web", 65), &query));
        assert!(answers(&message(7, [0x81, 0x80], b"WeB", 65), &query), "in other letters");
        assert!(!answers(&message(8, [0x81, 0x80], b"web", 65), &query), "another number");
        assert!(!answers(&message(7, [0x01, 0x80], b"web", 65), &query), "not an answer");
        assert!(!answers(&message(7, [0xa9, 0x80], b"web", 65), &query), "another operation");
        assert!(!answers(&message(7, [0x81, 0x80], b"bew", 65), &query), "another name");
        // 97 is to 65 what `a` is to `A`.
        assert!(!answers(&message(7, [0x81, 0x80], b"web", 97), &query), "another type");
        assert!(!answers(&query[..11], &query), "too short");
    }

    #[test]
    fn only_a_complaint_may_leave_the_question_out() {
        let query = message(7, [1, 0], b"web", 1);
        let bare = |code| [0, 7, 0x81, code, 0, 0, 0, 0, 0, 0, 0, 0];
        assert!(answers(&bare(1), &query));
        assert!(!answers(&bare(0), &query) && !answers(&bare(3), &query));
    }

    /// An answer to [`message`] with two records: one with a name of its own, one that points to the question's; and EDNS.
    fn answer() -> Vec<u8> {
        let mut message = message(7, [0x85, 0x80], b"web", 1);
        message[6..12].copy_from_slice(&[0, 1, 0, 1, 0, 1]);
        message.extend(b"\x01a\0\0\x01\0\x01\0\0\0\x3c\0\x04\x01\x02\x03\x04");
        message.extend(b"\xc0\x0c\0\x01\0\x01\xff\xff\xff\xff\0\0");
        message.extend(b"\0\0\x29\x10\0\0\0\x80\0\0\0");
        message
    }

    #[test]
    fn the_times_of_records_are_found_and_changed_and_nothing_else_is() {
        let mut message = answer();
        let places = times(&message).unwrap();
        let before = message.clone();
        change_times(&mut message, &places, |time| {
            assert!([60, u32::MAX].contains(&time));
            7
        });
        let changed: Vec<usize> = (0..message.len()).filter(|at| message[*at] != before[*at]).collect();
        assert_eq!(changed, [31, 44, 45, 46, 47]);
        for cut in 0..before.len() {
            assert!(times(&before[..cut]).is_none(), "cut to {cut}");
        }
    }

    #[test]
    fn an_answer_takes_over_the_letters_of_a_question() {
        let mut answer = answer();
        set_name(&mut answer, &message(1, [1, 0], b"WeB", 1));
        assert_eq!(&answer[12..17], b"\x03WeB\0");
        set_no_authority(&mut answer);
        assert_eq!(answer[2..4], [0x81, 0x80]);
        for short in [&mut [][..], &mut [0; 2], &mut [0; 14]] {
            set_name(short, &message(1, [1, 0], b"WeB", 1));
            set_no_authority(short);
            change_times(short, &[12], |_| 1);
        }
    }

    #[test]
    fn a_question_is_read_to_its_end_or_not_at_all() {
        let whole = message(7, [1, 0], b"web", 1);
        assert_eq!(question(&whole).unwrap().key(), question(&message(9, [0, 0], b"WEB", 1)).unwrap().key());
        for cut in 0..whole.len() {
            assert!(question(&whole[..cut]).is_none(), "cut to {cut}");
        }
        let mut pointing = whole;
        pointing[12] = 0xc0;
        assert!(question(&pointing).is_none());
    }
}
