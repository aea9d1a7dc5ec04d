"""Ticks of a sensor as Dagster's daemon makes them: its cursor goes from one to the next."""

from collections.abc import Callable

import dagster as dg

from capstone_dagster.settings import Settings
from capstone_dagster_tests.builders.run_histories import Histories

# Makes a sensor with a clock.
Sensor = Callable[[Settings, Callable[[], float]], dg.SensorDefinition]


class Ticks:
    """One sensor over histories, which looks when their last event has just happened."""

    def __init__(self, histories: Histories, sensor: Sensor, *channels: str) -> None:
        variables = {
            "CAPSTONE_ALERT_URLS": " ".join(channels),
            "CAPSTONE_UI_URL": "http://ui:3000",
            "CAPSTONE_PAGES_URL": "http://pages/lake",
        }
        self._histories = histories
        self._sensor = sensor(Settings.from_mapping(variables), self._now)
        self.cursor: str | None = None

    def tick(self) -> str:
        """Once; what it says."""
        with dg.build_sensor_context(instance=self._histories.instance, cursor=self.cursor) as context:
            ticked = self._sensor.evaluate_tick(context)
        self.cursor = ticked.cursor
        assert ticked.skip_message
        return ticked.skip_message

    def _now(self) -> float:
        return self._histories.now.timestamp()
