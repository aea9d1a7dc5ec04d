"""What the config of a run may say: whoever can start one must not be able to name a place, a command or an option."""

from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg
import pytest

from capstone_dagster.definitions import build_defs
from capstone_dagster.settings import Settings

LOCAL = {"CAPSTONE_HOME": "/data"}
EMR = {
    "CAPSTONE_DEPLOYMENT": "emr",
    "CAPSTONE_RAW_URI": "s3://bucket/raw",
    "CAPSTONE_LAKE_URI": "s3://bucket/lake",
    "CAPSTONE_EMR_STAGING_URI": "s3://bucket/staging",
}

# docs/settings.md lists them.
ALLOWED = {
    "execution.config.retries.enabled",
    "execution.config.retries.disabled",
    "loggers.console.config.log_level",
    "loggers.console.config.name",
    "resources.report_options.config.allow_missing_closes",
    "resources.retries.config.max_retries",
    "resources.retries.config.first_seconds",
}
# Choices that have nothing to say, of Dagster's and our own.
_EMPTY = {"execution.config.retries.enabled", "execution.config.retries.disabled"}


def _leaves(config_type: Any, path: str = "") -> Iterator[str]:
    """Every place of a run config that takes a value."""
    if hasattr(config_type, "fields"):
        if not config_type.fields and path in _EMPTY:
            yield path
        for name, field in config_type.fields.items():
            yield from _leaves(field.config_type, f"{path}.{name}".lstrip("."))
    elif hasattr(config_type, "inner_type"):
        yield from _leaves(config_type.inner_type, path)
    else:
        yield path


@pytest.mark.parametrize("deployment", [LOCAL, EMR], ids=["local", "emr"])
def test_a_run_may_configure_only_what_is_listed(deployment: Mapping[str, str]) -> None:
    jobs = build_defs(Settings.from_mapping(deployment)).resolve_all_job_defs()

    assert {"daily_pipeline", "preprocessing", "analytical", "__ASSET_JOB"} == {job.name for job in jobs}
    for job in jobs:
        assert set(_leaves(job.run_config_schema.config_type)) == ALLOWED, job.name


REPLACED = [
    ("spark", {"spark_config": {"spark.driver.extraJavaOptions": "-XX:OnOutOfMemoryError=id"}}, "spark_config"),
    ("lake", {"uri": "/elsewhere"}, "uri"),
    ("lake", {"glue_database": "other"}, "glue_database"),
    ("raw_folder", {"uri": "/elsewhere"}, "uri"),
    ("step_launcher", {"staging_bucket": "other"}, "staging_bucket"),
    ("io_manager", {"base_dir": "/elsewhere"}, "base_dir"),
]


@pytest.mark.parametrize(("resource", "config", "field"), REPLACED)
@pytest.mark.parametrize("deployment", [LOCAL, EMR], ids=["local", "emr"])
def test_a_run_that_names_a_place_or_an_option_is_refused_by_the_fields_name(
    deployment: Mapping[str, str], resource: str, config: Mapping[str, Any], field: str
) -> None:
    job = build_defs(Settings.from_mapping(deployment)).resolve_job_def("daily_pipeline")

    with pytest.raises(dg.DagsterInvalidConfigError, match=f'Received unexpected config entry "{field}"'):
        dg.validate_run_config(job, {"resources": {resource: {"config": config}}})


def test_a_run_may_say_how_often_its_steps_are_tried_again_and_do_without_the_previous_closes() -> None:
    job = build_defs(Settings.from_mapping(LOCAL)).resolve_job_def("daily_pipeline")

    told = {
        "report_options": {"config": {"allow_missing_closes": True}},
        "retries": {"config": {"max_retries": 0, "first_seconds": 1.0}},
    }
    resources = dg.validate_run_config(job, {"resources": told})["resources"]

    assert {name: resources[name] for name in told} == told
