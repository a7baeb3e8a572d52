//! As much of JSON as the formats need, without a tree and without copies.
//!
//! A header or a line is looked at once. What is kept of it is a piece of its text, known to be a
//! value. Numbers may be `NaN`, `Infinity` and `-Infinity`, which Python writes and reads. Values
//! may be nested 128 deep.

use alloc::borrow::Cow;
use alloc::string::String;
use core::fmt::Write as _;

use memchr::memchr2;

use crate::error::FormatError;

const DEPTH_MAX: u32 = 128;

/// The text of one JSON value.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash)]
pub struct Json<'b>(&'b str);

impl<'b> Json<'b> {
    /// A value with nothing but white space around it, which is left out.
    ///
    /// # Errors
    ///
    /// [`FormatError::BadJson`] says from where on it is none.
    pub fn new(text: &'b str) -> Result<Self, FormatError> {
        let mut scanner = Scanner::new(text);
        let value = scanner.value()?;
        scanner.end()?;
        Ok(value)
    }

    /// The text.
    #[must_use]
    pub const fn text(self) -> &'b str {
        self.0
    }

    /// The characters of a string; none if it is no string, or if it has half of a surrogate pair.
    #[must_use]
    pub fn as_str(self) -> Option<Cow<'b, str>> {
        let inner = self.0.strip_prefix('"')?.strip_suffix('"')?;
        if inner.contains('\\') { unescape(inner).map(Cow::Owned) } else { Some(inner.into()) }
    }

    /// The number, if it is a whole one of this size.
    #[must_use]
    pub fn as_i32(self) -> Option<i32> {
        self.0.parse().ok()
    }

    /// The number; `NaN` and the infinities are some.
    #[must_use]
    pub fn as_f64(self) -> Option<f64> {
        let is_number = matches!(self.0.as_bytes(), [b'-' | b'0'..=b'9' | b'N' | b'I', ..]);
        self.0.parse().ok().filter(|_| is_number)
    }

    /// Whether it is `null`.
    #[must_use]
    pub fn is_null(self) -> bool {
        self.0 == "null"
    }

    /// Names and values of an object, in order; of anything else none.
    #[must_use]
    pub fn members(self) -> Members<'b> {
        let mut scanner = Scanner::new(self.0);
        let more = scanner.open();
        Members { scanner, more }
    }

    /// The value of this name; the last one, if there are several.
    #[must_use]
    pub fn get(self, name: &str) -> Option<Self> {
        let is_it = |key: &Json<'_>| key.as_str().is_some_and(|key| key == name);
        self.members().filter(|(key, _)| is_it(key)).last().map(|(_, value)| value)
    }
}

/// The members of an object.
#[derive(Debug, Clone)]
pub struct Members<'b> {
    scanner: Scanner<'b>,
    more: bool,
}

impl<'b> Iterator for Members<'b> {
    type Item = (Json<'b>, Json<'b>);

    fn next(&mut self) -> Option<Self::Item> {
        if !self.more {
            return None;
        }
        let member = self.scanner.member().ok()?;
        self.more = self.scanner.more().unwrap_or(false);
        Some(member)
    }
}

/// Tells `visit` each member of the object that `text` is, and looks at all of it once.
pub(crate) fn object<'b>(
    text: &'b str,
    mut visit: impl FnMut(Json<'b>, Json<'b>),
) -> Result<(), FormatError> {
    let mut scanner = Scanner::new(text);
    scanner.space();
    if scanner.peek() != Some(b'{') {
        scanner.value()?;
        scanner.end()?;
        return Err(FormatError::NotAnObject);
    }
    let mut more = scanner.open();
    while more {
        let (name, value) = scanner.member()?;
        visit(name, value);
        more = scanner.more()?;
    }
    scanner.end()
}

/// Appends `text` as a string, escaped as little as possible.
pub fn quote(text: &str, out: &mut String) {
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            control if control < ' ' => {
                // Writing to a string does not fail.
                let _ = write!(out, "\\u{:04x}", u32::from(control));
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

fn unescape(inner: &str) -> Option<String> {
    let mut out = String::with_capacity(inner.len());
    let mut letters = inner.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            out.push(letter);
            continue;
        }
        out.push(match letters.next()? {
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'u' => {
                let high = hex(&mut letters)?;
                if !(0xD800..0xDC00).contains(&high) {
                    char::from_u32(high)?
                } else if letters.next() == Some('\\') && letters.next() == Some('u') {
                    let low = hex(&mut letters)?;
                    let low = low.checked_sub(0xDC00).filter(|low| *low < 0x400)?;
                    char::from_u32(0x1_0000 + ((high - 0xD800) << 10) + low)?
                } else {
                    return None;
                }
            }
            other => other,
        });
    }
    Some(out)
}

fn hex(letters: &mut core::str::Chars<'_>) -> Option<u32> {
    (0..4).try_fold(0, |sum, _| Some(sum << 4 | letters.next()?.to_digit(16)?))
}

/// A place in a text.
#[derive(Debug, Clone)]
struct Scanner<'b> {
    text: &'b str,
    at: usize,
}

impl<'b> Scanner<'b> {
    const fn new(text: &'b str) -> Self {
        Self { text, at: 0 }
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    #[inline]
    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    const fn wrong(&self) -> FormatError {
        FormatError::BadJson { at: self.at }
    }

    #[inline]
    fn expect(&mut self, byte: u8) -> Result<(), FormatError> {
        if self.peek() != Some(byte) {
            return Err(self.wrong());
        }
        self.at += 1;
        Ok(())
    }

    fn word(&mut self, word: &str) -> Result<(), FormatError> {
        if !self.text.get(self.at..).is_some_and(|rest| rest.starts_with(word)) {
            return Err(self.wrong());
        }
        self.at += word.len();
        Ok(())
    }

    /// Nothing but white space follows.
    fn end(&mut self) -> Result<(), FormatError> {
        self.space();
        if self.at == self.text.len() { Ok(()) } else { Err(self.wrong()) }
    }

    /// Goes into an object; returns whether it has members.
    fn open(&mut self) -> bool {
        self.space();
        if self.expect(b'{').is_err() {
            return false;
        }
        self.space();
        self.expect(b'}').is_err()
    }

    /// A name and its value.
    fn member(&mut self) -> Result<(Json<'b>, Json<'b>), FormatError> {
        self.space();
        let start = self.at;
        self.string()?;
        let name = self.since(start);
        self.space();
        self.expect(b':')?;
        Ok((name, self.value()?))
    }

    /// Whether another member follows, or the end of the object.
    fn more(&mut self) -> Result<bool, FormatError> {
        self.space();
        if self.expect(b',').is_ok() {
            return Ok(true);
        }
        self.expect(b'}')?;
        Ok(false)
    }

    fn since(&self, start: usize) -> Json<'b> {
        Json(self.text.get(start..self.at).unwrap_or_default())
    }

    /// Any value. What is open is a stack of bits, so that no depth of nesting costs a stack.
    fn value(&mut self) -> Result<Json<'b>, FormatError> {
        self.space();
        let start = self.at;
        let (mut objects, mut depth) = (0_u128, 0_u32);
        loop {
            self.space();
            let is_object = self.peek() == Some(b'{');
            if is_object || self.peek() == Some(b'[') {
                self.at += 1;
                self.space();
                if self.expect(if is_object { b'}' } else { b']' }).is_err() {
                    if depth == DEPTH_MAX {
                        return Err(self.wrong());
                    }
                    depth += 1;
                    objects = objects << 1 | u128::from(is_object);
                    if is_object {
                        self.name()?;
                    }
                    continue;
                }
            } else {
                self.scalar()?;
            }
            loop {
                if depth == 0 {
                    return Ok(self.since(start));
                }
                self.space();
                let in_object = objects & 1 == 1;
                if self.expect(b',').is_ok() {
                    if in_object {
                        self.name()?;
                    }
                    break;
                }
                self.expect(if in_object { b'}' } else { b']' })?;
                depth -= 1;
                objects >>= 1;
            }
        }
    }

    fn name(&mut self) -> Result<(), FormatError> {
        self.space();
        self.string()?;
        self.space();
        self.expect(b':')
    }

    #[inline]
    fn scalar(&mut self) -> Result<(), FormatError> {
        match self.peek() {
            Some(b'"') => self.string(),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true"),
            Some(b'f') => self.word("false"),
            Some(b'n') => self.word("null"),
            Some(b'N') => self.word("NaN"),
            Some(b'I') => self.word("Infinity"),
            Some(_) | None => Err(self.wrong()),
        }
    }

    #[inline]
    fn string(&mut self) -> Result<(), FormatError> {
        self.expect(b'"')?;
        loop {
            let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
            let run = memchr2(b'"', b'\\', rest).ok_or_else(|| self.wrong())?;
            let plain = rest.get(..run).unwrap_or_default();
            if let Some(control) = plain.iter().position(|byte| *byte < b' ') {
                self.at += control;
                return Err(self.wrong());
            }
            self.at += run + 1;
            if rest.get(run) == Some(&b'"') {
                return Ok(());
            }
            match self.peek() {
                Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
                Some(b'u') => {
                    self.at += 1;
                    for _ in 0..4 {
                        if !self.peek().is_some_and(|digit| digit.is_ascii_hexdigit()) {
                            return Err(self.wrong());
                        }
                        self.at += 1;
                    }
                }
                Some(_) | None => return Err(self.wrong()),
            }
        }
    }

    fn number(&mut self) -> Result<(), FormatError> {
        if self.expect(b'-').is_ok() && self.peek() == Some(b'I') {
            return self.word("Infinity");
        }
        if self.expect(b'0').is_err() {
            self.digits()?;
        }
        if self.expect(b'.').is_ok() {
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    /// At least one.
    fn digits(&mut self) -> Result<(), FormatError> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start { Err(self.wrong()) } else { Ok(()) }
    }
}
