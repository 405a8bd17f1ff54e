"""The life of one key under any schedule."""
