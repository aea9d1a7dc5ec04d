"""Everything at once: whole days, real processes, kills and outages."""
