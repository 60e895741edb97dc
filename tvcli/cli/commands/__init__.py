"""The interface of each command: arguments, options and help. Its implementation has the same name in `cli.work`."""
