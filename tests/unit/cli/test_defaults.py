"""Options from skyfan.toml and from the environment, and what the shell completes."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from skyfan.cli import defaults, main
from skyfan.cli.common import Group
from skyfan.errors import UsageError

Call = Callable[..., Result]


@click.group(cls=Group)
def toy() -> None:
    """A command whose options tell what they got."""


@toy.command()
@click.option("--output", "-o")
@click.option("--max-cost", type=float)
@click.option("--wait/--no-wait", default=True)
@click.option("--outputs", multiple=True)
@click.option("--template", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True)
@click.option("--stack", envvar="SKYFAN_STACK", default="skyfan")
def go(**given: object) -> None:
    click.echo(repr({key: given[key] for key in sorted(given)}))


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Runs a toy command in tmp_path/deep/er."""
    (tmp_path / "deep" / "er").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "deep" / "er")

    def go(*words: str) -> Result:
        return CliRunner().invoke(toy, words)

    return go


def test_the_nearest_file_gives_options(call: Call, tmp_path: Path) -> None:
    (tmp_path / "skyfan.toml").write_text("json = true")
    (tmp_path / "deep" / "skyfan.toml").write_text(
        'output = "out"\n[go]\nmax-cost = 2\nwait = false\n'
        'outputs = ["preview", "parquet"]\ntemplate = "t.yaml"\n'
    )
    told = call("go").stdout
    assert f"'output': '{tmp_path}/deep/out'" in told
    assert "'max_cost': 2.0" in told
    assert "'wait': False" in told
    assert "'outputs': ('preview', 'parquet')" in told
    assert f"PosixPath('{tmp_path}/deep/t.yaml')" in told
    assert "'as_json': False" in told, "the file above is not read"


def test_what_is_typed_comes_before_the_environment_and_that_before_the_file(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "skyfan.toml").write_text('[go]\nmax_cost = 1\nstack = "filed"\noutput = "s3://bucket"\n')
    assert "'max_cost': 1.0" in call("go").stdout
    assert "'output': 's3://bucket'" in call("go").stdout
    monkeypatch.setenv("SKYFAN_GO_MAX_COST", "2")
    assert "'max_cost': 2.0" in call("go").stdout
    assert "'max_cost': 3.0" in call("go", "--max-cost", "3").stdout
    assert "'stack': 'filed'" in call("go").stdout
    monkeypatch.setenv("SKYFAN_STACK", "every")
    assert "'stack': 'every'" in call("go").stdout
    monkeypatch.setenv("SKYFAN_GO_STACK", "own")
    assert "'stack': 'own'" in call("go").stdout


def test_a_functions_own_variables_are_no_options(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKYFAN_OUTPUT", "s3://bucket/runs/{run}/catalogs/{key}.cat.fits")
    monkeypatch.setenv("SKYFAN_JSON", "1")
    assert "'as_json': False" in call("go").stdout
    assert "'output': None" in call("go").stdout
    monkeypatch.setenv("SKYFAN_GO_JSON", "1")
    assert "'as_json': True" in call("go").stdout


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('ouput = "x"', "'ouput' is no command, nor an option of any: is output meant?"),
        ("[goo]\n", "'goo' is no command, nor an option of any: is go meant?"),
        ("[go]\nmax-costs = 1", "'max-costs' is no option of skyfan go: is max-cost meant?"),
        ("[go]\nzzz = 1", "'zzz' is no option of skyfan go\n"),
        ('[go]\noutputs = "one"', "outputs takes a list"),
        ("[go]\nmax-cost = [1]", "max-cost takes one value, not a list"),
        ("[go", "cannot be read"),
        ('[go]\nmax-cost = "much"', "'much' is not a valid float"),
    ],
)
def test_mistakes_are_told_in_one_line(call: Call, tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "skyfan.toml").write_text(text)
    done = call("go")
    assert done.exit_code == 2
    assert told in done.stderr
    assert not done.stdout


def test_every_option_of_every_command_can_be_named(tmp_path: Path) -> None:
    for name, command in main.commands.items():
        for option in command.params:
            if isinstance(option, click.Option):
                key = defaults.long_name(option)
                value = '["x"]' if option.multiple else '"x"'
                (tmp_path / "skyfan.toml").write_text(f"[{name}]\n{key} = {value}\n")
                assert option.name in defaults.read(main, tmp_path)[name]
    (tmp_path / "skyfan.toml").write_text("[run]\nhelp = true\n")
    with pytest.raises(UsageError):
        defaults.read(main, tmp_path)


def complete(words: str, count: int, folder: Path) -> list[str]:
    """What bash is offered; every socket of this process is an error."""
    code = (
        "import socket\n"
        "def refuse(*_, **__): raise OSError('no network')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        "from skyfan.cli import main; main(prog_name='skyfan')"
    )
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "_SKYFAN_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(count),
    }
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


def test_runs_of_a_folder_are_completed(tmp_path: Path) -> None:
    for name in ("first-light", "first-dark", "second", "not a run"):
        (tmp_path / "out" / "runs" / name).mkdir(parents=True)
    assert complete("skyfan status -o out fir", 4, tmp_path) == ["first-dark", "first-light"]
    assert complete("skyfan retry ", 2, tmp_path) == []
    (tmp_path / "skyfan.toml").write_text('output = "out"\n')
    assert complete("skyfan retry ", 2, tmp_path) == ["first-dark", "first-light", "second"]
    assert complete("skyfan status -o s3://bucket f", 4, tmp_path) == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_for_each_shell(shell: str) -> None:
    done = CliRunner().invoke(main, ["completion", shell])
    assert done.exit_code == 0
    assert f"_SKYFAN_COMPLETE={shell}_complete" in done.stdout
