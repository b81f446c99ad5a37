//! Frames as bytes, right or wrong. It knows nothing of connections.

/// A frame's opcode, also those that are reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opcode(pub u8);

impl Opcode {
    pub const CONTINUATION: Self = Self(0);
    pub const TEXT: Self = Self(1);
    pub const BINARY: Self = Self(2);
    pub const CLOSE: Self = Self(8);
    pub const PING: Self = Self(9);
    pub const PONG: Self = Self(10);
}

/// A frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub is_last: bool,
    /// Reserved bits, 0 to 7.
    pub reserved: u8,
    pub opcode: Opcode,
    pub payload: Vec<u8>,
}

impl Frame {
    pub fn new(opcode: Opcode, payload: &[u8]) -> Self {
        Self {
            is_last: true,
            reserved: 0,
            opcode,
            payload: payload.to_vec(),
        }
    }

    pub fn text(payload: &[u8]) -> Self {
        Self::new(Opcode::TEXT, payload)
    }

    /// Not the last of its message.
    pub fn part(opcode: Opcode, payload: &[u8]) -> Self {
        Self {
            is_last: false,
            ..Self::new(opcode, payload)
        }
    }

    pub fn reserved(mut self, bits: u8) -> Self {
        self.reserved = bits;
        self
    }

    pub fn close(code: u16, reason: &[u8]) -> Self {
        let payload = [&code.to_be_bytes(), reason].concat();
        Self::new(Opcode::CLOSE, &payload)
    }

    /// The code of a close frame; none when it has none.
    pub fn code(&self) -> Option<u16> {
        assert_eq!(self.opcode, Opcode::CLOSE, "{self:?}");
        let code = self.payload.get(..2)?;
        Some(u16::from_be_bytes([code[0], code[1]]))
    }

    pub fn encode(&self, is_masked: bool) -> Vec<u8> {
        let length = self.payload.len();
        let mut bytes = vec![self.first_byte()];
        let mask_bit = if is_masked { 0x80 } else { 0 };
        match length {
            0..=125 => bytes.push(mask_bit | length as u8),
            126..=0xffff => {
                bytes.push(mask_bit | 126);
                bytes.extend((length as u16).to_be_bytes());
            }
            _ => {
                bytes.push(mask_bit | 127);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        self.finish(bytes, is_masked)
    }

    /// With a length of 2 or 8 bytes, however short it is.
    pub fn encode_long(&self, bytes_of_length: usize, is_masked: bool) -> Vec<u8> {
        let mask_bit = if is_masked { 0x80 } else { 0 };
        let length = self.payload.len() as u64;
        let mut bytes = vec![self.first_byte()];
        bytes.push(mask_bit | if bytes_of_length == 2 { 126 } else { 127 });
        bytes.extend(&length.to_be_bytes()[8 - bytes_of_length..]);
        self.finish(bytes, is_masked)
    }

    fn first_byte(&self) -> u8 {
        let last = if self.is_last { 0x80 } else { 0 };
        last | self.reserved << 4 | self.opcode.0
    }

    fn finish(&self, mut bytes: Vec<u8>, is_masked: bool) -> Vec<u8> {
        const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
        if is_masked {
            bytes.extend(MASK);
            let masked = self.payload.iter().zip(MASK.iter().cycle());
            bytes.extend(masked.map(|(byte, mask)| byte ^ mask));
        } else {
            bytes.extend(&self.payload);
        }
        bytes
    }
}

/// The head of a frame whose payload does not follow.
pub fn head_64(opcode: Opcode, length: u64, is_masked: bool) -> Vec<u8> {
    let mut bytes = vec![0x80 | opcode.0, if is_masked { 0xff } else { 0x7f }];
    bytes.extend(length.to_be_bytes());
    if is_masked {
        bytes.extend([0; 4]);
    }
    bytes
}
