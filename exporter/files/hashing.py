"""How much of a file is in memory while it is copied or hashed."""

#: In bytes. Blocks of a megabyte are slower: malloc returns each to the system, and its pages are zeroed once more.
CHUNK = 2**16
