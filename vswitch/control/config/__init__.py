"""What is written in a configuration: its models, how a file is read, and how two of them differ."""
