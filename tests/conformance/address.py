"""Addresses of stores, in a form that can be told to another process."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import obstore.store

import taquba.store

KEY_ID = "test-key"
SECRET = "test-secret"  # noqa: S105 - of servers that the tests start
BUCKET = "taquba-test"
# Azurite's account and key: published, the same for everybody.
AZURITE_ACCOUNT = "devstoreaccount1"
AZURITE_KEY = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)
# A key of the same form that is nobody's.
OTHER_AZURE_KEY = "A" * 86 + "=="


@dataclass(frozen=True)
class Address:
    """Where a store is and who asks."""

    kind: str
    """`local`, `s3`, `azure` or `gcs`."""
    place: str
    """A directory, or a server."""
    bucket: str = BUCKET
    secret: str = SECRET

    def to_text(self) -> str:
        """For the command line of a child."""
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> "Address":
        """What `to_text` wrote."""
        return cls(**json.loads(text))

    def store(self) -> Any:
        """A new store object."""
        return getattr(self, f"_{self.kind}")(taquba.store)

    def outside(self) -> Any:
        """The same for `obstore`, to look at what is there without taquba."""
        return getattr(self, f"_{self.kind}")(obstore.store)

    def _local(self, library: Any) -> Any:
        if library is taquba.store:
            return Path(self.place)
        return library.LocalStore(self.place, mkdir=True)

    def _s3(self, library: Any) -> Any:
        return library.S3Store(
            self.bucket,
            endpoint=self.place,
            region="us-east-1",
            access_key_id=KEY_ID,
            secret_access_key=self.secret,
            client_options={"allow_http": True},
        )

    def _azure(self, library: Any) -> Any:
        return library.AzureStore(
            self.bucket,
            endpoint=self.place,
            account_name=AZURITE_ACCOUNT,
            account_key=self.secret,
            client_options={"allow_http": True},
        )

    def _gcs(self, library: Any) -> Any:
        account = {
            "gcs_base_url": self.place,
            "disable_oauth": True,
            "client_email": "",
            "private_key": "",
            "private_key_id": "",
        }
        return library.GCSStore(
            self.bucket,
            service_account_key=json.dumps(account),
            client_options={"allow_http": True},
        )
