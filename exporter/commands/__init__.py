"""The subcommands of the command line, one module for each stage of the work; `exporter.cli` gathers them."""
