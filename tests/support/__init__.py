"""What tests share: the command in a real process, made-up files and servers, ways to break things, fixtures."""
