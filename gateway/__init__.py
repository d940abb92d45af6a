"""OCPP site gateway: a Local Controller between the chargers of a site and their CSMS."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("ocpp-gateway")
except PackageNotFoundError:  # run from a source tree that was never installed
    __version__ = "0+source"
