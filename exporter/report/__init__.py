"""A verification or an evaluation as an HTML page with plots."""
