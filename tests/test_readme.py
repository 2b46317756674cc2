"""What the README and the user guide show is there and runs."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import typer
from skimage.io import imsave

from napari_uml.cli import app
from napari_uml.data.simulated import simulate_ultrasound

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
GUIDE = (ROOT / "docs" / "user-guide.md").read_text(encoding="utf-8")
COMMANDS = {
    *re.findall(r"^(?: {4}|\| `)napari-uml ([^`\n]+)", GUIDE, re.MULTILINE),
    *re.findall(r"(?<=\n)napari-uml (.+)", README[README.index("```sh") : README.index("## What")]),
}


def shown(language: str) -> str:
    """Return the README's first block in a language."""
    found = re.search(rf"```{language}\n(.*?)```", README, re.DOTALL)
    assert found
    return found[1]


@pytest.fixture
def scan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the README's `scan.png` into the current folder."""
    monkeypatch.chdir(tmp_path)
    imsave(tmp_path / "scan.png", simulate_ultrasound().pixels)


@pytest.mark.parametrize("link", re.findall(r"\]\((?!https?://|#)([^)]+)\)", README))
def test_file_that_the_readme_names_exists(link: str) -> None:
    assert (ROOT / link).exists()


@pytest.mark.parametrize("line", sorted(COMMANDS))
def test_command_and_its_options_exist(line: str) -> None:
    command = typer.main.get_command(app)
    words = shlex.split(line)
    while words and (names := getattr(command, "commands", None)):
        assert words[0] in names
        command = names[words.pop(0)]
    known = {option for parameter in command.params for option in parameter.opts}
    assert [word for word in words if word.startswith("-") and word not in known] == []


@pytest.mark.slow
@pytest.mark.usefixtures("scan")
def test_python_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {}
    exec(compile(shown("python"), "README.md", "exec"), names)
    assert re.findall(r"^(\w+): 0\.\d\d$", capsys.readouterr().out, re.MULTILINE)[-1] == "uncertainty"


@pytest.mark.slow
@pytest.mark.usefixtures("scan")
def test_shell_example_predicts_and_replays(run_python: Callable[..., str], tmp_path: Path) -> None:
    predict, replay = (shlex.split(line)[1:] for line in shown("sh").splitlines()[:2])
    run_python("-m", "napari_uml", *predict)
    assert (tmp_path / "results" / "results.csv").is_file()
    run_python("-m", "napari_uml", *replay)
