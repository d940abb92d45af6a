"""What the cars below a meter draw, by their stations' own words: for the simulated meter, which sees no real ones."""

from gateway.model.ids import MeterId
from gateway.model.site_tree import NO_AMPS, Amps
from gateway.site import Site
from gateway.smartcharging.circuits import added


def cars_below(site: Site, meter: MeterId) -> Amps:
    """Amperes per phase of the grid."""
    tree, total = site.balancer.tree, NO_AMPS
    if tree is None:
        return total
    measured = [circuit.id for circuit in site.options.circuits if circuit.meter == meter and circuit.id in tree.index]
    below = {key for circuit in measured for key in tree.below[tree.index[circuit]]}
    for key, car in site.balancer.cars.items():
        if key in below and car.measured_a is not None:
            total = added(total, car.measured_a)
    return total
