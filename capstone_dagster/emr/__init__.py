"""Everything that knows EMR: how steps run there, how clusters live, and what is shipped to them."""
