"""The computation: pure PySpark that ships whole to a cluster and knows no orchestrator."""
