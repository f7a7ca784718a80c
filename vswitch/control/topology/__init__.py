"""What is written in the file of a lab: its models, how it is read, and what is to be built of it."""
