"""The place of networks as parameters in NNI 1."""
