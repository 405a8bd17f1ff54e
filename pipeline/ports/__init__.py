"""What the services need of document store, object store and bus; each has a real and a memory adapter."""
