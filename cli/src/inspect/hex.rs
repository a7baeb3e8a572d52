//! Hex text in the shapes that people have it in.

use super::{Conversation, Piece, Sender};

/// Repetitions beyond this are typing errors.
const REPEAT_MAX: usize = 1 << 20;

/// Reads hex digits in pairs, spaced and grouped at will, `41*4` for four times `41`.
///
/// A line may begin with who sends it (`>`, `client` or `<`, `server`), which then holds for the
/// lines behind it; `#` starts a remark. Dumps of `xxd` and `hexdump -C` are understood.
pub(super) fn parse(text: &str) -> Result<Conversation, String> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut sender = Sender::Unknown;
    let mut dump = false;
    for (index, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        let (marked, rest) = split_sender(line);
        let mut bytes = Vec::new();
        for token in
            undump(rest, &mut dump).split(|c: char| c.is_whitespace() || "|,:;_-".contains(c))
        {
            read_token(token, &mut bytes).map_err(|why| format!("line {}: {why}", index + 1))?;
        }
        if bytes.is_empty() {
            sender = marked.unwrap_or(sender);
            continue;
        }
        match (marked, pieces.last_mut()) {
            (None, Some(last)) => last.bytes.extend_from_slice(&bytes),
            (marked, _) => {
                sender = marked.unwrap_or(sender);
                pieces.push(Piece { sender, at: None, bytes });
            }
        }
    }
    Ok(Conversation { pieces, ..Conversation::default() })
}

fn split_sender(line: &str) -> (Option<Sender>, &str) {
    let marks = [
        (">", Sender::Client),
        ("→", Sender::Client),
        ("client", Sender::Client),
        ("<", Sender::Server),
        ("←", Sender::Server),
        ("server", Sender::Server),
    ];
    for (mark, sender) in marks {
        if let Some(rest) = line.strip_prefix(mark) {
            return (Some(sender), rest.trim_start_matches([':', ' ', '\t']));
        }
    }
    (None, line)
}

/// Removes the offset and the text column of a dump's line; `dump` says that there was one before.
fn undump<'l>(line: &'l str, dump: &mut bool) -> &'l str {
    let digits = line.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(line.len());
    let (offset, rest) = line.split_at(digits);
    if offset.len() < 6 {
        return line;
    }
    if let Some(rest) = rest.strip_prefix(": ") {
        *dump = true;
        return rest.split("  ").next().unwrap_or_default();
    }
    if offset.len() == 8 && rest.starts_with("  ") && rest.ends_with('|') {
        *dump = true;
        return rest.split('|').next().unwrap_or_default();
    }
    // The last line of `hexdump -C` is an offset alone.
    if *dump && offset.len() == 8 && rest.is_empty() { "" } else { line }
}

fn read_token(token: &str, bytes: &mut Vec<u8>) -> Result<(), String> {
    let (digits, times) = match token.split_once('*') {
        Some((digits, times)) => {
            let times = times.parse().ok().filter(|times| *times <= REPEAT_MAX);
            (digits, times.ok_or_else(|| format!("`{token}` repeats how often?"))?)
        }
        None => (token, 1),
    };
    let digits = digits.strip_prefix("0x").unwrap_or(digits);
    if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(format!("`{}` is not hex; write # in front of remarks", cut(token)));
    }
    if digits.len() % 2 != 0 {
        return Err(format!("`{}` has an odd number of digits; a byte takes two", cut(token)));
    }
    let decoded: Vec<u8> = digits
        .as_bytes()
        .chunks_exact(2)
        .filter_map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok())
        .collect();
    for _ in 0..times {
        bytes.extend_from_slice(&decoded);
    }
    Ok(())
}

fn cut(token: &str) -> String {
    let mut short: String = token.chars().take(24).flat_map(char::escape_default).collect();
    if token.chars().count() > 24 {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Vec<u8> {
        parse(text).unwrap().pieces.into_iter().flat_map(|piece| piece.bytes).collect()
    }

    #[test]
    fn all_shapes_of_hex_are_the_same_bytes() {
        let frame = [0x81, 0x09, 0x06, 0, 1, 0, b'p', b'i', b'n', b'g'];
        for text in [
            "81090600010070696e67",
            "81 09 06 00 | 01 00 | 70 69 6e 67",
            "0x81,0x09,0x06,0x00,0x01,0x00,0x70,0x69,0x6E,0x67",
            "81:09:06:00:01:00:70:69:6e:67 # a request",
            "> 81 09 06 00\n  01 00\n  70 69 6e 67",
            "00000000: 8109 0600 0100 7069 6e67            ......ping",
            "00000000  81 09 06 00 01 00 70 69  6e 67      |......ping|\n0000000a\n",
            "81090600  01007069  6e67",
            "# only\n8109 06 00*1 01 00*1 70 69 6e 67",
        ] {
            assert_eq!(bytes(text), frame, "{text}");
        }
        assert_eq!(bytes("41*4"), b"AAAA");
    }

    #[test]
    fn senders_are_kept() {
        let pieces = parse("client 0900 0000\n< 0a00\n0000\n> 09000000").unwrap().pieces;
        let seen: Vec<_> = pieces.iter().map(|piece| (piece.sender, piece.bytes.len())).collect();
        assert_eq!(seen, [(Sender::Client, 4), (Sender::Server, 4), (Sender::Client, 4)]);
    }

    #[test]
    fn mistakes_name_their_line() {
        assert!(parse("00\nxy").unwrap_err().contains("line 2: `xy` is not hex"));
        assert!(parse("123").unwrap_err().contains("odd number"));
        assert!(parse("41*99999999999").unwrap_err().contains("how often"));
    }
}
