"""Whether a request has EMR's shape: required members, types, lengths and enum values, by botocore's service model.

A boto3 client checks most of that itself, but neither enum values nor how long a value may be.
"""

import functools
from collections.abc import Iterator, Mapping
from typing import Any

from botocore.loaders import Loader
from botocore.model import ListShape, ServiceModel, Shape, StringShape, StructureShape
from botocore.validate import ParamValidator

from fake_aws.errors import EmrError, invalid_value

# Characters of a value that an error repeats.
_SHOWN = 80


@functools.cache
def emr_model() -> ServiceModel:
    """EMR's operations and shapes."""
    return ServiceModel(Loader().load_service_model("emr", "service-2"))


def check_shape(operation: str, params: Mapping[str, Any]) -> None:
    """Refuse a request that does not have the shape."""
    if operation not in emr_model().operation_names:
        raise EmrError("UnknownOperationException", f"EMR has no operation {operation}")
    shape = emr_model().operation_model(operation).input_shape
    report = ParamValidator().validate(params, shape)
    if report.has_errors():
        raise invalid_value(report.generate_report())
    for wrong in _wrong_values(shape, params, ""):
        raise invalid_value(f"1 validation error detected: {wrong}")


def _wrong_values(shape: Shape, value: Any, at: str) -> Iterator[str]:
    if isinstance(shape, StructureShape):
        for name, member in value.items():
            if name in shape.members:
                yield from _wrong_values(shape.members[name], member, f"{at}.{name}".lstrip("."))
    elif isinstance(shape, ListShape):
        for index, member in enumerate(value, start=1):
            yield from _wrong_values(shape.member, member, f"{at}.{index}.member")
    elif isinstance(shape, StringShape):
        failed = f"Value '{value[:_SHOWN]}' at '{at}' failed to satisfy constraint: Member must"
        if shape.enum and value not in shape.enum:
            yield f"{failed} satisfy enum value set: [{', '.join(shape.enum)}]"
        if len(value) > (longest := shape.metadata.get("max", len(value))):
            yield f"{failed} have length less than or equal to {longest}"
