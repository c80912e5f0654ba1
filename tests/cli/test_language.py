"""The language of help and messages: how it is chosen, and what it leaves in English."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from rollout.app.drift import DriftedInstance, FleetDrift
from rollout.app.terraform import ApplyEffect, Reversal
from rollout.cli import language, main
from rollout.cli.commands import drift
from rollout.cli.views import instances, preview, render
from rollout.cli.views import terraform as terraform_view
from rollout.errors import Exit
from rollout.probes import references
from tests.app import factory

ENGLISH, CHINESE = "error[R0100]: ", "错误[R0100]："


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project with an own home; no setting and no locale chooses a language."""
    for name in list(os.environ):
        if name.startswith(("ROLLOUT_", "LC_", "LANG", "ALI")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home" / ".config"))
    (tmp_path / "home" / ".aliyun").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    yield tmp_path / "home"
    language.use("en")


def profiles(home: Path, **languages: str) -> None:
    """Write profiles of the aliyun CLI with these languages; the first is the current one."""
    rows = [{"name": name, "language": chosen} for name, chosen in languages.items()]
    document = {"current": next(iter(languages)), "profiles": rows}
    (home / ".aliyun" / "config.json").write_text(json.dumps(document))


def error(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return what a command prints about a spec that does not exist."""
    assert main.main(["validate", "missing.yaml", *arguments]) == Exit.IO
    return capsys.readouterr().err


def test_the_option_is_stronger_than_all_else(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Option > variable > rollout.toml > profile > locale > English."""
    assert error(capsys).startswith(ENGLISH)
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    assert error(capsys).startswith(CHINESE)
    profiles(home, ops="en")
    assert error(capsys).startswith(ENGLISH)
    Path("rollout.toml").write_text('lang = "zh"')
    assert error(capsys).startswith(CHINESE)
    monkeypatch.setenv("ROLLOUT_LANG", "en")
    assert error(capsys).startswith(ENGLISH)
    assert error(capsys, "--lang", "zh").startswith(CHINESE)


@pytest.mark.parametrize(
    "variables, expected",
    [
        ({"LC_ALL": "C.UTF-8", "LANG": "zh_CN.UTF-8"}, "en"),
        ({"LC_MESSAGES": "zh_CN.GB18030", "LANG": "en_US.UTF-8"}, "zh"),
        ({"LC_ALL": "", "LANG": "zh_SG"}, "zh"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
    ],
)
def test_the_first_locale_variable_with_a_value_decides(
    variables: dict[str, str], expected: str
) -> None:
    """LC_ALL before LC_MESSAGES before LANG; each other language gives English."""
    environment = {"HOME": os.environ["HOME"], **variables}

    assert language.of_surroundings(None, environment) == expected


def test_the_profile_in_use_decides(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--profile`, then the variables that name one, then the file's current profile."""
    profiles(home, current="en", other="zh")
    environment = dict(os.environ)

    assert language.of_surroundings(None, environment) == "en"
    assert language.of_surroundings("other", environment) == "zh"
    assert language.of_surroundings(None, {**environment, "ROLLOUT_PROFILE": "other"}) == "zh"
    assert language.of_surroundings("unknown", {**environment, "LANG": "zh_CN"}) == "zh"


@pytest.mark.parametrize(
    "encodings", [["utf-8", "iso-8859-1"], ["ascii", "ascii"], ["no such encoding"]]
)
def test_a_terminal_without_chinese_characters_gets_english(encodings: list[str]) -> None:
    """Question marks help no reader; English needs no character that an encoding lacks."""
    assert not language.can_print("zh", encodings)
    assert language.can_print("zh", ["utf-8", "gb18030", None])
    assert language.can_print("en", ["ascii", "utf-8"])


def test_a_damaged_profile_file_is_no_error_here(home: Path) -> None:
    """The language is chosen before anything can be reported; who needs the file reports it."""
    (home / ".aliyun" / "config.json").write_text("{")

    assert language.of_surroundings(None, dict(os.environ)) == "en"


@pytest.mark.parametrize("arguments", [["--lang", "zh"], ["--lang=zh"]])
def test_errors_in_the_command_line_have_its_language(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The option counts even where the rest of the line cannot be understood."""
    assert main.main(["history", "--nonsense", *arguments]) == Exit.USAGE
    assert capsys.readouterr().err.startswith("错误[R0001]：")


def test_an_unknown_language_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--lang` accepts the installed languages; a wrong variable is named."""
    assert main.main(["history", "--lang", "de"]) == Exit.USAGE
    assert "choose from" in capsys.readouterr().err
    monkeypatch.setenv("ROLLOUT_LANG", "de")
    assert main.main(["history"]) == Exit.CONFIG
    assert "R0014" in capsys.readouterr().err


def test_help_pages_are_translated(capsys: pytest.CaptureFixture[str]) -> None:
    """Summary, titles and descriptions; the names of options stay as they are typed."""
    assert main.main(["apply", "--help", "--lang", "zh"]) == Exit.DONE

    page = capsys.readouterr().out
    assert page.startswith("用法：rollout apply TARGET [OPTIONS]")
    assert "执行计划" in page and "--until-wave" in page and "通用选项" in page
    assert "Execute a plan" not in page and "Common options" not in page


def test_explanations_are_translated(capsys: pytest.CaptureFixture[str]) -> None:
    """Title, area and fix of an error code; the JSON document stays in English."""
    assert main.main(["explain", "R0612", "--lang", "zh"]) == Exit.DONE
    assert "密钥对正在使用" in capsys.readouterr().out

    assert main.main(["explain", "R0612", "--lang", "zh", "-o", "json"]) == Exit.DONE
    assert json.loads(capsys.readouterr().out)["title"] == "the key pair is in use"


def test_log_lines_stay_english(capsys: pytest.CaptureFixture[str]) -> None:
    """Errors as JSON lines and the log file are for programs."""
    line = error(capsys, "--lang", "zh", "--log-format", "json", "--log-file", "log")

    assert json.loads(line)["message"].startswith("the spec cannot be read")
    assert json.loads(Path("log").read_text())["message"].startswith("the spec cannot be read")


@pytest.mark.parametrize("width", range(20, 60, 7))
def test_chinese_text_is_wrapped_by_columns(width: int) -> None:
    """A line ends after any character but no line begins with a closing mark; words stay whole."""
    text = "请检查列出的实例，然后执行 `rollout resume RUN`：它会重新观察这些实例，不会重启两次。"

    lines = render.wrap(text, width, first="  ", rest="  ")

    assert "".join("".join(lines).split()) == "".join(text.split())
    assert all(render.columns(line) <= width for line in lines)
    assert not any(line.strip()[0] in "，。：" for line in lines)


def test_no_space_follows_a_wide_full_stop() -> None:
    """Sentences that are joined with a space, as in English, have none in Chinese."""
    assert render.wrap("最多 4。 基数 47。", 40) == ["最多 4。基数 47。"]


def test_tables_align_wide_characters() -> None:
    """A Chinese character takes two columns."""
    assert render.table([["实例", "x"], ["i-1", "y"]], "<<", indent=0) == ["实例  x", "i-1   y"]


def test_a_plan_and_a_run_are_shown_in_chinese() -> None:
    """The preview and the columns of a table are translated; names and reasons stay."""
    language.use("zh")

    shown = preview.text(factory.plan(), "sha256:9f2c", 100)

    assert "机群最多" in shown and "摘要 sha256:9f2c" in shown
    assert "Digest" not in shown and "found" not in shown


@pytest.mark.parametrize(
    "line, text",
    [
        ("aply", "未知命令 `aply`"),
        ("apply", "命令 `apply` 的参数 TARGET 需要一个值"),
        ("plan --out", "命令 `plan` 的参数 --out 需要一个值"),
        ("emulator --size x", "--size 的值无效：无法将 `x` 转换为 int"),
        ("history -o foo", "`foo` 不是 -o 的有效值"),
    ],
)
def test_errors_of_the_parser_are_translated(
    line: str, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The parser's own texts are English; the usual ones are phrases of this program."""
    assert main.main([*line.split(), "--lang=zh"]) == Exit.USAGE
    assert text in capsys.readouterr().err


def test_reversals_by_terraform_are_translated() -> None:
    """Effect, labels and sum; the line of the configuration is unchanged."""
    language.use("zh")
    found = Reversal("a.b", ApplyEffect.REPLACES, "key_name", "old", "new", ("i-1",))

    text = terraform_view.text([found], 200)

    assert "销毁 i-1" in text and 'key_name = "new"' in text and "会撤销 1 个资源的轮换" in text
    assert "destroys" not in text and "reverses" not in text


def test_tables_have_translated_headings_and_data_has_not() -> None:
    """Headings, reasons and details of tables; rows for programs keep the English text."""
    language.use("zh")
    lost = DriftedInstance("i-2", "cn-hangzhou", "", "no key pair")
    result = drift.result_of(FleetDrift("ops", 3, [lost], {}, 2), 80)
    row = {"instance": "i-1", "detail": "no attach of the run or wave"}

    assert "没有密钥对" in result.text() and "no key pair" not in result.text()
    assert list(result.rows()) == [lost._asdict()]
    assert instances.table([row], 200).split() == [
        "实例",
        "详情",
        "i-1",
        "该运行或批次未绑定过此实例",
    ]
    assert row["detail"] == "no attach of the run or wave"


def test_an_unreadable_secret_is_described_in_the_language() -> None:
    """The cause is a phrase; journals get its English text."""
    with pytest.raises(references.UnreadableSecret) as caught:
        references.read("env:HOOK", {}, lambda _: None)
    language.use("zh")

    assert language.translated(caught.value.text) == "env:HOOK 未设置或为空"
    assert str(caught.value) == "env:HOOK is not set or empty"
