//! The header `authorization` of AWS Signature Version 4, for requests that not every server takes as a
//! presigned URL: R2 names `GET`, `HEAD`, `PUT` and `DELETE` for these.

use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use url::Url;

/// Whose request it is, and where it goes.
#[derive(Clone, Copy)]
pub(crate) struct Signer<'a> {
    pub(crate) key_id: &'a str,
    pub(crate) secret: &'a str,
    pub(crate) region: &'a str,
}

impl Signer<'_> {
    /// The headers to be sent, these and the signature. `url` has its query as [`encode`] writes it, in the
    /// order of the names; names of headers are in lower case, each once.
    pub(crate) fn sign(
        self,
        now: &Timestamp,
        method: &str,
        url: &Url,
        mut headers: Vec<(String, String)>,
        body: &[u8],
    ) -> Vec<(String, String)> {
        let at = now.strftime("%Y%m%dT%H%M%SZ").to_string();
        let digest = hex(&Sha256::digest(body));
        headers.push(("x-amz-content-sha256".to_owned(), digest.clone()));
        headers.push(("x-amz-date".to_owned(), at.clone()));
        let mut signed: Vec<(&str, String)> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), one_spaced(value)))
            .collect();
        signed.push(("host", host(url)));
        signed.sort();
        let names: Vec<&str> = signed.iter().map(|(name, _)| *name).collect();
        let names = names.join(";");
        let lines: Vec<String> = signed
            .iter()
            .map(|(name, value)| format!("{name}:{value}\n"))
            .collect();
        let (path, query) = (url.path(), url.query().unwrap_or_default());
        let canonical = format!(
            "{method}\n{path}\n{query}\n{}\n{names}\n{digest}",
            lines.concat()
        );

        let day = at.get(..8).unwrap_or_default();
        let scope = format!("{day}/{}/s3/aws4_request", self.region);
        let canonical = hex(&Sha256::digest(canonical));
        let text = format!("AWS4-HMAC-SHA256\n{at}\n{scope}\n{canonical}");
        let mut key = format!("AWS4{}", self.secret).into_bytes();
        for part in [day, self.region, "s3", "aws4_request"] {
            key = keyed(&key, part.as_bytes());
        }
        let signature = hex(&keyed(&key, text.as_bytes()));
        let id = self.key_id;
        let value = format!(
            "AWS4-HMAC-SHA256 Credential={id}/{scope},SignedHeaders={names},Signature={signature}"
        );
        headers.push(("authorization".to_owned(), value));
        headers
    }
}

/// A value as it stands in a query that is signed.
pub(crate) fn encode(value: &str) -> String {
    let encoded = value.bytes().map(|byte| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    });
    encoded.collect()
}

/// As it is sent: with the port, unless that is the scheme's own.
fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port()
        .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn one_spaced(value: &str) -> String {
    value.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn keyed(key: &[u8], text: &[u8]) -> Vec<u8> {
    // A key of any length is taken.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return Vec::new();
    };
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    /// The examples of Amazon's documentation, "Signature Calculations for the Authorization Header".
    #[test]
    fn signatures_are_those_of_the_documentation() {
        let signer = Signer {
            key_id: "AKIAIOSFODNN7EXAMPLE",
            secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            region: "us-east-1",
        };
        let now: Timestamp = "2013-05-24T00:00:00Z".parse().unwrap();
        let signature = |method, url: &str, headers, body: &[u8]| {
            let signed = signer.sign(&now, method, &url.parse().unwrap(), headers, body);
            let (name, value) = signed.last().unwrap().clone();
            assert_eq!(name, "authorization");
            value
        };
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let range = vec![pair("range", "bytes=0-9")];
        assert_eq!(
            signature(
                "GET",
                "https://examplebucket.s3.amazonaws.com/test.txt",
                range,
                b""
            ),
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,\
             SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,\
             Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
        );
        let put = vec![
            pair("date", "Fri, 24 May 2013 00:00:00 GMT"),
            pair("x-amz-storage-class", "REDUCED_REDUNDANCY"),
        ];
        let url = "https://examplebucket.s3.amazonaws.com/test%24file.text";
        assert!(
            signature("PUT", url, put, b"Welcome to Amazon S3.").ends_with(
                "Signature=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"
            )
        );
        let url = "https://examplebucket.s3.amazonaws.com/?max-keys=2&prefix=J";
        assert!(signature("GET", url, Vec::new(), b"").ends_with(
            "Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"
        ));
    }

    #[test]
    fn a_port_of_its_own_is_signed() {
        assert_eq!(
            host(&"http://127.0.0.1:9000/a".parse().unwrap()),
            "127.0.0.1:9000"
        );
        assert_eq!(host(&"https://h:443/a".parse().unwrap()), "h");
    }

    #[test]
    fn a_value_in_a_query_is_letters_digits_and_escapes() {
        assert_eq!(encode("aZ0-._~ +/=ü"), "aZ0-._~%20%2B%2F%3D%C3%BC");
    }
}
