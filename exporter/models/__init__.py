"""What there is to make, as data: cells, configurations, variables, formats, classes."""
