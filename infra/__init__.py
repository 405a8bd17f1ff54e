"""Servers and deployment: builds, the local supervisor, and the bootstrap of buckets, streams, users and indexes."""
