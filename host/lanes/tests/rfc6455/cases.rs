//! The cases. Each is what the peer sends and what it must get back.

use crate::peer::LIMIT;
use crate::utf8;
use crate::wire::{Frame, Opcode};

/// What is sent and what comes of it.
pub struct Case {
    pub name: String,
    steps: Vec<Step>,
    /// How the bytes are cut into writes: so many at a time, or none.
    chop: Option<usize>,
    /// The payloads of the pongs, all of them.
    pub pongs: Vec<Vec<u8>>,
    pub expected: Expected,
}

/// A frame as it is sent.
enum Step {
    Frame(Frame),
    /// With a length in so many bytes.
    Long(Frame, usize),
}

/// What comes back.
pub enum Expected {
    /// These messages, and the connection goes on.
    Echo(Vec<Frame>),
    /// A close frame with this code, or with none; before it a beginning of these messages.
    Close(Option<u16>, Vec<Frame>),
}

impl Case {
    fn new(name: impl Into<String>, frames: Vec<Frame>, expected: Expected) -> Self {
        Self {
            name: name.into(),
            steps: frames.into_iter().map(Step::Frame).collect(),
            chop: None,
            pongs: Vec::new(),
            expected,
        }
    }

    /// Frames that make messages.
    fn echoed(name: impl Into<String>, frames: Vec<Frame>, messages: Vec<Frame>) -> Self {
        Self::new(name, frames, Expected::Echo(messages))
    }

    /// A frame that comes back.
    fn whole(name: impl Into<String>, frame: Frame) -> Self {
        Self::echoed(name, vec![frame.clone()], vec![frame])
    }

    /// Frames that end the connection.
    fn refused(name: impl Into<String>, frames: Vec<Frame>, code: u16) -> Self {
        let before = frames
            .iter()
            .take_while(|frame| **frame == hello())
            .cloned()
            .collect();
        Self::new(name, frames, Expected::Close(Some(code), before))
    }

    fn pongs(mut self, payloads: &[&[u8]]) -> Self {
        self.pongs = payloads.iter().map(|one| one.to_vec()).collect();
        self
    }

    /// The same, some bytes at a time.
    fn chopped(mut self, bytes: usize) -> Self {
        self.name = format!("{}, {bytes} bytes at a time", self.name);
        self.chop = Some(bytes);
        self
    }

    /// What is written, one write after the other.
    pub fn bytes(&self, is_masked: bool) -> Vec<Vec<u8>> {
        let bytes: Vec<u8> = self
            .steps
            .iter()
            .flat_map(|step| match step {
                Step::Frame(frame) => frame.encode(is_masked),
                Step::Long(frame, bytes) => frame.encode_long(*bytes, is_masked),
            })
            .collect();
        match self.chop {
            Some(chop) => bytes.chunks(chop).map(<[u8]>::to_vec).collect(),
            None => vec![bytes],
        }
    }
}

fn hello() -> Frame {
    Frame::text(b"Hello, world!")
}

fn ping(payload: &[u8]) -> Frame {
    Frame::new(Opcode::PING, payload)
}

fn pong(payload: &[u8]) -> Frame {
    Frame::new(Opcode::PONG, payload)
}

fn more(payload: &[u8]) -> Frame {
    Frame::part(Opcode::CONTINUATION, payload)
}

fn last(payload: &[u8]) -> Frame {
    Frame::new(Opcode::CONTINUATION, payload)
}

/// 1.*: text and binary of all kinds of lengths.
pub fn framing() -> Vec<Case> {
    let mut cases = Vec::new();
    for (group, opcode, byte) in [(1, Opcode::TEXT, b'*'), (2, Opcode::BINARY, 0xfe)] {
        let lengths = [0, 125, 126, 127, 128, 65_535, 65_536];
        for (number, length) in lengths.into_iter().enumerate() {
            let name = format!("1.{group}.{}: {length} bytes", number + 1);
            let frame = Frame::new(opcode, &vec![byte; length]);
            cases.push(Case::whole(name.clone(), frame.clone()));
            if length > 60_000 {
                cases.push(Case::whole(name, frame).chopped(997));
            } else {
                cases.push(Case::whole(name, frame).chopped(1));
            }
        }
    }
    cases
}

/// 2.*
pub fn pings_and_pongs() -> Vec<Case> {
    let binary: Vec<u8> = vec![0x00, 0xff, 0xfe, 0xfd, 0xfc, 0xfb, 0x00, 0xff];
    let longest = vec![0xfe; 125];
    let ten: Vec<Vec<u8>> = (0..10)
        .map(|n| format!("payload-{n}").into_bytes())
        .collect();
    let pings: Vec<Frame> = ten.iter().map(|payload| ping(payload)).collect();
    let ten: Vec<&[u8]> = ten.iter().map(Vec::as_slice).collect();
    let echoed = |name: &str, frames| Case::echoed(name, frames, Vec::new());
    vec![
        echoed("2.1 an empty ping", vec![ping(b"")]).pongs(&[b""]),
        echoed("2.2 a ping with text", vec![ping(b"Hello")]).pongs(&[b"Hello"]),
        echoed("2.3 a ping with bytes", vec![ping(&binary)]).pongs(&[&binary]),
        echoed("2.4 a ping of 125 bytes", vec![ping(&longest)]).pongs(&[&longest]),
        Case::refused("2.5 a ping of 126 bytes", vec![ping(&[0xfe; 126])], 1002),
        echoed("2.6 a ping of 125 bytes", vec![ping(&longest)])
            .pongs(&[&longest])
            .chopped(1),
        echoed("2.7 a pong that nobody asked for", vec![pong(b"")]),
        echoed("2.8 the same with a payload", vec![pong(b"unasked")]),
        echoed(
            "2.9 a pong, then a ping",
            vec![pong(b"unasked"), ping(b"asked")],
        )
        .pongs(&[b"asked"]),
        echoed("2.10 ten pings", pings.clone()).pongs(&ten),
        echoed("2.11 ten pings", pings).pongs(&ten).chopped(1),
        Case::refused("own: a pong of 126 bytes", vec![pong(&[0; 126])], 1002),
    ]
}

/// 3.*: no extension is agreed on, so no reserved bit has a meaning.
pub fn reserved_bits() -> Vec<Case> {
    let mut cases = Vec::new();
    for bits in 1..=7 {
        let frames = [
            ("text", hello()),
            ("binary", Frame::new(Opcode::BINARY, b"x")),
            ("ping", ping(b"x")),
            ("pong", pong(b"x")),
            ("close", Frame::close(1000, b"")),
        ];
        for (kind, frame) in frames {
            let name = format!("3.{bits} bits {bits:03b} of a {kind} frame");
            let frame = frame.reserved(bits);
            cases.push(Case::refused(name.clone(), vec![frame.clone()], 1002));
            let frames = vec![hello(), frame, ping(b"after")];
            cases.push(Case::refused(
                format!("{name}, between others"),
                frames.clone(),
                1002,
            ));
            cases.push(Case::refused(name, frames, 1002).chopped(1));
        }
    }
    // What would make a compressed message, had it been agreed on.
    let compressed = Frame::text(&[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]).reserved(4);
    cases.push(Case::refused(
        "own: a compressed message",
        vec![compressed],
        1002,
    ));
    cases
}

/// 4.*: opcodes that mean nothing.
pub fn opcodes() -> Vec<Case> {
    let mut cases = Vec::new();
    for opcode in (3..=7).chain(11..=15) {
        for payload in [&b""[..], b"x"] {
            let frame = Frame::new(Opcode(opcode), payload);
            let name = format!("4.* opcode {opcode} with {} bytes", payload.len());
            cases.push(Case::refused(name.clone(), vec![frame.clone()], 1002));
            let frames = vec![hello(), frame, ping(b"after")];
            cases.push(Case::refused(
                format!("{name}, between others"),
                frames.clone(),
                1002,
            ));
            cases.push(Case::refused(name, frames, 1002).chopped(1));
        }
    }
    cases
}

/// 5.*
pub fn fragmentation() -> Vec<Case> {
    let text = |payload: &[u8]| vec![Frame::text(payload)];
    let first = |payload: &[u8]| Frame::part(Opcode::TEXT, payload);
    let two = || vec![first(b"fragment1"), last(b"fragment2")];
    let with_ping = || vec![first(b"fragment1"), ping(b"ping"), last(b"fragment2")];
    let both = b"fragment1fragment2";
    let five = || {
        vec![
            first(b"f1"),
            more(b"f2"),
            ping(b"1"),
            more(b"f3"),
            more(b"f4"),
            ping(b"2"),
            last(b"f5"),
        ]
    };
    let unfinished_ping = Frame::part(Opcode::PING, b"x");
    let unfinished_pong = Frame::part(Opcode::PONG, b"x");
    let mut cases = vec![
        Case::refused("5.1 a ping in two", vec![unfinished_ping, last(b"y")], 1002),
        Case::refused("5.2 a pong in two", vec![unfinished_pong, last(b"y")], 1002),
        Case::echoed("5.3 text in two", two(), text(both)),
        Case::echoed("5.4 text in two", two(), text(both)).chopped(15),
        Case::echoed("5.5 text in two", two(), text(both)).chopped(1),
        Case::echoed("5.6 a ping between", with_ping(), text(both)).pongs(&[b"ping"]),
        Case::echoed("5.7 a ping between", with_ping(), text(both))
            .pongs(&[b"ping"])
            .chopped(15),
        Case::echoed("5.8 a ping between", with_ping(), text(both))
            .pongs(&[b"ping"])
            .chopped(1),
        Case::refused(
            "5.9 a last part of nothing",
            vec![last(b"x"), hello()],
            1002,
        ),
        Case::refused("5.10 a last part of nothing", vec![last(b"x")], 1002),
        Case::refused(
            "5.11 a last part of nothing",
            vec![last(b"x"), hello()],
            1002,
        )
        .chopped(1),
        Case::refused("5.12 a part of nothing", vec![more(b"x"), hello()], 1002),
        Case::refused("5.13 a part of nothing", vec![more(b"x")], 1002),
        Case::refused("5.14 a part of nothing", vec![more(b"x"), hello()], 1002).chopped(1),
        Case::new(
            "5.15 text in two, a part of nothing",
            [two(), vec![more(b"x"), hello()]].concat(),
            Expected::Close(Some(1002), text(both)),
        ),
        Case::refused(
            "5.16 parts of nothing, twice",
            vec![more(b"x"), first(b"y"), last(b"z"), more(b"x")],
            1002,
        ),
        Case::refused(
            "5.17 last parts of nothing, twice",
            vec![last(b"x"), first(b"y"), last(b"z"), last(b"x")],
            1002,
        ),
        Case::refused("5.18 text within text", vec![first(b"x"), hello()], 1002),
        Case::refused(
            "own: binary within text",
            vec![first(b"x"), Frame::new(Opcode::BINARY, b"y")],
            1002,
        ),
        Case::echoed("5.19 five parts and two pings", five(), text(b"f1f2f3f4f5"))
            .pongs(&[b"1", b"2"]),
        Case::echoed("5.20 five parts and two pings", five(), text(b"f1f2f3f4f5"))
            .pongs(&[b"1", b"2"])
            .chopped(1),
        Case::refused(
            "own: a close frame in two",
            vec![Frame::part(Opcode::CLOSE, b"\x03\xe8")],
            1002,
        ),
    ];
    let empty_parts = [vec![first(b"")], vec![more(b""); 1_000], vec![last(b"x")]].concat();
    cases.push(Case::echoed(
        "own: a thousand empty parts",
        empty_parts,
        text(b"x"),
    ));
    cases
}

/// 6.*
pub fn utf_8() -> Vec<Case> {
    let first = |payload: &[u8]| Frame::part(Opcode::TEXT, payload);
    let mut cases = vec![
        Case::whole("6.1.1 nothing", Frame::text(b"")),
        Case::echoed(
            "6.1.2 nothing in three",
            vec![first(b""), more(b""), last(b"")],
            vec![Frame::text(b"")],
        ),
        Case::echoed(
            "6.1.3 nothing around something",
            vec![first(b""), more(b"middle"), last(b"")],
            vec![Frame::text(b"middle")],
        ),
    ];
    for (name, bytes) in utf8::valid() {
        let whole = Frame::text(&bytes);
        cases.push(Case::whole(name.clone(), whole.clone()));
        // A frame a byte: characters are split.
        let name = format!("{name}, a byte a frame");
        cases.push(Case::echoed(name, one_by_one(&bytes), vec![whole]));
        // Not text: nobody looks at it.
        let binary = Frame::new(Opcode::BINARY, &bytes);
        cases.push(Case::whole("own: the same as binary", binary));
    }
    for (name, bytes) in utf8::invalid() {
        let whole = Frame::text(&bytes);
        cases.push(Case::refused(name.clone(), vec![whole.clone()], 1007));
        cases.push(Case::refused(name.clone(), vec![whole], 1007).chopped(1));
        let parts = one_by_one(&bytes);
        cases.push(Case::refused(
            format!("{name}, a byte a frame"),
            parts,
            1007,
        ));
        let around = [b"before ".as_slice(), &bytes, b" after"].concat();
        let name = format!("{name}, within other text");
        cases.push(Case::refused(name, vec![Frame::text(&around)], 1007));
        let binary = Frame::new(Opcode::BINARY, &bytes);
        cases.push(Case::whole("own: the same as binary", binary));
    }
    cases
}

/// Text, a byte a frame, with an empty last one.
fn one_by_one(bytes: &[u8]) -> Vec<Frame> {
    let parts = bytes.iter().enumerate().map(|(place, byte)| match place {
        0 => Frame::part(Opcode::TEXT, &[*byte]),
        _ => more(&[*byte]),
    });
    parts.chain([last(b"")]).collect()
}

/// 7.*
pub fn closing() -> Vec<Case> {
    let close =
        |name: &str, frames, code| Case::new(name, frames, Expected::Close(code, vec![hello()]));
    let reason = |length| vec![b'*'; length];
    let large = Frame::text(&vec![b'*'; 256 * 1024]);
    let mut cases = vec![
        close(
            "7.1.1 a message, then close",
            vec![hello(), Frame::close(1000, b"")],
            Some(1000),
        ),
        close(
            "7.1.2 close twice",
            vec![Frame::close(1000, b""), Frame::close(1000, b"")],
            Some(1000),
        ),
        close(
            "7.1.3 a ping after close",
            vec![Frame::close(1000, b""), ping(b"late")],
            Some(1000),
        ),
        Case::new(
            "7.1.4 text after close",
            vec![Frame::close(1000, b""), hello()],
            Expected::Close(Some(1000), Vec::new()),
        ),
        Case::new(
            "7.1.5 close within a message",
            vec![
                Frame::part(Opcode::TEXT, b"fragment1"),
                Frame::close(1000, b""),
                last(b"fragment2"),
            ],
            Expected::Close(Some(1000), Vec::new()),
        ),
        Case::new(
            "7.1.6 256 KiB, then close, then a ping",
            vec![large.clone(), Frame::close(1000, b""), ping(b"late")],
            Expected::Close(Some(1000), vec![large]),
        ),
        close(
            "7.3.1 no payload",
            vec![Frame::new(Opcode::CLOSE, b"")],
            None,
        ),
        close(
            "7.3.2 one byte",
            vec![Frame::new(Opcode::CLOSE, b"a")],
            Some(1002),
        ),
        close("7.3.3 a code", vec![Frame::close(1000, b"")], Some(1000)),
        close(
            "7.3.4 a code and a reason",
            vec![Frame::close(1000, b"Hello")],
            Some(1000),
        ),
        close(
            "7.3.5 the longest reason",
            vec![Frame::close(1000, &reason(123))],
            Some(1000),
        ),
        close(
            "7.3.6 a longer reason",
            vec![Frame::close(1000, &reason(124))],
            Some(1002),
        ),
        close(
            "7.5.1 a reason that is not UTF-8",
            vec![Frame::close(
                1000,
                b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
            )],
            Some(1007),
        ),
    ];
    let valid = [
        1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 3000, 3999, 4000, 4999,
    ];
    for code in valid {
        let name = format!("7.7 code {code}");
        cases.push(close(&name, vec![Frame::close(code, b"")], Some(code)));
        cases.push(close(&name, vec![Frame::close(code, b"why")], Some(code)).chopped(1));
    }
    // 1014 was registered later, and is not known here.
    let invalid = [
        0, 999, 1004, 1005, 1006, 1014, 1015, 1016, 1100, 2000, 2999, 5000, 65535,
    ];
    for code in invalid {
        let name = format!("7.9, 7.13 code {code}");
        cases.push(close(&name, vec![Frame::close(code, b"")], Some(1002)));
    }
    cases
}

/// 9.*, as far as messages may be: up to the limit, and beyond it.
pub fn sizes() -> Vec<Case> {
    let mut cases = Vec::new();
    for (group, opcode, byte) in [(1, Opcode::TEXT, b'*'), (2, Opcode::BINARY, 0xfe)] {
        for length in [64 << 10, 256 << 10, LIMIT] {
            let payload = vec![byte; length];
            let whole = Frame::new(opcode, &payload);
            cases.push(Case::whole(
                format!("9.{group} {length} bytes"),
                whole.clone(),
            ));
            for part in [64, 1 << 10, 64 << 10] {
                let mut frames: Vec<_> = payload.chunks(part).map(more).collect();
                frames.first_mut().unwrap().opcode = opcode;
                frames.last_mut().unwrap().is_last = true;
                let name = format!("9.3, 9.4 {length} bytes in parts of {part}");
                cases.push(Case::echoed(name, frames, vec![whole.clone()]));
            }
        }
        let name = format!("9.5, 9.6 {LIMIT} bytes");
        let whole = Frame::new(opcode, &vec![byte; LIMIT]);
        cases.push(Case::whole(name, whole).chopped(2048));
        let over = Frame::new(opcode, &vec![byte; LIMIT + 1]);
        cases.push(Case::refused("own: a byte more", vec![over], 1009));
        let frames = vec![Frame::part(opcode, &vec![byte; LIMIT]), last(&[byte])];
        cases.push(Case::refused("own: a byte more, in two", frames, 1009));
    }
    let payload: Vec<u8> = vec![b'*'; 65_536];
    let mut frames: Vec<_> = payload.chunks(1_300).map(more).collect();
    frames.first_mut().unwrap().opcode = Opcode::TEXT;
    frames.last_mut().unwrap().is_last = true;
    cases.push(Case::echoed(
        "10.1.1 64 KiB in parts of 1300",
        frames,
        vec![Frame::text(&payload)],
    ));
    cases
}

/// Lengths that are written with more bytes than they need: the standard forbids to write them so, and
/// says nothing of who reads them. They are read for what they say.
pub fn lengths() -> Vec<Case> {
    let mut cases = Vec::new();
    for bytes in [2, 8] {
        let mut case = Case::whole(format!("own: a length of {bytes} bytes"), hello());
        case.steps = vec![Step::Long(hello(), bytes)];
        cases.push(case);
    }
    cases
}
