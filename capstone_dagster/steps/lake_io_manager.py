"""Connects Dagster's assets to the lake: inputs are published days, outputs are drafts to publish.

A step whose inputs are not all published fails before any work (see ``inputs``). ``spark_code.lake`` publishes a day.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from typing import Any

import dagster as dg
from dagster_pyspark import LazyPySparkResource
from pydantic import Field

from capstone_dagster.assets.metadata import materialization_metadata
from capstone_dagster.assets.table_assets import data_version
from capstone_dagster.steps.ended_runs import require_wanted
from capstone_dagster.steps.inputs import Need, made_tables, needed_inputs, require_published
from capstone_dagster.steps.preview import preview
from capstone_dagster.steps.retries import Retries
from capstone_dagster.trading_days import parse_day
from spark_code.drafts import Draft, Published
from spark_code.flow import maker_of
from spark_code.glue import GlueCatalog
from spark_code.lake import AuditError, Lake
from spark_code.manifest import KEPT, Attempt, Manifest
from spark_code.schemas import TABLES, Table

# More metadata of a version that was just published; it warns, and does not fail.
DayMetadata = Callable[[Lake, Table, Manifest, Callable[[str], object]], Mapping[str, Any]]


class ReportOptions(dg.ConfigurableResource[None]):
    """What people may decide for one run of the report.

    It is a separate resource, because run config can only replace all of a resource's config.
    """

    allow_missing_closes: bool = Field(
        default=False,
        description=(
            "Build the report even if the previous trading day's closes are not published. "
            "Its close_pr, bid_pr_mv, ask_pr_mv and changes are null then."
        ),
    )


@dataclass(kw_only=True, eq=False)
class LakeIOManager(dg.IOManager):
    """Reads and publishes one trading day of one table of the lake. Every run creates its own."""

    uri: str
    spark: LazyPySparkResource
    report_options: ReportOptions
    retries: Retries
    glue_database: str | None = None
    keep_versions: int = KEPT
    day_metadata: DayMetadata = lambda *_: {}
    _began: Attempt | None = field(default=None, init=False)

    def begin(self, day: date) -> Attempt:
        """Take the run's fencing token before its first step reads inputs; publishing adds the attempt's number."""
        self._began = self._began or Lake(self.uri).begin(day, run_id="")
        return self._began

    def load_input(self, context: dg.InputContext) -> Published:
        """The published day of an upstream table, pinned to one version."""
        with self.retries.judging_failures(context.step_context.previous_attempt_count, context.step_context):
            return self._load(context)

    def _load(self, context: dg.InputContext) -> Published:
        lake, table = Lake(self.uri), TABLES[context.asset_key.to_user_string()]
        day = parse_day(context.step_context.partition_key)
        self.begin(day)
        self.require_inputs(context.step_context)
        spark, keys = self.spark.spark_session, list(context.asset_partition_keys)
        if not keys:  # the closes before the first trading day
            return lake.nothing(spark, table, day)
        needed = date.fromisoformat(keys[0])
        if self._may_be_missing((table, needed), day) and lake.manifest(table, needed) is None:
            context.log.warning("%s of %s is not published; going on without it, as allowed", table.path, needed)
            return lake.nothing(spark, table, needed)
        published = lake.read(spark, table, needed)
        context.log.info("reading %s of %s: %s", table.path, needed, published.as_input())
        return published

    def require_inputs(self, step: dg.StepExecutionContext) -> None:
        """Fail if a day that the step reads is not published."""
        day = parse_day(step.partition_key)
        needs = [need for need in needed_inputs(step) if not self._may_be_missing(need, day)]
        require_published(Lake(self.uri), needs, day, maker_of(made_tables(step)[0]).job)

    def _may_be_missing(self, need: Need, day: date) -> bool:
        return self.report_options.allow_missing_closes and need[1] != day

    def handle_output(self, context: dg.OutputContext, obj: Draft) -> None:
        """Write, audit and publish a draft, and record in the run storage what was published."""
        with self.retries.judging_failures(context.step_context.previous_attempt_count, context.step_context):
            self._publish(context, obj)

    def _publish(self, context: dg.OutputContext, draft: Draft) -> None:
        day = self._day(context)
        retries, began = context.step_context.previous_attempt_count, self.begin(day)
        attempt = replace(began, run_id=context.run_id, number=retries + 1, token=began.token + retries)
        catalog = GlueCatalog(self.glue_database) if self.glue_database else None
        wanted = partial(require_wanted, context.step_context.instance, context.run_id)
        lake, started = Lake(self.uri, catalog, wanted, self.keep_versions), time.monotonic()
        manifest = lake.publish(draft, day, attempt)
        seconds = time.monotonic() - started
        rows = preview(lake, draft.table, manifest, context.log.warning)
        context.step_context.set_data_version(context.asset_key, data_version(manifest))
        of_day = self.day_metadata(lake, draft.table, manifest, context.log.warning)
        of_version = materialization_metadata(draft.table, manifest, rows, seconds, lake)
        context.add_output_metadata({**of_day, **of_version})

    def _day(self, context: dg.OutputContext) -> date:
        """The trading day of the run; an error if Dagster would record the table's partition as another day.

        Dagster derives the partition from a time window; for a day that is not a trading day, that of another day.
        """
        of_run, of_table = context.step_context.partition_key, context.asset_partition_keys
        if list(of_table) != [of_run]:
            raise AuditError(
                f"{context.asset_key.to_user_string()}: the run is of {of_run}, and Dagster would record the partition "
                f"{', '.join(of_table) or 'none'}; not published"
            )
        return parse_day(of_run)
