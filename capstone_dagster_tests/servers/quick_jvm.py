"""JVMs that start quickly, for days of some lines."""

import os

# Java's better compiler costs half of the time of such a JVM, and what Spark compiles for a query another fifth. The
# fixture ``spark`` compiles its queries, as people's Spark does.
_OPTIONS = (
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    "-Dspark.sql.codegen.wholeStage=false",
    "-Dspark.sql.codegen.factoryMode=NO_CODEGEN",
)


def start_jvms_quickly() -> None:
    """All that this process starts, and what these start."""
    os.environ["SPARK_SUBMIT_OPTS"] = " ".join(_OPTIONS)
