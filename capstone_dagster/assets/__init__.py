"""The nodes of the graph, one module per stage of the data."""
