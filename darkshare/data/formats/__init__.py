"""Other programs' annotations, one module for each format."""
