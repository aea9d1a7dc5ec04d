"""Text of files and lines on its way to people: shown, and not obeyed by a terminal."""

import dagster as dg
import pytest

from capstone_dagster.runs.terminal_log import console_logger, progress_logger
from capstone_dagster.steps.retries import final_failures
from capstone_dagster.wording import lasting, literal, printable, say
from spark_code.raw_files import UnreadableNameError

NAME = "a\x1b]0;gotcha\x07\x1b[2Jb\u202ec\udcff:1.csv"
SHOWN = r"a\x1b]0;gotcha\x07\x1b[2Jb\u202ec\udcff:1.csv"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (NAME, SHOWN),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("\r\x00\x7f\x9b31m", r"\r\x00\x7f\x9b31m"),
        ("Größe, 株式, a\\b", "Größe, 株式, a\\b"),
    ],
)
def test_control_characters_are_written_out_and_all_else_stays(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_what_is_said_to_the_terminal_cannot_steer_it(capsys: pytest.CaptureFixture[str]) -> None:
    say(f"capstone: {NAME}", err=True)

    assert capsys.readouterr().err == f"capstone: {SHOWN}\n"


@pytest.mark.parametrize("name", ["progress", "console"])
def test_a_log_of_a_run_cannot_steer_the_terminal(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    @dg.op
    def read(context: dg.OpExecutionContext) -> None:
        context.log.warning("found %s", NAME)
        with final_failures():
            raise UnreadableNameError(f"{NAME}: rename it")

    @dg.job(logger_defs={"progress": progress_logger, "console": console_logger})
    def reads() -> None:
        read()

    ran = reads.execute_in_process(run_config={"loggers": {name: {}}}, raise_on_error=False)

    (failed,) = [event for event in ran.all_events if event.is_step_failure]
    assert failed.step_failure_data.user_failure_data
    assert failed.step_failure_data.user_failure_data.description == f"{SHOWN}: rename it"
    out = "".join(capfd.readouterr())
    assert f"found {SHOWN}" in out
    assert f"{SHOWN}: rename it" in out
    assert not {"\x1b]", "\x1b[2J", "\x07", "\u202e"}.intersection(
        [out[i : i + n] for i in range(len(out)) for n in (1, 2, 4)]
    )


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.6, "1 second"), (59.4, "59 seconds"), (60, "1 minute"), (1799, "30 minutes")]
)
def test_less_than_a_minute_is_told_in_seconds(seconds: float, said: str) -> None:
    assert lasting(seconds) == said


def test_nothing_is_an_image_a_link_or_html_where_the_ui_takes_text_for_markdown() -> None:
    assert literal("NYSE: ![x](http://a) <img src=b> \\[y](c) \x1b[31m") == (
        r"NYSE: !\[x](http://a) \<img src=b> \\\[y](c) \\x1b\[31m"
    )
