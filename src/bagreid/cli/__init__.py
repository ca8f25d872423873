"""The command line: one file a verb, each parses, builds and calls."""
