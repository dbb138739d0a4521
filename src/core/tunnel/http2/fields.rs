//! The fields of requests and answers, and which of them make sense (RFC 9113 §8.2, §8.3, §8.5).

/// Fields in the order they came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields {
    text: Vec<u8>,
    /// Where each name and each value ends.
    ends: Vec<(u32, u32)>,
}

/// What a client asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// `:method`.
    pub method: Vec<u8>,
    /// `:authority`.
    pub authority: Vec<u8>,
    /// The rest.
    pub fields: Fields,
}

/// What a server answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// `:status`.
    pub status: u16,
    /// The rest.
    pub fields: Fields,
}

impl Fields {
    /// Adds one. The name is in lower case, as HTTP/2 has it.
    pub fn add(&mut self, name: &[u8], value: &[u8]) {
        self.text.extend_from_slice(name);
        let name = self.text.len();
        self.text.extend_from_slice(value);
        let end = |at: usize| u32::try_from(at).expect("field sections are limited in size");
        self.ends.push((end(name), end(self.text.len())));
    }

    /// All values of a name.
    pub fn all<'f>(&'f self, name: &'f str) -> impl Iterator<Item = &'f [u8]> {
        self.iter().filter(move |(found, _)| *found == name.as_bytes()).map(|(_, value)| value)
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut begin = 0;
        self.ends.iter().map(move |&(name, value)| {
            let (name, value) = (name as usize, value as usize);
            let field = (&self.text[begin..name], &self.text[name..value]);
            begin = value;
            field
        })
    }
}

/// Puts a header block together, and notes the first thing wrong with it (RFC 9113 §8.1.1).
#[derive(Debug, Default)]
pub(super) struct Reader {
    method: Option<Vec<u8>>,
    authority: Option<Vec<u8>>,
    scheme: bool,
    path: bool,
    status: Option<Vec<u8>>,
    fields: Fields,
    past_pseudo: bool,
    wrong: Option<&'static str>,
}

/// A message that makes no sense.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) &'static str);

impl Reader {
    pub(super) fn take(&mut self, name: &[u8], value: &[u8]) {
        let taken =
            if let [b':', rest @ ..] = name { self.pseudo(rest, value) } else { self.field(name, value) };
        if let Err(wrong) = taken {
            self.wrong.get_or_insert(wrong);
        }
    }

    fn pseudo(&mut self, name: &[u8], value: &[u8]) -> Result<(), &'static str> {
        if self.past_pseudo {
            return Err("a pseudo-header after a field");
        }
        let twice = match name {
            b"method" => self.method.replace(value.to_vec()).is_some(),
            b"authority" => self.authority.replace(value.to_vec()).is_some(),
            b"status" => self.status.replace(value.to_vec()).is_some(),
            b"scheme" => std::mem::replace(&mut self.scheme, true),
            b"path" => std::mem::replace(&mut self.path, true),
            _ => return Err("an unknown pseudo-header"),
        };
        if twice { Err("a pseudo-header twice") } else { Ok(()) }
    }

    fn field(&mut self, name: &[u8], value: &[u8]) -> Result<(), &'static str> {
        self.past_pseudo = true;
        if name.is_empty() || !name.iter().all(|octet| is_of_name(*octet)) {
            return Err("a field name that is not lower case or not a token");
        }
        if !is_value(value) {
            return Err("a field value with forbidden octets");
        }
        if is_of_connection(name) || (name == b"te" && value != b"trailers") {
            return Err("a field that belongs to HTTP/1.1");
        }
        self.fields.add(name, value);
        Ok(())
    }

    /// As a request; only CONNECT is more than a method.
    pub(super) fn request(self) -> Result<Request, Malformed> {
        let Self { method, authority, scheme, path, status, fields, wrong, .. } = self;
        if let Some(wrong) = wrong {
            return Err(Malformed(wrong));
        }
        let method = method.ok_or(Malformed("a request without method"))?;
        if status.is_some() {
            return Err(Malformed("a request with a status"));
        }
        let is_connect = method == b"CONNECT";
        if is_connect && (scheme || path) {
            return Err(Malformed("a CONNECT with scheme or path"));
        }
        if !(is_connect || scheme && path) {
            return Err(Malformed("a request without scheme or path"));
        }
        Ok(Request { method, authority: authority.unwrap_or_default(), fields })
    }

    /// As an answer.
    pub(super) fn answer(self) -> Result<Answer, Malformed> {
        let Self { method, authority, scheme, path, status, fields, wrong, .. } = self;
        if let Some(wrong) = wrong {
            return Err(Malformed(wrong));
        }
        if method.is_some() || authority.is_some() || scheme || path {
            return Err(Malformed("an answer with pseudo-headers of a request"));
        }
        match status.as_deref() {
            Some(&[a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9']) => {
                let digit = |octet: u8| u16::from(octet - b'0');
                Ok(Answer { status: digit(a) * 100 + digit(b) * 10 + digit(c), fields })
            }
            _ => Err(Malformed("an answer without a status of three digits")),
        }
    }
}

/// RFC 9110 §5.6.2, without upper case.
fn is_of_name(octet: u8) -> bool {
    matches!(octet, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'!' | b'#'..=b'\'' | b'*' | b'+' | b'^' | b'`' | b'|' | b'~')
}

/// RFC 9113 §8.2.1.
fn is_value(value: &[u8]) -> bool {
    let blank = |octet: Option<&u8>| matches!(octet, Some(b' ' | b'\t'));
    !value.iter().any(|octet| matches!(octet, 0 | b'\r' | b'\n'))
        && !blank(value.first())
        && !blank(value.last())
}

/// RFC 9113 §8.2.2.
fn is_of_connection(name: &[u8]) -> bool {
    matches!(name, b"connection" | b"proxy-connection" | b"keep-alive" | b"transfer-encoding" | b"upgrade")
}
