"""The orchestration: what exists, when it is built and where it is stored."""
