"""What nasexport costs, beside what people use in its place; ``python -m benchmarks`` measures all of it."""
