"""The section [site] of the configuration file."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from gateway.config_place import API_SOCKET, STATE_DIR
from gateway.config_section import Section
from gateway.config_values import FirmwareText, Folder, Identity, SerialText, ShortText, Title


class Site(Section):
    name: Annotated[Title, Field(description="Give the site a name, 1 to 100 characters.")]
    identity: Annotated[
        Identity, Field(description='Give 1 to 48 characters without "/": the gateway\'s own identity.')
    ]
    vendor: ShortText = Field(default="OCPP site gateway", description="Give 1 to 20 characters.")
    model: ShortText = Field(default="Site", description="Give 1 to 20 characters.")
    serial: SerialText = Field(default=None, description="Give 1 to 25 characters, or take it out.")
    firmware: FirmwareText = Field(default=None, description="Give 1 to 50 characters, or take it out.")
    state_dir: Folder = Field(default=Path(STATE_DIR), validate_default=True, description="Give the path of a folder.")

    @property
    def api_socket(self) -> Path:
        """Where the running gateway answers."""
        return self.state_dir / API_SOCKET
