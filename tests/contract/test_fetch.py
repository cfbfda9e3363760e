"""skyfan fetch from a real HTTP server: what arrives, what is requested, and what goes wrong by name."""

import hashlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import CliRunner
from standins.bucket import Bucket, Request, serving

from skyfan.api import fetch
from skyfan.cli import main
from skyfan.errors import UsageError
from skyfan.fetch import manifest, source
from skyfan.fetch.recipe import PIECE
from skyfan.plans import plan as plans

NAMES = ("a_drz.fits", "b_flt.fits", "c.fits.gz")


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """A bucket with three files, one of which takes two requests; retries come at once."""
    (tmp_path / "empty").mkdir()
    bucket = Bucket(tmp_path / "empty")
    for number, name in enumerate(NAMES):
        bucket.put(f"hst/{number}/{name}", bytes([number + 1]) * (PIECE + 5 if number == 1 else 3000), {})
    monkeypatch.setattr(source, "_FIRST_S", 0.001)
    monkeypatch.setattr(source, "_LONGEST_S", 0.001)
    with serving(bucket) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        yield bucket


def gets(bucket: Bucket) -> list[Request]:
    """Requests for content since the last call."""
    found = [request for request in bucket.requests if request.method == "GET"]
    bucket.requests.clear()
    return found


def body(bucket: Bucket, name: str) -> bytes:
    return next(stored.body for key, stored in bucket.stored.items() if key.endswith(f"/{name}"))


def left_behind(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_files_arrive_verified_and_a_second_call_transfers_nothing(bucket: Bucket, tmp_path: Path) -> None:
    to = tmp_path / "to"
    first = fetch("s3://b/", to)
    assert first.counts == {"fetched": 3}
    assert sum(request.sent for request in gets(bucket)) == first.received == PIECE + 5 + 6000
    for name in NAMES:
        assert (to / name).read_bytes() == body(bucket, name)
    assert left_behind(to) == sorted([*NAMES, manifest.NAME, manifest.SUMS["md5"]])
    rows = manifest.parse((to / manifest.NAME).read_text())
    assert {row.verified for row in rows.values()} == {"md5"}
    assert rows["a_drz.fits"].source == "s3://b/hst/0/a_drz.fits"
    subprocess.run(["md5sum", "--check", "--strict", "--quiet", manifest.SUMS["md5"]], cwd=to, check=True)
    assert fetch("s3://b/", to).counts == {"unchanged": 3}
    assert not gets(bucket)


def planned(folder: Path, bucket: Bucket, **sizes: int) -> str:
    """A plan of all files; `sizes` by the number in their keys instead of the real ones."""
    rows = [
        {"uri": f"s3://b/{key}", "size": sizes.get(f"n{key.split('/')[1]}", len(stored.body))}
        for key, stored in bucket.stored.items()
    ]
    path = folder / "plan.parquet"
    plans.write(path, pa.Table.from_pylist(rows, schema=plans.SCHEMA), {})
    return str(path)


def test_a_file_of_a_plan_takes_one_request_and_is_pinned_to_the_first_answer(
    bucket: Bucket, tmp_path: Path
) -> None:
    to, plan = tmp_path / "to", planned(tmp_path, bucket)
    assert fetch(plan, to, connections=3).counts == {"fetched": 3}
    assert [request.method for request in bucket.requests] == ["GET"] * 3
    rows = manifest.parse((to / manifest.NAME).read_text())
    for name in NAMES:
        etag = hashlib.md5(body(bucket, name)).hexdigest()
        assert (rows[name].algorithm, rows[name].checksum, rows[name].etag) == ("md5", etag, f'"{etag}"')
    broken: list[Request] = []

    def ends_once(request: Request, headers: dict[str, str], content: bytes) -> bytes:
        if not broken:
            broken.append(request)
            bucket.put(request.key, b"another version" * 200, {})
            return content[:2000]
        return content

    bucket.spoil = ends_once
    second = fetch(f"{plan}", tmp_path / "again", connections=3)
    assert second.counts == {"fetched": 3}
    assert (tmp_path / "again" / broken[0].key.rpartition("/")[2]).read_bytes() == b"another version" * 200
    assert sum("changes while it is read" in "".join(file.notes) for file in second.files) == 1


def test_a_file_that_is_larger_than_the_plan_says_counts_against_the_limit(
    bucket: Bucket, tmp_path: Path
) -> None:
    plan = planned(tmp_path, bucket, n1=PIECE - 5)
    within = fetch(plan, tmp_path / "to", limit_egress=PIECE + 6005)
    assert within.counts == {"fetched": 3}
    assert sum("in the plan, 8,388,603 bytes" in "".join(file.notes) for file in within.files) == 1
    beyond = fetch(plan, tmp_path / "other", limit_egress=PIECE + 6000)
    assert beyond.counts == {"fetched": 2, "failed": 1}
    assert "--limit-egress" in "".join(file.reason for file in beyond.files)


def test_only_what_is_new_or_changed_at_the_source_is_transferred(bucket: Bucket, tmp_path: Path) -> None:
    to = tmp_path / "to"
    fetch("s3://b/hst/0/", to)
    bucket.put("hst/0/a_drz.fits", b"another version", {})
    gets(bucket)
    result = fetch("s3://b/", to)
    assert result.counts == {"fetched": 2, "updated": 1}
    assert (to / "a_drz.fits").read_bytes() == b"another version"
    assert {request.key for request in gets(bucket)} == set(bucket.stored)


def test_a_file_that_was_changed_here_is_not_replaced_without_a_word(bucket: Bucket, tmp_path: Path) -> None:
    to = tmp_path / "to"
    fetch("s3://b/", to)
    (to / "a_drz.fits").write_bytes(b"mine")
    result = fetch("s3://b/", to)
    (failed,) = (file for file in result.files if file.state == "failed")
    assert failed.name == "a_drz.fits"
    assert "--overwrite" in failed.reason
    assert (to / "a_drz.fits").read_bytes() == b"mine"
    assert fetch("s3://b/", to, overwrite=True).counts == {"repaired": 1, "unchanged": 2}


def test_verify_finds_a_damaged_byte_and_repairs_it(bucket: Bucket, tmp_path: Path) -> None:
    to = tmp_path / "to"
    fetch("s3://b/", to)
    path = to / "a_drz.fits"
    before = path.stat()
    path.write_bytes(b"x" + path.read_bytes()[1:])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert fetch("s3://b/", to).counts == {"unchanged": 3}
    assert fetch("s3://b/", to, verify=True).counts == {"repaired": 1, "unchanged": 2}
    assert path.read_bytes() == body(bucket, "a_drz.fits")


def test_an_equal_file_from_elsewhere_is_taken_over_and_another_is_not(
    bucket: Bucket, tmp_path: Path
) -> None:
    to = tmp_path / "to"
    to.mkdir()
    (to / "a_drz.fits").write_bytes(body(bucket, "a_drz.fits"))
    (to / "c.fits.gz").write_bytes(b"x" * 3000)
    result = fetch("s3://b/", to)
    assert result.counts == {"fetched": 1, "unchanged": 1, "failed": 1}
    assert (to / "c.fits.gz").read_bytes() == b"x" * 3000


@pytest.mark.parametrize(
    "other", ["hst/9/A_DRZ.fits", "hst/9/a_drz.fits", "x/manifest.jsonl"], ids=["case", "same", "manifest"]
)
def test_clashing_names_are_refused_before_anything_starts(
    bucket: Bucket, tmp_path: Path, other: str
) -> None:
    bucket.put(other, b"other", {})
    uris = ["s3://b/hst/0/a_drz.fits", f"s3://b/{other}"]
    with pytest.raises(UsageError, match="would both be"):
        fetch(uris, tmp_path / "to")
    assert not gets(bucket)
    assert left_behind(tmp_path / "to") == []
    assert fetch(uris, tmp_path / "to", keep_paths=True).counts == {"fetched": 2}
    assert (tmp_path / "to/b" / other).read_bytes() == b"other"


def test_a_transfer_beyond_the_limit_does_not_start(bucket: Bucket, tmp_path: Path) -> None:
    words = ["fetch", "s3://b/", "--to", str(tmp_path / "to"), "--limit-egress", "8MB"]
    answer = CliRunner().invoke(main, words)
    assert answer.exit_code == 2
    assert f"{PIECE + 5 + 6000:,} bytes" in answer.output
    assert "USD" in answer.output
    assert not gets(bucket)


def test_a_full_disk_is_known_before(bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1234}))
    with pytest.raises(UsageError, match=r"1,234 bytes.*8,394,613 bytes"):
        fetch("s3://b/", tmp_path / "to")
    assert not gets(bucket)


def test_a_file_that_changes_between_two_ranges_is_begun_again(bucket: Bucket, tmp_path: Path) -> None:
    old = bucket.stored["hst/1/b_flt.fits"]
    new = b"n" * (PIECE + 9)

    def change(request: Request, headers: dict[str, str], content: bytes) -> bytes:
        if request.method == "GET" and bucket.stored["hst/1/b_flt.fits"] is old:
            bucket.put("hst/1/b_flt.fits", new, {})
        return content

    bucket.spoil = change
    result = fetch("s3://b/hst/1/b_flt.fits", tmp_path / "to", connections=2)
    (file,) = result.files
    assert file.state == "fetched"
    assert (tmp_path / "to/b_flt.fits").read_bytes() == new
    assert all(hashlib.md5(one).hexdigest() in file.notes[0] for one in (old.body, new))


def test_a_file_that_always_changes_is_refused_with_its_versions(bucket: Bucket, tmp_path: Path) -> None:
    def change(request: Request, headers: dict[str, str], content: bytes) -> bytes:
        if request.method == "GET":
            bucket.put("hst/1/b_flt.fits", bytes([100 + len(bucket.requests)]) * (PIECE + 5), {})
        return content

    bucket.spoil = change
    result = fetch("s3://b/hst/1/b_flt.fits", tmp_path / "to", connections=2)
    assert result.counts == {"failed": 1}
    assert result.files[0].reason.count("bytes") == 3
    assert left_behind(tmp_path / "to") == []


def ends_early(request: Request, headers: dict[str, str], content: bytes) -> bytes:
    return content[:-1] if request.method == "GET" else content


def is_shorter(request: Request, headers: dict[str, str], content: bytes) -> bytes:
    if request.method == "GET":
        headers["Content-Length"] = str(len(content) - 1)
        return content[:-1]
    return content


def is_damaged(request: Request, headers: dict[str, str], content: bytes) -> bytes:
    return b"X" + content[1:] if request.method == "GET" and content else content


def fails(request: Request, headers: dict[str, str], content: bytes) -> bytes:
    if request.method == "GET":
        request.status, headers["Content-Length"] = 500, "0"
        return b""
    return content


def is_denied(request: Request, headers: dict[str, str], content: bytes) -> bytes:
    request.status, headers["Content-Length"] = 403, "0"
    return b""


@pytest.mark.parametrize("spoil", [ends_early, is_shorter, is_damaged, fails, is_denied])
def test_a_fault_that_does_not_pass_is_named_and_leaves_no_file(
    bucket: Bucket, tmp_path: Path, spoil: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    from skyfan.storage import s3

    monkeypatch.setitem(s3.RETRIES, "max_retries", 0)
    monkeypatch.setattr(source, "_ATTEMPTS", 2)
    bucket.spoil = spoil  # type: ignore[assignment]
    result = fetch("s3://b/hst/0/a_drz.fits", tmp_path / "to")
    (file,) = result.files
    assert (file.state, not file.reason) == ("failed", False)
    assert not (tmp_path / "to/a_drz.fits").exists()
    bucket.spoil = None
    assert fetch("s3://b/hst/0/a_drz.fits", tmp_path / "to").counts == {"fetched": 1}
    assert (tmp_path / "to/a_drz.fits").read_bytes() == body(bucket, "a_drz.fits")


@pytest.mark.parametrize("spoil", [ends_early, fails])
def test_a_fault_that_passes_costs_only_what_it_lost(bucket: Bucket, tmp_path: Path, spoil: object) -> None:
    seen = []

    def once(request: Request, headers: dict[str, str], content: bytes) -> bytes:
        if request.method == "GET" and not seen:
            seen.append(request)
            return spoil(request, headers, content)  # type: ignore[operator]
        return content

    bucket.spoil = once
    assert fetch("s3://b/hst/1/b_flt.fits", tmp_path / "to").counts == {"fetched": 1}
    assert sum(request.sent for request in gets(bucket)) < PIECE + 5 + 2 * source.CHUNK


@pytest.mark.parametrize("charset", ["ascii", "latin-1", "utf-8"])
def test_the_command_says_the_same_in_any_window_and_encoding(
    bucket: Bucket, tmp_path: Path, charset: str
) -> None:
    words = ["fetch", "s3://b/hst/0/a_drz.fits", "s3://b/hst/9/ä α.fits", "--to", str(tmp_path / "ü to")]
    CliRunner().invoke(main, words)
    said = [CliRunner(charset=charset, env={"COLUMNS": width}).invoke(main, words) for width in ("80", "200")]
    for answer in said:
        assert isinstance(answer.exception, SystemExit), answer.exception
        assert answer.exit_code == 1
        assert "does not exist" in answer.output
    assert said[0].stdout.split() == said[1].stdout.split()
    document = CliRunner(charset=charset).invoke(main, [*words, "--json"])
    assert json.loads(document.stdout)["counts"] == {"unchanged": 1, "failed": 1}


def test_a_connection_that_stops_is_closed_and_what_came_is_kept(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "STALL_S", 2.0)  # first bytes of a busy machine may take one
    key, name = "hst/1/b_flt.fits", "b_flt.fits"
    stopped: list[Request] = []

    def stops(request: Request, headers: dict[str, str], content: bytes) -> bytes:
        if request.method == "GET" and not stopped:
            stopped.append(request)
            request.rate = 0
        return content

    bucket.spoil = stops
    result = fetch(f"s3://b/{key}", tmp_path / "to")
    assert (result.counts, result.retries) == ({"fetched": 1}, 1)
    assert (tmp_path / "to" / name).read_bytes() == body(bucket, name)
    (again,) = (request for request in gets(bucket)[1:] if request.start < PIECE)
    assert PIECE // 2 - source.CHUNK <= again.start <= PIECE // 2


def test_a_missing_object_is_named_and_the_others_arrive(bucket: Bucket, tmp_path: Path) -> None:
    listed = tmp_path / "list.txt"
    listed.write_text("s3://b/hst/0/a_drz.fits\ns3://b/hst/0/none.fits\n")
    answer = CliRunner().invoke(main, ["fetch", f"@{listed}", "--to", str(tmp_path / "to"), "--json"])
    assert answer.exit_code == 1
    document = json.loads(answer.stdout)
    assert document["counts"] == {"fetched": 1, "failed": 1}
    (failed,) = (file for file in document["files"] if file["state"] == "failed")
    assert (failed["source"], failed["reason"]) == (
        "s3://b/hst/0/none.fits",
        "s3://b/hst/0/none.fits does not exist",
    )
