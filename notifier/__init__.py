"""Job events in, signed webhook deliveries out."""
