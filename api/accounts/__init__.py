"""People and their machines: accounts, sessions and API tokens."""
