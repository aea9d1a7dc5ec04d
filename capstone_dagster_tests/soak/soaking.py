"""A soak from its start to its judgement."""

import os
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import click
import pytest

from capstone_dagster.run_storage.embedded_postgres import serving
from capstone_dagster.steps.s3_jars import fetch
from capstone_dagster_tests.servers.platform import CAPSTONE, Platform
from capstone_dagster_tests.servers.processes import eventually
from capstone_dagster_tests.servers.quick_jvm import start_jvms_quickly
from capstone_dagster_tests.servers.s3_faults import Faults
from capstone_dagster_tests.servers.s3_server import fresh_bucket
from capstone_dagster_tests.soak import judgement
from capstone_dagster_tests.soak.deliveries import Vendor
from capstone_dagster_tests.soak.faults import Disk, Injector
from capstone_dagster_tests.soak.installation import Installation, at_rest, progress
from capstone_dagster_tests.soak.plan import FIRST_DAY, Delivery, Step, days_of
from capstone_dagster_tests.soak.watch import Watch
from fake_aws.s3_server import s3_server

_LOOK_SECONDS = 5.0
# Until all days are done; a busy machine may need long.
_REST_SECONDS = 3600.0
# In which what was started before the rest has ended, too.
_PASSING_SECONDS = 60.0


class Soak:
    """One run of a plan."""

    def __init__(self, seed: int, days: int, steps: Sequence[Step], *, on_s3: bool) -> None:
        self._seed = seed
        self._days = days_of(days)
        self._steps = steps
        self._on_s3 = on_s3
        self._began = time.monotonic()
        self._facts: dict[str, object] = {}

    def run(self) -> list[str]:
        """Everything that was wrong; the folder is left if there is anything."""
        # Short: the embedded database has its socket below it.
        folder = Path(tempfile.mkdtemp(prefix="soak-"))
        folder.chmod(0o755)  # the database may run as a user of its own
        start_jvms_quickly()
        with ExitStack() as stack:
            findings = self._soak(folder, stack)
            if findings and not self._on_s3:
                shutil.copytree(folder / "home" / "lake", folder / "lake", ignore=shutil.ignore_patterns(".ballast"))
        if findings:
            self._say(f"what was left is in {folder}")
        else:
            shutil.rmtree(folder)
        return findings

    def _soak(self, folder: Path, stack: ExitStack) -> list[str]:
        soaked, disk, s3 = self._place(folder, stack)
        stack.callback(soaked.end)
        injector, watch = Injector(soaked, disk, s3), Watch(soaked)
        soaked.keep_up()
        at_start = soaked.roles()
        self._say(f"capstone dev is up in {soaked.home}")
        self._act(soaked, Vendor(self._seed, soaked.platform.raw, folder / "drafts"), injector, watch)
        findings = [*self._rest(soaked, injector, watch, disk)]
        findings += [*judgement.run_storage(soaked), *judgement.more_processes(soaked, at_start, _PASSING_SECONDS)]
        findings += filter(None, (series.growth() for series in watch.series))
        self._facts |= self._counts(soaked, injector, watch)
        self._say("Ctrl-C at the end")
        soaked.interrupt()
        findings += self._ended(soaked, injector.killed)
        return [*findings, *self._compared(soaked, self._clean_run(folder, soaked.platform))]

    def _act(self, soaked: Installation, vendor: Vendor, injector: Injector, watch: Watch) -> None:
        """Do what the plan says, each at its time."""
        for step in self._steps:
            self._wait_until(step.at, soaked, injector, watch)
            if isinstance(step.what, Delivery):
                vendor.act(step)
                became = "done"
            else:
                became = injector.act(step)
            self._say(f"{step}: {became}")

    def _compared(self, soaked: Installation, clean: Installation) -> Iterator[str]:
        """What differs from the clean run, and what is left in the lake."""
        self._say("judging")
        lake, days = soaked.platform.lake, self._days
        yield from judgement.rows(lake.storage.root, clean.platform.lake.storage.root, days)
        with serving(soaked.home), serving(clean.home):
            yield from judgement.statuses(soaked, days)
            yield from judgement.warehouse(soaked, clean)
        yield from judgement.pages(lake, days)
        verified = soaked.platform.capstone("verify", f"{days[0]}..{days[-1]}")
        if verified.returncode:
            yield f"capstone verify: {verified.stdout[-2000:]}{verified.stderr[-2000:]}"
        removed, left = judgement.orphans(lake)
        self._facts["versions that gc removes two days later"] = removed
        yield from left
        # Last: a JVM removes its files a moment after the command has ended.
        yield from judgement.left_behind(clean.home.parent / "clean.tmp", 0)

    def _place(self, folder: Path, stack: ExitStack) -> tuple[Installation, Disk | None, Faults | None]:
        """An empty home, and what can be done to the store of its lake."""
        home = folder / "home"
        if not self._on_s3:
            disk = stack.enter_context(Disk.mounted(home / "lake"))
            platform = Platform(home, FIRST_DAY, automation=True, warehouse=True)
            return Installation(platform, _temporary(folder / "tmp")), disk, None
        fetch(self._say)
        s3 = Faults()
        s3.url = stack.enter_context(s3_server(around=s3.around))
        uri = fresh_bucket(s3.url, stack.enter_context(pytest.MonkeyPatch.context()))
        lake = {"CAPSTONE_LAKE_URI": f"{uri}/lake"}
        on_s3 = Platform(home, FIRST_DAY, automation=True, warehouse=True, more=lake)
        return Installation(on_s3, _temporary(folder / "tmp")), None, s3

    def _look(self, soaked: Installation, injector: Injector, watch: Watch) -> None:
        """Keep the platform up, look at it, and harm a run if that is due."""
        soaked.keep_up()
        watch.look()
        if did := injector.act_on_run():
            self._say(did)

    def _wait_until(self, at: float, soaked: Installation, injector: Injector, watch: Watch) -> None:
        """Look until a time after the start."""
        while True:
            self._look(soaked, injector, watch)
            left = self._began + at - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, _LOOK_SECONDS))

    def _rest(self, soaked: Installation, injector: Injector, watch: Watch, disk: Disk | None) -> Iterator[str]:
        """Wait until nothing is left to do. Days that failed because the disk was full are run again by hand."""
        self._wait_for_rest(soaked, injector, watch)
        yield from judgement.unexplained_failures(soaked, disk.full if disk else [])
        by_hand = 0
        while failed := judgement.first_failed_day(soaked):
            self._say(f"run again by hand: {failed}")
            by_hand += 1
            ran = soaked.platform.capstone("run", f"{failed}")
            if ran.returncode:
                yield f"capstone run {failed}: {ran.stdout[-2000:]}{ran.stderr[-2000:]}"
                break
            self._wait_for_rest(
                soaked, injector, watch
            )  # reports that only lacked the closes of this day come by themselves
        self._facts["days run again by hand, after a full disk"] = by_hand

    def _wait_for_rest(self, soaked: Installation, injector: Injector, watch: Watch) -> None:
        since, last = time.time(), ""

        def is_at_rest() -> bool:
            nonlocal last
            self._look(soaked, injector, watch)
            if (now := progress(soaked)) != last:
                self._say(now)
                last = now
            return at_rest(soaked, since, len(self._days))

        eventually(is_at_rest, seconds=_REST_SECONDS, pause=_LOOK_SECONDS)
        self._say("nothing is left to do")

    def _ended(self, soaked: Installation, killed: int) -> Iterator[str]:
        """What is left when the platform has ended."""
        deadline = time.monotonic() + 60
        while list(judgement.living(soaked.home)) and time.monotonic() < deadline:
            time.sleep(1)
        yield from judgement.living(soaked.home)
        yield from judgement.left_behind(soaked.home.parent / "tmp", killed)

    def _clean_run(self, folder: Path, soaked: Platform) -> Installation:
        """The same files in another home, run undisturbed."""
        home = folder / "clean"
        clean = Installation(Platform(home, FIRST_DAY, warehouse=True), _temporary(folder / "clean.tmp"))
        shutil.copytree(soaked.raw, clean.platform.raw)
        self._say("the clean run of the same files")
        log = folder / "clean.log"
        with log.open("wb") as output:
            subprocess.run(
                [CAPSTONE, "run", f"{self._days[0]}..{self._days[-1]}"],
                env=os.environ | clean.platform.environment | clean.variables,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=True,
            )
        return clean

    def _counts(self, soaked: Installation, injector: Injector, watch: Watch) -> dict[str, object]:
        runs = dict(soaked.query("SELECT status, count(*) FROM runs GROUP BY 1 ORDER BY 1"))
        deliveries = Counter(step.what for step in self._steps if isinstance(step.what, Delivery))
        return {
            "days": len(self._days),
            **{f"deliveries: {what}": number for what, number in deliveries.items()},
            **{f"fault: {what}": number for what, number in injector.hits.items()},
            "faults for which no run came": len(injector.due),
            "processes killed": injector.killed,
            "capstone dev started": soaked.starts,
            **{f"runs in {status}": number for status, number in runs.items()},
            **{f"most {unit} of the {role}": f"{value:.0f}" for (role, unit), value in sorted(watch.peaks.items())},
            "lives whose growth was judged": len({series.what for series in watch.series}),
        }

    def summary(self, findings: Sequence[str]) -> str:
        """A table of what has happened, and what was wrong."""
        facts = {"seed": self._seed, **self._facts, "minutes": f"{(time.monotonic() - self._began) / 60:.1f}"}
        table = [f"| {name} | {value} |" for name, value in facts.items()]
        wrong = [f"- {finding}" for finding in findings] or ["Nothing was wrong."]
        return "\n".join(["| what | how many |", "|---|---|", *table, "", *wrong, ""])

    def _say(self, text: str) -> None:
        click.echo(f"[{time.monotonic() - self._began:6.0f} s] {text}")


def _temporary(folder: Path) -> dict[str, str]:
    """The variables that let processes, and the JVM among them, have their temporary files in this folder."""
    folder.mkdir()
    folder.chmod(0o1777)
    java = f"{os.environ['SPARK_SUBMIT_OPTS']} -Djava.io.tmpdir={folder}"
    return {"TMPDIR": f"{folder}", "SPARK_SUBMIT_OPTS": java}
