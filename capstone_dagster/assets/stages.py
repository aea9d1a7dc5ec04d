"""The stages of the data, found by their modules: each of this room that has a function ``stage``.

So a new table needs no list of assets: its step is in ``spark_code.flow``, and its asset in a module here.
"""

from importlib import import_module
from pkgutil import iter_modules

import dagster as dg

from capstone_dagster import assets


def all_stages(
    partitions: dg.PartitionsDefinition, policy: dg.BackfillPolicy
) -> list[dg.AssetsDefinition | dg.AssetSpec]:
    """The assets of all stages."""
    modules = [import_module(f"{assets.__name__}.{module.name}") for module in iter_modules(assets.__path__)]
    return [asset for module in modules if hasattr(module, "stage") for asset in module.stage(partitions, policy)]
