"""Commands after lease, journal and the other files of a run in a bucket were damaged: mended, or named."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from standins.cloud import RESULTS
from standins.deliveries import Cloud, fates, files, get_json, listed

from skyfan.aws import cancel, journal
from skyfan.cli import main
from skyfan.storage.place import Place

pytestmark = pytest.mark.slow
FILES, FIRST = 8, 3
DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "half": lambda body: body[: len(body) // 2],
    "random": lambda body: bytes(range(255, -1, -1)) * (len(body) // 256 + 1),
}
OF_THE_BUCKET = {
    "lease": "lease.json",
    "cancels": "cancel.json",
    "run": "run.json",
}
ON_THIS_MACHINE = (("lease", "half"), ("open.jsonl", "random"), ("attempts", "half"))


def skyfan(command: str, *words: str) -> tuple[int, str]:
    """Exit code and all output; no traceback."""
    ended = CliRunner().invoke(main, [command, *words])
    assert ended.exception is None or isinstance(ended.exception, SystemExit), ended.exception
    return ended.exit_code, " ".join(ended.output.split())


def begun(name: str, tmp_path: Path) -> tuple[list[str], list[str]]:
    """The files and the words of a run of which the first ones were sent."""
    uris = files(name, FILES)
    words = ["run", listed(uris, tmp_path), "--engine", "aws", "--run", name]
    code, out = skyfan(*words, "--max-files", str(FIRST))
    assert code == 1, out
    return uris, words


def check(name: str, uris: list[str], cloud: Cloud) -> None:
    """All files have come to their end, and each was sent once."""
    code, out = skyfan("status", name, "--output", f"s3://{RESULTS}", "--json")
    counts = json.loads(out)["counts"]
    failed = len(fates(uris)["failed"])
    assert counts.pop("planned") == sum(counts.values()) == FILES
    assert (counts["done"], counts["failed"]) == (FILES - failed, failed), out
    assert code == int(failed > 0)
    accepted = get_json(f"{cloud.endpoint}/accepted")
    assert [uri for uri in uris if accepted.get(uri, 0) != 1] == []


@pytest.mark.parametrize("what", OF_THE_BUCKET)
def test_a_damaged_file_in_the_bucket_is_named_with_a_cure(
    cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr(cancel, "EVERY_S", 0.05)
    place, name = Place.at(f"s3://{RESULTS}"), f"damaged-{what}"
    uris, words = begun(name, tmp_path)
    if what == "cancels":
        assert skyfan("cancel", name, "--output", place.name)[0] == 0
    head = f"runs/{name}/{OF_THE_BUCKET[what]}"
    key = next(item.key for item in place.list(f"runs/{name}/") if item.key.startswith(head))
    whole = place.get(key)
    assert whole
    for damage in DAMAGES.values():
        place.put(key, damage(whole))
        for call in (
            words,
            ["cancel", name, "--output", place.name],
            ["retry", name, "--output", place.name],
        ):
            code, out = skyfan(*call)
            assert code == 2, (call[0], out)
            assert f"{place.name}/{key}" in out, (call[0], out)
            assert any(cure in out for cure in ("remove it", "writes it again", "restore")), (call[0], out)
    place.put(key, whole)
    skyfan("cancel", name, "--output", place.name, "--restore")
    skyfan(*words)
    check(name, uris, cloud)


@pytest.mark.parametrize(("file", "damage"), ON_THIS_MACHINE)
def test_a_damaged_journal_loses_no_file(
    cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, damage: str
) -> None:
    monkeypatch.setattr(cancel, "EVERY_S", 0.05)
    place, name = Place.at(f"s3://{RESULTS}"), f"journal-{file.partition('.')[0]}"
    uris, words = begun(name, tmp_path)
    path = journal.folder(place, name) / file
    whole = path.read_bytes() if path.exists() else b'["s3://stpubdata/x", "id", 1, "f", 1]\n' * 3
    path.write_bytes(DAMAGES[damage](whole))
    code, out = skyfan("cancel", name, "--output", place.name)
    assert code == 0, out
    path.write_bytes(DAMAGES[damage](whole))
    code, out = skyfan(*words)
    assert code in (0, 1), out
    check(name, uris, cloud)
