"""The nouns of the gateway: frozen dataclasses, enums and ids, in the vocabulary of OCPP 2.x."""
