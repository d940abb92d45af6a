"""OCPP site gateway: a Local Controller between the chargers of a site and their CSMS."""
