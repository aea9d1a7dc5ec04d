"""The computation: pure PySpark, which is shipped to a cluster as one package and knows no orchestrator."""
