"""The code that the cluster runs: one archive of the two packages, named after its content.

It holds only modules and the files listed here, so no ``.env``, data or virtual environment leaves this machine.
"""

import hashlib
import io
import subprocess
import sys
import tempfile
import zipfile
from functools import cache
from pathlib import Path

from capstone_dagster.settings import CHECKOUT
from spark_code.errors import ExpectedError
from spark_code.storage import Storage

_PACKAGES = ("capstone_dagster", "spark_code")
_FILES = ("spark_code/log4j2.properties", "spark_code/nyse_closures.csv")
# The earliest time that a zip can hold; with the files' own times every checkout would be a different archive.
_NO_TIME = (1980, 1, 1, 0, 0, 0)
# It checks where each module comes from: if the archive lacks one, Python may find it in an installed checkout.
_IMPORTS = """
import sys
sys.path.insert(0, sys.argv[1])
import capstone_dagster.emr.on_cluster.remote_step, capstone_dagster.definitions, spark_code.submit
for name, module in list(sys.modules.items()):
    if name.partition(".")[0] in ("capstone_dagster", "spark_code"):
        assert (module.__file__ or "").startswith(sys.argv[1]), f"{name} is not in the archive"
"""


class ArchiveError(ExpectedError):
    """The packages of this checkout do not import; nothing was submitted."""


@cache
def build(root: Path = CHECKOUT) -> bytes:
    """The archive; the same files give the same bytes."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for package in _PACKAGES:
            for path in sorted((root / package).rglob("*")):
                name = path.relative_to(root).as_posix()
                if path.suffix == ".py" or name in _FILES:
                    entry = zipfile.ZipInfo(name, _NO_TIME)
                    entry.compress_type = zipfile.ZIP_DEFLATED
                    archive.writestr(entry, path.read_bytes())
    return packed.getvalue()


def upload(staging: Storage, content: bytes) -> str:
    """Check and upload the archive unless it is already there; returns its location."""
    key = f"code/{hashlib.sha256(content).hexdigest()}.zip"
    if staging.read(key) is None:
        require_importable(content)
        staging.write(key, content)
    return staging.uri(key)


@cache
def require_importable(content: bytes) -> None:
    """Import what the cluster will import, from the archive and nowhere else."""
    with tempfile.TemporaryDirectory() as folder:
        packed = Path(folder, "code.zip")
        packed.write_bytes(content)
        # As on the cluster: no .env, no settings.
        ended = subprocess.run(  # noqa: S603 - our own code
            [sys.executable, "-I", "-c", _IMPORTS, str(packed)],
            capture_output=True,
            text=True,
            check=False,
            cwd=folder,
            env={},
        )
    if ended.returncode:
        reason = ended.stderr.strip().rsplit("\n", 1)[-1]
        raise ArchiveError(f"the packages of {CHECKOUT} cannot be shipped to the cluster, they do not import: {reason}")
