"""What each command takes: arguments, options and help. What it does stands under the same name in `cli.work`."""
