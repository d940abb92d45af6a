"""The side of the CSMS: one link, and the topologies made of it."""
