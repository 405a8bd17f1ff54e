"""What every Enlarger process shares: the job model, its events and errors, the ports and the one consumer loop."""
