"""What is measured in a process of its own: the contestants that are no command by themselves.

Each prints its facts as one line of JSON, the last on its standard output.
"""
