"""The redactor: what it takes out of a text, what it leaves there, and what it costs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taquba._redact import REDACTED, redact_headers, redact_text

# No key of anybody: the shapes are those that the issuers document.
AWS_KEY_ID = "AKIAIOSFODNN7EXAMPLE"
AWS_SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"  # noqa: S105 - the example of AWS
API_KEY = "sk-proj-Zx81kQpL0vMt5Rw2"
TEXT_CHARS = 1_000_000

SECRETS = {
    "an authorization header": ("Authorization: Bearer h1dden.tok3n", "h1dden.tok3n"),
    "a scheme nobody knows": ("authorization: Weird h1dden and more", "h1dden"),
    "a quoted header": ("{'Authorization': 'Digest r=\"h1dden\"', 'a': 'b'}", "h1dden"),
    "a proxy's header": ("Proxy-Authorization: h1dden", "h1dden"),
    "a cookie": ("Cookie: a=1; session=h1dden", "h1dden"),
    "a cookie that is set": ("set-cookie: sid=h1dden; Path=/", "h1dden"),
    "an api key header": ('{"X-Api-Key": "h1dden"}', "h1dden"),
    "an api key in snake case": ("api_key=h1dden", "h1dden"),
    "a bearer in prose": ("sent with bearer h1dden-t0ken to it", "h1dden"),
    "basic": ("sent with Basic aDFkZGVuOmgxZGRlbg== to it", "aDFkZGVuOmgxZGRlbg"),
    "a password": ("password = h1dden", "h1dden"),
    "a password of a call": ("connect(user='a', password='h1d den')", "h1d den"),
    "a password of a wrapper": ("password=SecretStr('h1dden')", "h1dden"),
    "bytes": ("token=b'h1dden'", "h1dden"),
    "a password with an escaped quote": (r'{"passwd": "h1\"dden", "a": 1}', "dden"),
    "JSON in JSON": (r'body "{\"client_secret\": \"h1d den\"}"', "h1d den"),
    "an arrow": ("secret => h1dden", "h1dden"),
    "an unfinished quote": ('token="h1dden', "h1dden"),
    "a webhook's secret": ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "MfKQ9r8GKYqrTwjUPD8ILPZIo"),
    "an AWS key id": (f"key {AWS_KEY_ID} refused", AWS_KEY_ID),
    "an AWS secret key": (f"with {AWS_SECRET} it was refused", AWS_SECRET),
    "a named AWS secret key": (f"aws_secret_access_key={AWS_SECRET}x", AWS_SECRET),
    "an API key": (f"the key {API_KEY} is wrong", API_KEY),
    "a GitHub token": ("ghp_16C7e42F292c6912E7710c838347Ae178B4a", "16C7e42F292c6912"),
    "a JSON web token": ("got eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.s1gn4ture", "s1gn4ture"),
    "a private key": (
        "-----BEGIN EC PRIVATE KEY-----\nh1dden\n-----END EC PRIVATE KEY-----",
        "h1d",
    ),
    "half a private key": ("-----BEGIN PRIVATE KEY-----\nh1dden", "h1dden"),
    "userinfo": ("postgres://me:h1dden@db/x", "h1dden"),
    "userinfo with an at sign": ("postgres://me:p@h1dden@db/x", "h1dden"),
    "userinfo of a store": (f"s3://{AWS_KEY_ID}:h1/dden@bucket/path", "h1/dden"),
    "a presigned URL": ("https://b/k?X-Amz-Date=1&X-Amz-Signature=h1dden", "h1dden"),
    "a presigned URL's token": ("https://b/k?X-Amz-Security-Token=h1dden&a=1", "h1dden"),
    "a shared access signature": ("https://b/k?sv=2020&sig=h1dden%3D", "h1dden"),
    "a signature of old": ("https://b/k?Signature=h1dden&Expires=1", "h1dden"),
    "a signature of Google": ("https://b/k?X-Goog-Signature=h1dden", "h1dden"),
    "a token in a query": ("https://h/cb?a=1&token=h1dden", "h1dden"),
    "a key in a query": ("https://h/cb?key=h1dden&x=1", "h1dden"),
    "an account key": ("AccountName=a;AccountKey=h1/dden==;End=1", "h1/dden"),
}

PROSE = [
    "",
    "the store answered 403: access denied",
    "basic validation failed",
    "max_tokens=4096, prompt_tokens: 12, token_count=7",
    "tokenizer: bpe",
    "commit a9e6919a9e6919a9e6919a9e6919a9e6919a9e69",
    "sha256:6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b",
    "object_store::aws::credential::refresh",
    "http://127.0.0.1:8420/metrics?queue=email and mail to a@example.com",
    "http://host:8080/a@b",
    "listening on http://[::1]:8420",
    "give http://HOST:PORT",
    "nothing answers at http://127.0.0.1:8420",
    "s3://bucket/queues/prod",
    "unexpected token: }",
    "01JD3ZQ2W5T0X4K6V8N1M3P5R7",
    "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
]

# Begins of rules without their ends, again and again: what makes a careless pattern look twice.
HOSTILE = [
    "token",
    'token="',
    "token='\"",
    "token\\",
    "token   ",
    "cookie:",
    "://",
    "://a:",
    "://a@",
    "a@",
    "&sig",
    "basic a",
    "bearer ",
    "-----BEGIN PRIVATE KEY",
    "eyJaaaaaaaaa.",
    "sk-aaaaaaaaaaaaaaaa ",
    "aA1/aA1/" * 4 + "aA1/aA ",
    "whsec_",
    " ",
]

PIECES = [
    *[
        "authorization",
        "cookie: ",
        "token",
        "password",
        "key=",
        "sig=",
        "x-amz-signature=",
        "x-",
        "Bearer ",
        "b'",
    ],
    *["basic ", "Basic ", "whsec_", "sk-", "ghp_", "AKIA", "eyJabcdefghijk", "A1b2C3d4E5F6g7H8"],
    *("-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----", REDACTED, AWS_KEY_ID, AWS_SECRET),
    *" \n\"'\\:=@/?&#.,;-_+()[]a18",
]
SECRET_NAMES = [
    "Authorization",
    "proxy-authorization",
    "COOKIE",
    "Set-Cookie",
    "X-Api-Key",
    "apikey",
    "x-api_key",
    "X-Auth-Token",
    "x-amz-security-token",
    "db_password",
    "client-secret",
    "X-Vault-Token",
    "aws.credentials",
    "private-key",
]
texts = st.lists(st.sampled_from(PIECES), max_size=12).map("".join) | st.text(max_size=200)


@pytest.mark.parametrize(("text", "secret"), SECRETS.values(), ids=SECRETS)
def test_a_secret_is_taken_out(text: str, secret: str) -> None:
    redacted = redact_text(text)

    assert secret in text
    assert secret not in redacted
    assert REDACTED in redacted


@pytest.mark.parametrize("text", PROSE)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact_text(text) == text


def test_a_name_and_what_stands_around_a_secret_stay() -> None:
    text = "PUT https://me:pw@host:9000/bucket/key?x=1&X-Amz-Signature=ab12&y=2 failed: password=p"

    assert redact_text(text) == (
        "PUT https://[redacted]@host:9000/bucket/key?x=1&X-Amz-Signature=[redacted]&y=2 failed: "
        "password=[redacted]"
    )


@pytest.mark.parametrize(("text", "secret"), SECRETS.values(), ids=SECRETS)
def test_a_secret_is_found_in_the_midst_of_a_text(text: str, secret: str) -> None:
    redacted = redact_text(f"first line\nthe call said ({text}\n) and went on")

    assert secret not in redacted
    assert redacted.startswith("first line\nthe call said (")


# The ends of errors that the engine has cut.
CUT = [
    "PUT https://me:h1dd",
    "s3://AKIAIOSFODNN7EXAMPLE:h1dd",
    "Authorization: Bearer h1dd",
    "sent with bearer h1dd",
    "Set-Cookie: sid=h1dd",
    "{'password': 'h1dd",
    r'body "{\"token\": \"h1dd',
    "aws_secret_access_key=h1dd",
    "https://b/k?X-Amz-Signature=h1dd",
    "signed with whsec_h1dd",
    "-----BEGIN PRIVATE KEY-----\nh1dd",
]


@pytest.mark.parametrize("text", CUT)
def test_a_secret_is_found_also_where_the_text_was_cut_off(text: str) -> None:
    assert "h1dd" not in redact_text(text)


@given(texts)
def test_what_was_redacted_stays_as_it_is(text: str) -> None:
    once = redact_text(text)

    assert redact_text(once) == once


@given(texts)
def test_the_answer_is_at_most_four_times_as_long(text: str) -> None:
    assert len(redact_text(text)) <= 4 * len(text)


@given(
    st.text("abcdefghijklmnopqrstuvwxyz ,\n", max_size=40),
    st.sampled_from(sorted(SECRETS)),
    st.text("abcdefghijklmnopqrstuvwxyz ,\n", max_size=40),
)
def test_no_text_around_it_hides_a_secret(before: str, name: str, after: str) -> None:
    text, secret = SECRETS[name]

    assert secret not in redact_text(f"{before}\n{text}\n{after}")


# A pattern that looks twice takes hours for these; the limit is no measurement.
@pytest.mark.timeout(30)
@pytest.mark.slow
@pytest.mark.parametrize("piece", HOSTILE)
def test_a_megabyte_of_hostile_text_is_passed_once(piece: str) -> None:
    text = (piece * (TEXT_CHARS // len(piece) + 1))[:TEXT_CHARS]

    assert len(redact_text(text)) <= 4 * TEXT_CHARS


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_the_value_of_a_header_with_such_a_name_is_taken_out(name: str) -> None:
    assert redact_headers({name: "h1dden", "a": "b"}) == {name: REDACTED, "a": "b"}


def test_headers_keep_their_names_and_order_and_lose_secrets_in_their_values() -> None:
    headers = {"b": "https://u:h1dden@host/", "a": f"key {AWS_KEY_ID}", "tenant": "acme"}

    redacted = redact_headers(headers)

    assert list(redacted.items()) == [
        ("b", "https://[redacted]@host/"),
        ("a", "key [redacted]"),
        ("tenant", "acme"),
    ]
    assert headers["b"] == "https://u:h1dden@host/"


@pytest.mark.parametrize("name", ["tenant", "traceparent", "max-tokens", "token-count", "kind"])
def test_the_value_of_a_plain_header_stays(name: str) -> None:
    assert redact_headers({name: "4096"}) == {name: "4096"}


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://hooks.example/services/T0/B0/h1dden", "https://hooks.example/[redacted]"),
        ("https://hooks.example:8443?key=h1dden", "https://hooks.example:8443/[redacted]"),
        ("https://me:h1dden@hooks.example/x", "https://[redacted]@hooks.example/[redacted]"),
        ("https://hooks.example/", "https://hooks.example/"),
        ("https://hooks.example", "https://hooks.example"),
    ],
)
def test_of_the_address_of_a_webhook_the_host_stays(url: str, shown: str) -> None:
    redacted = redact_headers({"webhook.url": url})

    assert redacted == {"webhook.url": shown}
    assert redact_headers(redacted) == redacted
