"""What the UI says of all assets alike: their group, their layer, their owners, and where their code is."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from warnings import catch_warnings, simplefilter

import dagster as dg

from capstone_dagster.settings import CHECKOUT, Settings

# One for all: the UI folds groups as soon as there are two, and nothing but a link can unfold them.
GROUP = "market_data"
_CODE = "dagster/code_references"


def labelled(
    assets: Iterable[dg.AssetsDefinition | dg.AssetSpec], settings: Settings
) -> Sequence[dg.AssetsDefinition | dg.AssetSpec]:
    """The assets with their labels; those that code makes have a link to it, except on a cluster, which has no UI."""

    def with_labels(spec: dg.AssetSpec) -> dg.AssetSpec:
        return spec.replace_attributes(
            group_name=GROUP,
            owners=settings.owners,
            tags={**spec.tags, "layer": spec.key.path[0]},
            metadata=_with_address(spec.metadata, settings.code_url),
        )

    if settings.deployment == "cluster":
        return list(assets)
    with catch_warnings():
        simplefilter("ignore", dg.BetaWarning)
        return dg.map_asset_specs(with_labels, dg.with_source_code_references(list(assets)))  # type: ignore[arg-type]


def _with_address(metadata: Any, code_url: str | None) -> dict[str, Any]:
    """With links to the files of this checkout, or to the same lines below an address where people read the code."""
    found = metadata.get(_CODE)
    if found is None or code_url is None:
        return dict(metadata)
    addresses: list[dg.LocalFileCodeReference | dg.UrlCodeReference] = [
        dg.UrlCodeReference(
            url=f"{code_url}/{Path(file.file_path).resolve().relative_to(CHECKOUT).as_posix()}#L{file.line_number}"
        )
        for file in found.code_references
    ]
    return {**metadata, _CODE: dg.CodeReferencesMetadataValue(code_references=addresses)}
