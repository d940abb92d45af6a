"""Load balancing and charging profiles: decisions, without I/O and without a clock."""
