"""Input that was made to do harm: nothing runs, nothing leaks, nothing is lost, one clear error each."""
