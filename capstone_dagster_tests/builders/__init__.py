"""What tests are made of: rows, deliveries, lakes, histories of runs."""
