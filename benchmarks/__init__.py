"""Speed, memory and size of nasexport and of its alternatives; ``python -m benchmarks`` measures them."""
