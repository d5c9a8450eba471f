//! The address of a node, and what must not be printed of it.

use std::{env, fmt, str::FromStr};

use ureq::http::{HeaderName, HeaderValue, Uri, header::AUTHORIZATION, uri::Scheme};

/// The environment variable with a token.
const TOKEN: &str = "BLOCKLOOM_RPC_TOKEN";

/// What stands in messages for a secret.
const HIDDEN: &str = "***";

/// The least length of a part of a secret that is removed from messages. Shorter secrets are removed whole.
const LEAST_SECRET: usize = 8;

/// A text that may contain a secret, and is never printed.
#[derive(Clone)]
pub(crate) struct Secret(String);

impl FromStr for Secret {
    type Err = std::convert::Infallible;

    /// Never fails: the message of a failure would show the text.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

/// A node: its address, and the headers that it gets. Displayed as its scheme, host and port.
pub(super) struct Endpoint {
    uri: Uri,
    headers: Vec<(HeaderName, HeaderValue)>,
    secrets: Vec<String>,
}

impl Endpoint {
    /// The node at `rpc`, which gets `headers`, and the token in the environment if there is one.
    pub(super) fn new(rpc: &Secret, headers: &[Secret]) -> Result<Self, String> {
        Self::with_token(rpc, headers, env::var(TOKEN).ok().filter(|token| !token.is_empty()))
    }

    fn with_token(rpc: &Secret, headers: &[Secret], token: Option<String>) -> Result<Self, String> {
        let uri: Uri = rpc.0.parse().map_err(|_| "--rpc: this is no URL".to_owned())?;
        let is_http = [Scheme::HTTP, Scheme::HTTPS].iter().any(|scheme| uri.scheme() == Some(scheme));
        if !is_http || uri.host().is_none_or(str::is_empty) {
            return Err("--rpc: expected http://HOST:PORT or https://HOST/PATH".to_owned());
        }
        let mut secrets = secrets_of(&uri);
        // Shorter words of a path or a query are names such as "v2".
        secrets.retain(|word| word.len() >= LEAST_SECRET);
        secrets.extend(user_info(&uri).into_iter().flat_map(|user| user.split(':')).map(str::to_owned));
        let mut parsed = Vec::new();
        for Secret(text) in headers {
            let (name, value) = text.split_once(':').ok_or("--header: expected 'NAME: VALUE'")?;
            let name: HeaderName =
                name.trim().parse().map_err(|_| "--header: the name is no name of a header".to_owned())?;
            parsed.push((name, secret_value(value.trim(), "--header")?));
            secrets.extend(value.split_whitespace().map(str::to_owned));
        }
        if let Some(token) = token {
            parsed.push((AUTHORIZATION, secret_value(&format!("Bearer {}", token.trim()), TOKEN)?));
            secrets.extend(token.split_whitespace().map(str::to_owned));
        }
        secrets.retain(|secret| !secret.is_empty());
        Ok(Self { uri, headers: parsed, secrets })
    }

    pub(super) fn uri(&self) -> &Uri {
        &self.uri
    }

    pub(super) fn headers(&self) -> &[(HeaderName, HeaderValue)] {
        &self.headers
    }

    /// A message without the secrets, and without their beginnings: a message may have been cut.
    pub(super) fn redact(&self, message: &str) -> String {
        let mut redacted = String::with_capacity(message.len());
        let mut rest = message;
        while let Some(next) = rest.chars().next() {
            let starts = self.secrets.iter().filter_map(|secret| {
                let length = common_start(secret, rest);
                (length >= secret.len().min(LEAST_SECRET)).then_some(length)
            });
            let length = if let Some(secret) = starts.max() {
                redacted.push_str(HIDDEN);
                secret
            } else {
                redacted.push(next);
                next.len_utf8()
            };
            rest = &rest[length..];
        }
        redacted
    }
}

/// How many bytes two texts have in common from their start.
fn common_start(one: &str, other: &str) -> usize {
    let same = one.chars().zip(other.chars()).take_while(|(one, other)| one == other);
    same.map(|(c, _)| c.len_utf8()).sum()
}

fn secret_value(text: &str, source: &str) -> Result<HeaderValue, String> {
    let mut value =
        HeaderValue::from_str(text).map_err(|_| format!("{source}: the value has forbidden characters"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// The user and the password in a URL.
fn user_info(uri: &Uri) -> Option<&str> {
    uri.authority().and_then(|authority| authority.as_str().rsplit_once('@')).map(|(user, _)| user)
}

/// What may be a key in a URL: the user, the password, and everything after the host.
fn secrets_of(uri: &Uri) -> Vec<String> {
    let parts = [user_info(uri).unwrap_or_default(), uri.path(), uri.query().unwrap_or_default()];
    let words = parts.iter().flat_map(|part| part.split(['/', ':', '&', '=']));
    let whole = parts.iter().map(|part| part.trim_matches('/'));
    whole.chain(words).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.uri.scheme_str().unwrap_or_default();
        write!(f, "{scheme}://{}", self.uri.host().unwrap_or_default())?;
        self.uri.port_u16().map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(url: &str, headers: &[&str], token: Option<&str>) -> Result<Endpoint, String> {
        let secret = |text: &str| Secret(text.to_owned());
        let headers: Vec<_> = headers.iter().map(|header| secret(header)).collect();
        Endpoint::with_token(&secret(url), &headers, token.map(str::to_owned))
    }

    #[test]
    fn only_scheme_host_and_port_are_shown() {
        let node =
            endpoint("https://user:passw0rd@node.example:8443/v2/key-of-mine?token=abcdefgh", &[], None);
        let node = node.unwrap();
        assert_eq!(node.to_string(), "https://node.example:8443");
        let message = node.redact("v2/key-of-mine: passw0rd abcdefgh token=abcdefgh");
        assert!(
            ["key-of-mine", "passw0rd", "abcdefgh"].iter().all(|secret| !message.contains(secret)),
            "{message}"
        );
    }

    #[test]
    fn headers_and_the_token_are_sent_and_not_shown() {
        let node = endpoint("http://localhost:8545", &["X-Key: sesame-open"], Some("tok-123456")).unwrap();
        let value =
            |name: &str| node.headers().iter().find(|(found, _)| found == name).map(|(_, value)| value);
        assert_eq!(value("x-key").unwrap(), "sesame-open");
        assert_eq!(value("authorization").unwrap(), "Bearer tok-123456");
        assert_eq!(node.redact("bad key sesame-open, bad token tok-123456"), "bad key ***, bad token ***");
        assert_eq!(node.redact("cut: sesame-op"), "cut: ***");
        let short = endpoint("http://me:pw1@localhost/v2", &["X-Key: s3cret"], Some("tok")).unwrap();
        assert_eq!(short.redact("v2: s3cret, tok, pw1, me"), "v2: ***, ***, ***, ***");
        assert_eq!(format!("{:?}", Secret("sesame-open".to_owned())), "***");
    }

    #[test]
    fn errors_show_nothing_of_what_was_typed() {
        for (url, header) in [
            ("ws://secret-host/key", "a: b"),
            ("secret-host:8545", "a: b"),
            ("http://", "a: b"),
            ("http://secret host", "a: b"),
            ("http://host", "secret-without-colon"),
            ("http://host", "secret name: x"),
            ("http://host", "name: secret\u{7f}"),
        ] {
            let error = endpoint(url, &[header], None).err().expect(url);
            assert!(error.starts_with("--") && !error.contains("secret"), "{error}");
        }
    }
}
