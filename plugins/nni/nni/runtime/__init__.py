"""What stands between NNI's interface and tune."""
