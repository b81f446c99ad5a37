//! What has to be known of a certificate to say what is wrong with it: who signed it, whose it is, when it is
//! valid. It verifies nothing; whoever connects does.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// The certificate's version, where it has one.
const VERSION: u8 = 0xa0;

/// A part of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// The name of whoever signed it, encoded.
    pub(crate) issuer: Vec<u8>,
    /// Its own name, encoded.
    pub(crate) subject: Vec<u8>,
    pub(crate) not_before: Moment,
    pub(crate) not_after: Moment,
}

/// A time, with its day as people write it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) time: SystemTime,
    pub(crate) day: String,
}

impl Facts {
    /// None: it is no certificate that can be read here.
    pub(crate) fn of(certificate: &[u8]) -> Option<Self> {
        let mut outer = Reader(certificate);
        let mut whole = Reader(outer.content(SEQUENCE)?);
        let mut signed = Reader(whole.content(SEQUENCE)?);
        if signed.0.first() == Some(&VERSION) {
            signed.content(VERSION)?;
        }
        signed.content(INTEGER)?;
        signed.content(SEQUENCE)?;
        let issuer = signed.content(SEQUENCE)?.to_vec();
        let mut validity = Reader(signed.content(SEQUENCE)?);
        let subject = signed.content(SEQUENCE)?.to_vec();
        Some(Self {
            issuer,
            subject,
            not_before: validity.moment()?,
            not_after: validity.moment()?,
        })
    }
}

/// What is left to be read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// The content of the next element, which has this tag.
    fn content(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (found, content) = self.element()?;
        (found == tag).then_some(content)
    }

    fn element(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, mut rest) = rest.split_first()?;
        let mut length = usize::from(first);
        if first >= 0x80 {
            let (bytes, behind) = rest.split_at_checked(usize::from(first & 0x7f))?;
            // Nothing here is as long as four bytes could say.
            if bytes.is_empty() || bytes.len() > 3 {
                return None;
            }
            length = bytes
                .iter()
                .fold(0, |length, byte| length << 8 | usize::from(*byte));
            rest = behind;
        }
        let (content, behind) = rest.split_at_checked(length)?;
        self.0 = behind;
        Some((tag, content))
    }

    fn moment(&mut self) -> Option<Moment> {
        let (tag, content) = self.element()?;
        let text = std::str::from_utf8(content).ok()?.strip_suffix('Z')?;
        if !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let (year, rest) = match tag {
            UTC_TIME => {
                let (short, rest) = text.split_at_checked(2)?;
                let short: i64 = short.parse().ok()?;
                (if short < 50 { 2000 } else { 1900 } + short, rest)
            }
            GENERALIZED_TIME => {
                let (year, rest) = text.split_at_checked(4)?;
                (year.parse().ok()?, rest)
            }
            _ => return None,
        };
        let number = |at: usize| rest.get(at..at + 2)?.parse::<i64>().ok();
        let (month, day) = (number(0)?, number(2)?);
        let of_day = number(4)? * 3600 + number(6)? * 60 + number(8)?;
        let seconds = days(year, month, day) * 86_400 + of_day;
        let distance = Duration::from_secs(seconds.unsigned_abs());
        let time = match seconds < 0 {
            true => UNIX_EPOCH.checked_sub(distance)?,
            false => UNIX_EPOCH.checked_add(distance)?,
        };
        Some(Moment {
            time,
            day: format!("{year:04}-{month:02}-{day:02}"),
        })
    }
}

/// Days from 1970-01-01 to this one, in the calendar that is used now.
fn days(year: i64, month: i64, day: i64) -> i64 {
    // Years that begin in March end with their leap day.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use rcgen::{CertificateParams, DnType, KeyPair, date_time_ymd};

    use super::*;

    #[test]
    fn names_and_times_of_a_certificate_are_read() {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_before = date_time_ymd(1999, 12, 31);
        // From 2050 on times are written in another way.
        params.not_after = date_time_ymd(2052, 2, 29);
        params.distinguished_name.push(DnType::CommonName, "x");
        let made = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let facts = Facts::of(made.der()).unwrap();
        assert_eq!(facts.issuer, facts.subject);
        assert_eq!(facts.not_before.day, "1999-12-31");
        assert_eq!(facts.not_after.day, "2052-02-29");
        let seconds = |moment: &Moment| moment.time.duration_since(UNIX_EPOCH).unwrap().as_secs();
        assert_eq!(seconds(&facts.not_before), 946_598_400);
        assert_eq!(seconds(&facts.not_after), 2_592_777_600);
        // Nothing of it that is cut off is read beyond its end.
        for end in 0..made.der().len() {
            assert_eq!(Facts::of(&made.der()[..end]), None);
        }
    }
}
