"""Makes the servers ready for the services: buckets, targets, accounts, streams, durables, indexes. Safe to repeat."""

from infra.bootstrap.run import bootstrap, lease_from

__all__ = ["bootstrap", "lease_from"]
