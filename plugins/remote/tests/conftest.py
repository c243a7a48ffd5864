"""What the tests of this package share: hosts with real SSH servers."""

from ssh_hosts import laboratory

__all__ = ["laboratory"]
