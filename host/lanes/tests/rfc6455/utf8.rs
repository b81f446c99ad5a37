//! Texts that are UTF-8 and texts that are not: the tables of Autobahn 6.5 to 6.23, which are those of
//! Markus Kuhn's stress test.

/// What a text is for, and its bytes.
pub type Text = (String, Vec<u8>);

/// A beginning and an end that are UTF-8, with the bytes between them.
fn text(name: &str, bytes: &[u8]) -> Text {
    (name.to_owned(), bytes.to_vec())
}

fn lonely(range: std::ops::RangeInclusive<u8>) -> Vec<u8> {
    range.flat_map(|byte| [byte, b' ']).collect()
}

/// These are UTF-8.
pub fn valid() -> Vec<Text> {
    let mut texts = vec![
        text("6.2 some text", "Hello-µ@ßöäüàá-UTF-8!!".as_bytes()),
        text("6.5 kosme", "κόσμε".as_bytes()),
        text("6.7.1 first of 1 byte", b"\0"),
        text("6.7.2 first of 2 bytes", b"\xc2\x80"),
        text("6.7.3 first of 3 bytes", b"\xe0\xa0\x80"),
        text("6.7.4 first of 4 bytes", b"\xf0\x90\x80\x80"),
        text("6.9.1 last of 1 byte", b"\x7f"),
        text("6.9.2 last of 2 bytes", b"\xdf\xbf"),
        text("6.9.3 last of 3 bytes", b"\xef\xbf\xbf"),
        text("6.9.4 last of 4 bytes", b"\xf4\x8f\xbf\xbf"),
        text("6.11.1 before the surrogates", b"\xed\x9f\xbf"),
        text("6.11.2 after the surrogates", b"\xee\x80\x80"),
        text("6.11.3 U+FFFD", b"\xef\xbf\xbd"),
        text("6.11.4 the last", b"\xf4\x8f\xbf\xbf"),
        text("6.22.1 U+FFFE", b"\xef\xbf\xbe"),
        text("6.22.2 U+FFFF", b"\xef\xbf\xbf"),
        text("6.23.1 U+FFF9", b"\xef\xbf\xb9"),
        text("6.23.7 U+FFFF beside others", b"a\xef\xbf\xbfz"),
    ];
    for plane in 1_u32..=16 {
        for last in [0xfffe, 0xffff] {
            let noncharacter = char::from_u32(plane << 16 | last).unwrap();
            let mut bytes = [0; 4];
            let encoded = noncharacter.encode_utf8(&mut bytes).as_bytes();
            texts.push(text(&format!("6.22 U+{plane:X}{last:X}"), encoded));
        }
    }
    texts
}

/// These are not.
pub fn invalid() -> Vec<Text> {
    let mut texts = vec![
        text("6.3 a surrogate in the middle", b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited"),
        text("6.8.1 first of 5 bytes", b"\xf8\x88\x80\x80\x80"),
        text("6.8.2 first of 6 bytes", b"\xfc\x84\x80\x80\x80\x80"),
        text("6.10.1 last of 4 bytes", b"\xf7\xbf\xbf\xbf"),
        text("6.10.2 last of 5 bytes", b"\xfb\xbf\xbf\xbf\xbf"),
        text("6.10.3 last of 6 bytes", b"\xfd\xbf\xbf\xbf\xbf\xbf"),
        text("6.11.5 beyond the last", b"\xf4\x90\x80\x80"),
        text("6.12.1 a continuation byte, the first", b"\x80"),
        text("6.12.2 a continuation byte, the last", b"\xbf"),
        text("6.13.1 lonely starts of 2 bytes", &lonely(0xc0..=0xdf)),
        text("6.13.2 lonely starts of 3 bytes", &lonely(0xe0..=0xef)),
        text("6.13.3 lonely starts of 4 bytes", &lonely(0xf0..=0xf7)),
        text("6.13.4 lonely starts of 5 bytes", &lonely(0xf8..=0xfb)),
        text("6.13.5 lonely starts of 6 bytes", &lonely(0xfc..=0xfd)),
        text("6.14.1 2 bytes, the last missing", b"\xc0"),
        text("6.14.2 3 bytes, the last missing", b"\xe0\x80"),
        text("6.14.3 4 bytes, the last missing", b"\xf0\x80\x80"),
        text("6.14.4 5 bytes, the last missing", b"\xf8\x80\x80\x80"),
        text("6.14.5 6 bytes, the last missing", b"\xfc\x80\x80\x80\x80"),
        text("6.14.6 2 bytes, the last missing", b"\xdf"),
        text("6.14.7 3 bytes, the last missing", b"\xef\xbf"),
        text("6.14.8 4 bytes, the last missing", b"\xf7\xbf\xbf"),
        text("6.14.9 5 bytes, the last missing", b"\xfb\xbf\xbf\xbf"),
        text("6.14.10 6 bytes, the last missing", b"\xfd\xbf\xbf\xbf\xbf"),
        text("6.15 all of them", b"\xc0\xe0\x80\xf0\x80\x80\xf8\x80\x80\x80\xfc\x80\x80\x80\x80\xdf\xef\xbf\xf7\xbf\xbf\xfb\xbf\xbf\xbf\xfd\xbf\xbf\xbf\xbf"),
        text("6.16.1 FE", b"\xfe"),
        text("6.16.2 FF", b"\xff"),
        text("6.16.3 FE FE FF FF", b"\xfe\xfe\xff\xff"),
        text("6.17.1 a slash in 2 bytes", b"\xc0\xaf"),
        text("6.17.2 a slash in 3 bytes", b"\xe0\x80\xaf"),
        text("6.17.3 a slash in 4 bytes", b"\xf0\x80\x80\xaf"),
        text("6.17.4 a slash in 5 bytes", b"\xf8\x80\x80\x80\xaf"),
        text("6.17.5 a slash in 6 bytes", b"\xfc\x80\x80\x80\x80\xaf"),
        text("6.18.1 U+7F in 2 bytes", b"\xc1\xbf"),
        text("6.18.2 U+7FF in 3 bytes", b"\xe0\x9f\xbf"),
        text("6.18.3 U+FFFF in 4 bytes", b"\xf0\x8f\xbf\xbf"),
        text("6.18.4 U+1FFFFF in 5 bytes", b"\xf8\x87\xbf\xbf\xbf"),
        text("6.18.5 U+3FFFFFF in 6 bytes", b"\xfc\x83\xbf\xbf\xbf\xbf"),
        text("6.19.1 NUL in 2 bytes", b"\xc0\x80"),
        text("6.19.2 NUL in 3 bytes", b"\xe0\x80\x80"),
        text("6.19.3 NUL in 4 bytes", b"\xf0\x80\x80\x80"),
        text("6.19.4 NUL in 5 bytes", b"\xf8\x80\x80\x80\x80"),
        text("6.19.5 NUL in 6 bytes", b"\xfc\x80\x80\x80\x80\x80"),
        text("6.20.1 surrogate D800", b"\xed\xa0\x80"),
        text("6.20.2 surrogate DB7F", b"\xed\xad\xbf"),
        text("6.20.3 surrogate DB80", b"\xed\xae\x80"),
        text("6.20.4 surrogate DBFF", b"\xed\xaf\xbf"),
        text("6.20.5 surrogate DC00", b"\xed\xb0\x80"),
        text("6.20.6 surrogate DF80", b"\xed\xbe\x80"),
        text("6.20.7 surrogate DFFF", b"\xed\xbf\xbf"),
        text("6.21.1 pair D800 DC00", b"\xed\xa0\x80\xed\xb0\x80"),
        text("6.21.2 pair D800 DFFF", b"\xed\xa0\x80\xed\xbf\xbf"),
        text("6.21.3 pair DB7F DC00", b"\xed\xad\xbf\xed\xb0\x80"),
        text("6.21.4 pair DB7F DFFF", b"\xed\xad\xbf\xed\xbf\xbf"),
        text("6.21.5 pair DB80 DC00", b"\xed\xae\x80\xed\xb0\x80"),
        text("6.21.6 pair DB80 DFFF", b"\xed\xae\x80\xed\xbf\xbf"),
        text("6.21.7 pair DBFF DC00", b"\xed\xaf\xbf\xed\xb0\x80"),
        text("6.21.8 pair DBFF DFFF", b"\xed\xaf\xbf\xed\xbf\xbf"),
    ];
    for count in 2..=7 {
        let bytes: Vec<u8> = [0x80, 0xbf].into_iter().cycle().take(count).collect();
        texts.push(text(
            &format!("6.12.{} {count} continuation bytes", count + 1),
            &bytes,
        ));
    }
    let all: Vec<u8> = (0x80..=0xbf).collect();
    texts.push(text("6.12.8 all continuation bytes", &all));
    // Every beginning of a text that ends within a character.
    let kosme = "κόσμε".as_bytes();
    for length in 1..kosme.len() {
        let beginning = &kosme[..length];
        if std::str::from_utf8(beginning).is_err() {
            texts.push(text(
                &format!("6.6.{length} kosme, {length} bytes of it"),
                beginning,
            ));
        }
    }
    texts
}
