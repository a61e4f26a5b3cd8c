"""Fixtures and order of all tests: see `tests.support.fixtures` and `tests.support.order`."""

pytest_plugins = ["tests.support.fixtures", "tests.support.order"]
