"""What the commands refuse, within this process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from softpatch.cli import main, terminal

Refuse = Callable[..., tuple[int, str]]


@pytest.fixture
def refuse(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Refuse:
    """Run a command that fails; its exit code and its one line."""

    def call(*arguments: object) -> tuple[int, str]:
        terminal.stdout.cache_clear()
        terminal.stderr.cache_clear()
        monkeypatch.setattr(sys, "argv", ["softpatch", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        [line] = capsys.readouterr().err.splitlines()
        assert isinstance(end.value.code, int)
        return end.value.code, line

    return call


def test_wrong_arguments(refuse: Refuse, lines: Path, tmp_path: Path) -> None:
    def benchmark(*arguments: object) -> tuple[int, str]:
        return refuse("benchmark", *arguments, "-o", tmp_path / "out")

    grid = tmp_path / "grid.yaml"
    grid.write_text("methods: [padim]\n")
    for arguments, message in (
        ((), "error: no data: name the data set's folder"),
        (("--data", lines, "--methods", "padim,pedim"), "no method is called 'pedim'"),
        (("--data", lines, "--set", "tau"), "--set takes NAME=VALUE"),
        (("--data", lines, "--set", "tau=[0.1"), "is no value"),
        (("--data", lines, "--methods", "padim", "--set", "tau=0.1"), "no option 'tau'"),
        (("--data", lines, "--noise", "much"), "--noise must lie in"),
        (("--data", lines, "--kinds", "rust"), "kinds: 'rust' is none of"),
        (("--data", lines, "--categories", "gear"), "has no category 'gear'"),
        (("--data", lines, "--recipe", "tablets"), "no recipe is called 'tablets'"),
        (("--data", lines, "--recipe", "ablation", grid), "a grid file or --recipe, not both"),
        (("--data", lines, "--recipe", "scaling"), "no recipe is called 'scaling'"),
        (("--data", lines, "--cache-limit", "much"), "must be a size"),
    ):
        code, line = benchmark(*arguments)
        assert code == 2, line
        assert message in line


def test_what_is_not_there(refuse: Refuse, tmp_path: Path) -> None:
    code, line = refuse("benchmark", "--data", tmp_path / "nowhere", "-o", tmp_path / "out")
    assert (code, "no such folder" in line) == (1, True)
    code, line = refuse("benchmark", tmp_path / "no.yaml", "-o", tmp_path / "out")
    assert (code, "no.yaml" in line) == (1, True)
    code, line = refuse("report", tmp_path)
    assert (code, "no setting.json in it" in line) == (1, True)
    (tmp_path / "setting.json").write_text("{}")
    (tmp_path / "results.csv").write_text("noise\nmuch\n")
    code, line = refuse("report", tmp_path)
    assert (code, "not the results of a benchmark" in line) == (1, True)
