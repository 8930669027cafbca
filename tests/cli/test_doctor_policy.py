"""`taquba doctor --policy`: the smallest rights, in the words of each store."""

import json
from typing import Any

import pytest

from taquba.cli import main


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    """What it prints as JSON."""
    assert main(["doctor", "--policy", "--json", *arguments]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_an_owner_of_a_bucket_may_change_objects_below_its_path_only(
    capsys: pytest.CaptureFixture[str],
) -> None:
    owner = told(capsys, "s3://bucket/some/prefix", "--path", "queue")["owner"]

    objects, listing = owner["Statement"]
    assert owner["Version"] == "2012-10-17"
    assert objects["Resource"] == "arn:aws:s3:::bucket/some/prefix/queue/*"
    assert sorted(objects["Action"]) == [
        "s3:AbortMultipartUpload",
        "s3:DeleteObject",
        "s3:GetObject",
        "s3:PutObject",
    ]
    assert (listing["Action"], listing["Resource"]) == (["s3:ListBucket"], "arn:aws:s3:::bucket")


def test_a_reader_of_a_bucket_may_change_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    reader = told(capsys, "s3://bucket")["reader"]

    actions = [action for each in reader["Statement"] for action in each["Action"]]
    assert actions == ["s3:GetObject", "s3:ListBucket"]
    assert reader["Statement"][0]["Resource"] == "arn:aws:s3:::bucket/taquba/*"


def test_a_prefix_is_no_pattern(capsys: pytest.CaptureFixture[str]) -> None:
    owner = told(capsys, "s3://bucket/all*of$it", "--path", "what?")["owner"]

    assert owner["Statement"][0]["Resource"] == "arn:aws:s3:::bucket/all${*}of${$}it/what${?}/*"


def test_google_has_roles_and_permissions(capsys: pytest.CaptureFixture[str]) -> None:
    found = told(capsys, "gs://bucket/prefix")

    assert found["owner"]["role"] == "roles/storage.objectUser"
    assert "storage.objects.delete" in found["owner"]["permissions"]
    assert found["reader"]["role"] == "roles/storage.objectViewer"
    assert found["reader"]["permissions"] == ["storage.objects.get", "storage.objects.list"]


@pytest.mark.parametrize("url", ["az://box/prefix", "abfss://box@account.dfs.core.windows.net/x"])
def test_azure_has_roles_and_letters(capsys: pytest.CaptureFixture[str], url: str) -> None:
    found = told(capsys, url)

    assert found["owner"]["on"] == found["reader"]["on"] == "container box"
    assert found["owner"]["role"] == "Storage Blob Data Contributor"
    assert found["reader"]["sas_permissions"] == "rl"


def test_people_get_two_policies_and_notes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--policy", "s3://bucket"]) == 0

    text = capsys.readouterr().out
    owner, reader = text.split("# Reader:")
    assert json.loads(owner.split("\n", 1)[1]) == told(capsys, "s3://bucket")["owner"]
    notes = reader.index("# Note:")
    assert json.loads(reader[reader.index("\n") : notes]) == told(capsys, "s3://bucket")["reader"]


@pytest.mark.parametrize("url", ["state", "memory://", "file:///srv", "s3://", "nope://x"])
def test_what_is_no_bucket_has_no_policy(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--policy", url]) == 2

    shown = capsys.readouterr()
    assert shown.out == ""
    assert "[no-policy]" in shown.err


def test_a_password_in_an_address_is_in_no_policy(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--policy", "s3://me:hunter2@bucket/x"]) == 0

    shown = capsys.readouterr()
    assert "hunter2" not in shown.out + shown.err
    assert "arn:aws:s3:::bucket/x/taquba/*" in shown.out
