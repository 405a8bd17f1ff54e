"""Makes the servers ready for the services: buckets, targets, accounts, streams, durables, indexes. Safe to repeat."""

from infra.bootstrap.run import bootstrap

__all__ = ["bootstrap"]
