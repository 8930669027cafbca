"""What is refused: at submission, when a job is made, and when it is sent."""

from typing import Any

import pytest

from taquba import EnqueueOptions, NewJob, Queue, RunSpec
from taquba.exceptions import InvalidArgumentError, TaqubaError
from taquba.webhooks import WebhookTerminalHook, WebhookWorker, webhook_job
from taquba.worker import PermanentFailure
from tests.webhooks.conftest import Attempt

LONG = "https://example.com/" + "a" * 2_048

HOSTILE = [
    "",
    "example.com",
    "/hook",
    "//example.com/hook",
    "http://example.com/",
    "ftp://example.com/",
    "file:///etc/passwd",
    "gopher://example.com/",
    "javascript:alert(1)",
    "https://",
    "https://example.com:22/",
    "https://example.com:6379/",
    "https://example.com:0/",
    "https://user@example.com/",
    "https://user:pass@example.com/",
    "https://example.com@127.0.0.1/",
    "https://example.com/#fragment",
    "https://example.com/ x",
    "https://example.com/\r\nHost: x",
    "https://example.com/\0",
    "https://example.com\\@127.0.0.1/",
    "https://127.0.0.1/",
    "https://127.0.0.1./",
    "https://127.1/",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0177.0.0.1/",
    "https://0/",
    "https://①②⑦.⓪.⓪.①/",
    "https://127。0。0。1/",
    "https://%31%32%37.0.0.1/",
    "https://10.0.0.1/",
    "https://172.16.0.1/",
    "https://192.168.1.1/",
    "https://100.64.0.1/",
    "https://169.254.169.254/latest/meta-data/",
    "https://2852039166/",
    "https://0xA9FEA9FE/",
    "https://168.63.129.16/",
    "https://100.100.100.200/",
    "https://192.0.0.192/",
    "https://224.0.0.1/",
    "https://255.255.255.255/",
    "https://[::]/",
    "https://[::1]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:a9fe:a9fe]/",
    "https://[::a9fe:a9fe]/",
    "https://[64:ff9b::a9fe:a9fe]/",
    "https://[2002:a9fe:a9fe::1]/",
    "https://[2001:0:4136:e378:8000:63bf:5601:5601]/",
    "https://[fe80::1]/",
    "https://[fe80::1%25lo]/",
    "https://[fec0::1]/",
    "https://[fd00:ec2::254]/",
    "https://[ff02::1]/",
    "https://a..b/",
    "https://{a}.example/",
    "https://a`b.example/",
    'https://a"b.example/',
    "https://a,b.example/",
    "https://a*b.example/",
    LONG,
]


def by_hand(url: str, **headers: str) -> NewJob:
    """A job that nobody has checked."""
    return NewJob(b"", EnqueueOptions(headers={"webhook.url": url, **headers}))


@pytest.mark.parametrize("url", HOSTILE, ids=range(len(HOSTILE)))
async def test_a_hostile_url_is_refused_everywhere(
    queue: Queue, attempt: Attempt, url: str
) -> None:
    hook = WebhookTerminalHook(queue, "webhooks")

    with pytest.raises(InvalidArgumentError) as info:
        hook.check_submission(RunSpec(b"", headers={"callback_url": url}))
    with pytest.raises(InvalidArgumentError):
        webhook_job(url, b"")
    with pytest.raises(PermanentFailure):
        await attempt(WebhookWorker(), by_hand(url))

    assert str(info.value).startswith("`callback_url` is refused: ")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST"])
async def test_a_name_that_leads_inside_is_refused_when_it_is_sent_to(
    attempt: Attempt, host: str
) -> None:
    job = webhook_job(f"https://{host}/hook?token=secret", b"")

    with pytest.raises(PermanentFailure, match="loopback") as info:
        await attempt(WebhookWorker(), job)

    assert "secret" not in str(info.value)


async def test_a_good_url_is_taken_at_submission(queue: Queue) -> None:
    hook = WebhookTerminalHook(queue, "webhooks", url_header="report_to")

    for headers in ({}, {"report_to": "https://example.com/hook"}, {"callback_url": "nonsense"}):
        hook.check_submission(RunSpec(b"", headers=headers))


async def test_hosts_that_are_not_listed_are_refused(queue: Queue, attempt: Attempt) -> None:
    allowed = ["hooks.example.com", "*.partner.example"]
    hook = WebhookTerminalHook(queue, "webhooks", allowed_hosts=allowed)

    for host in ("hooks.example.com", "HOOKS.example.com.", "a.partner.example"):
        hook.check_submission(RunSpec(b"", headers={"callback_url": f"https://{host}/"}))
    for host in ("example.com", "partner.example", "hooks.example.com.evil.example"):
        with pytest.raises(InvalidArgumentError, match="allowed_hosts"):
            hook.check_submission(RunSpec(b"", headers={"callback_url": f"https://{host}/"}))
        with pytest.raises(PermanentFailure, match="allowed_hosts"):
            await attempt(WebhookWorker(allowed_hosts=allowed), by_hand(f"https://{host}/"))


REFUSED_HEADERS = [
    "Host",
    "host",
    "Content-Length",
    "Transfer-Encoding",
    "Connection",
    "Keep-Alive",
    "TE",
    "Trailer",
    "Upgrade",
    "Expect",
    "Proxy-Authorization",
    "Proxy-Connection",
    "Authorization",
    "Cookie",
    "Cookie2",
    "Content-Type",
    "Forwarded",
    "X-Forwarded-For",
    "X-Real-IP",
    "Via",
    "Metadata",
    "Metadata-Flavor",
    "X-aws-ec2-metadata-token",
    "X-aws-ec2-metadata-token-ttl-seconds",
    "X-Google-Metadata-Request",
    "X-aliyun-ecs-metadata-token",
    "X-Vault-Request",
    "webhook-id",
    "Webhook-Signature",
    "WEBHOOK-TIMESTAMP",
    "Workflow-Run-Id",
    "workflow-x",
    "X-HTTP-Method-Override",
    "Sec-Fetch-Site",
]


@pytest.mark.parametrize("name", REFUSED_HEADERS)
async def test_headers_that_are_not_the_submitters_are_refused(attempt: Attempt, name: str) -> None:
    with pytest.raises(InvalidArgumentError, match="not yours"):
        webhook_job("https://example.com/", b"", headers={name: "x"})
    with pytest.raises(PermanentFailure, match="not yours"):
        job = by_hand("https://example.com/", **{f"webhook.header.{name}": "x"})
        await attempt(WebhookWorker(), job)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-A", "a\r\nHost: b"),
        ("X-A", "a\nb"),
        ("X-A", "a\rb"),
        ("X-A", "a\0"),
        ("X-A", "ä"),
        ("X-A", ""),
        ("X-A", " a"),
        ("X-A", "a\n"),
        ("X-A", "\x7f"),
        ("X A", "a"),
        ("X:A", "a"),
        ("X-A\r\n", "a"),
        ("X-A\n", "a"),
        ("Ä", "a"),
        ("", "a"),
        ("X" * 129, "a"),
    ],
)
async def test_headers_that_would_break_a_request_are_refused(
    attempt: Attempt, name: str, value: str
) -> None:
    with pytest.raises(InvalidArgumentError):
        webhook_job("https://example.com/", b"", headers={name: value})
    with pytest.raises(PermanentFailure):
        job = by_hand("https://example.com/", **{f"webhook.header.{name}": value})
        await attempt(WebhookWorker(), job)


BROKEN_JOBS = [
    NewJob(b""),
    by_hand("https://example.com/", **{"webhook.timeout": "soon"}),
    by_hand("https://example.com/", **{"webhook.timeout": "-1"}),
    by_hand("https://example.com/", **{"webhook.timeout": "nan"}),
    by_hand("https://example.com/", **{"webhook.timeout": "0"}),
    by_hand("https://example.com/", **{"webhook.timeout": "1e9"}),
    by_hand("https://example.com/", **{"webhook.content_type": "a\r\nb"}),
    by_hand("https://example.com/", **{"webhook.run_id": "a\r\nb"}),
    by_hand("https://example.com/", **{"webhook.run_status": "ä"}),
    by_hand("https://example.com/", **{"webhook.key_id": "no key"}),
    by_hand("https://example.com/", **{"webhook.header.A": "1", "webhook.header.a": "2"}),
]


@pytest.mark.parametrize("job", BROKEN_JOBS, ids=range(len(BROKEN_JOBS)))
async def test_a_job_that_is_no_delivery_is_dead_lettered(attempt: Attempt, job: NewJob) -> None:
    with pytest.raises(PermanentFailure):
        await attempt(WebhookWorker(), job)


BAD_SETTINGS: list[dict[str, Any]] = [
    {"allow_http": 1},
    {"ports": []},
    {"ports": [0]},
    {"ports": [65_536]},
    {"ports": ["443"]},
    {"ports": 443},
    {"allow_networks": "10.0.0.0/8"},
    {"allow_networks": ["10.0.0.1/8"]},
    {"allow_networks": ["intranet"]},
    {"allow_networks": [7]},
    {"allow_networks": ["\udcff"]},
    {"allowed_hosts": "example.com"},
    {"allowed_hosts": ["https://example.com"]},
    {"allowed_hosts": [""]},
    {"timeout": 0},
    {"timeout": 301},
    {"timeout": "20"},
]


@pytest.mark.parametrize("settings", BAD_SETTINGS, ids=repr)
def test_settings_outside_their_bounds_are_refused(
    queue_object: Queue, settings: dict[str, Any]
) -> None:
    [name] = settings

    for make in (
        lambda: WebhookWorker(**settings),
        lambda: WebhookTerminalHook(queue_object, "webhooks", **settings),
        lambda: webhook_job("https://example.com/", b"", **settings),
    ):
        with pytest.raises(InvalidArgumentError) as info:
            make()
        assert f"`{name}`" in str(info.value)


@pytest.mark.parametrize(
    "settings",
    [
        {"host_concurrency": 0},
        {"host_concurrency": 1_001},
        {"circuit": 5},
        {"secrets": ["whsec_x"]},
        {"secrets": {7: "x"}},
        {"default_key_id": "key-1"},
    ],
    ids=repr,
)
def test_settings_of_a_worker_outside_their_bounds_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError):
        WebhookWorker(**settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"target_queue": "not a name"},
        {"url_header": 7},
        {"max_attempts": 0},
        {"content_type": "a\r\nb"},
        {"key_id": "no key"},
        {"statuses": ["failed"]},
        {"statuses": 7},
        {"queue": None},
    ],
    ids=repr,
)
def test_settings_of_a_hook_outside_their_bounds_are_refused(
    queue_object: Queue, settings: dict[str, Any]
) -> None:
    arguments = {"queue": queue_object, "target_queue": "webhooks", **settings}

    with pytest.raises(TaqubaError):
        WebhookTerminalHook(**arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        {"url": 7},
        {"url": "https://example.com/\udcff"},
        {"body": "text"},
        {"headers": ["a"]},
        {"headers": {"X-A": 7}},
        {"headers": {7: "a"}},
        {"headers": {"X-A": "1", "x-a": "2"}},
        {"headers": {f"X-{n}": "a" for n in range(70)}},
        {"content_type": ""},
        {"options": None},
        {"options": EnqueueOptions(headers={"webhook.url": "https://example.com/"})},
    ],
    ids=range(11),
)
def test_what_makes_no_job_is_refused(arguments: dict[str, Any]) -> None:
    good: dict[str, Any] = {"url": "https://example.com/", "body": b""}

    with pytest.raises(TaqubaError):
        webhook_job(**{**good, **arguments})


def test_a_job_keeps_the_options_and_headers_that_it_was_given() -> None:
    options = EnqueueOptions(priority=7, delay=5, headers={"tenant": "a"}, max_attempts=3)

    job = webhook_job(
        "https://example.com/hook", b"{}", headers={"X-A": "1"}, timeout=5, options=options
    )

    assert (job.payload, job.options.priority, job.options.max_attempts) == (b"{}", 7, 3)
    assert job.options.delay == options.delay
    assert dict(job.options.headers) == {
        "tenant": "a",
        "webhook.id": job.options.headers["webhook.id"],
        "webhook.url": "https://example.com/hook",
        "webhook.timeout": "5.0",
        "webhook.content_type": "application/octet-stream",
        "webhook.header.X-A": "1",
    }


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({}, 20),
        ({"options": EnqueueOptions()}, 20),
        ({"options": EnqueueOptions(priority=3)}, 20),
        ({"options": EnqueueOptions(max_attempts=1)}, 1),
    ],
)
def test_a_job_that_does_not_say_has_twenty_attempts(options: dict[str, Any], wanted: int) -> None:
    assert webhook_job("https://example.com/", b"", **options).options.max_attempts == wanted


async def test_an_id_that_would_break_the_signature_is_refused(attempt: Attempt) -> None:
    for webhook_id in ("a.b", "", "a b", "ä", "x" * 257):
        with pytest.raises(PermanentFailure, match="webhook_id"):
            job = by_hand("https://example.com/", **{"webhook.id": webhook_id})
            await attempt(WebhookWorker(), job)
