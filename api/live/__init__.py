"""Live events of jobs: what the bus says, once per process, to everybody who watches."""
