"""Fixtures of all tests: see `tests.support.fixtures`."""

pytest_plugins = ["tests.support.fixtures"]
