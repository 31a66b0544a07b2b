"""What the parts of a split share, and how many points that buys."""
