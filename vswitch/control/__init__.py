"""What a running switch is told and asked: configuration, API, metrics. None of it touches a frame."""
