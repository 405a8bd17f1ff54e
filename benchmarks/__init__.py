"""Every claim about speed, as ratios of one run on one machine."""
