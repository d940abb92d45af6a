"""A site on a fake clock: cars, chargers, links, meters, breakers, and the gateway's balancing in between.

`python -m tests.smartcharging.plant SCENARIO.toml ...` plays scenarios and prints what every circuit had to bear.
"""
