"""What holds an index's rows and finds the nearest: one engine a file."""
