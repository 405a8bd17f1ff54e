"""The ports on real servers (MongoDB, MinIO, NATS) and in memory for unit tests."""
