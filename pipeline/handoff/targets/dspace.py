"""DSpace, over a folder that imports are taken from.

The bags of a transfer are delivered as one zip in the Simple Archive Format, read back
and hashed in the folder. What DSpace makes of it is its own: the receipt binds what
was delivered, and says so.
"""

import shutil
import zipfile
from pathlib import Path

from msgspec.structs import replace

from pipeline.errors import StorageError
from pipeline.handoff import labels, saf
from pipeline.handoff.consignment import Consignment, Layout, name_of
from pipeline.handoff.copies import Copies, bring, unpack
from pipeline.handoff.target import DepositError
from pipeline.model import Finding, Receipt

LAYOUT = "saf"


class Dspace:
    """A target that takes Simple Archive Format."""

    def __init__(self, drop: Copies) -> None:
        self.name = drop.name
        self._drop = drop
        self.preflight, self.close = drop.preflight, drop.close

    def deposit(self, consignment: Consignment) -> Receipt:
        """Deliver all bags as one zip."""
        tars = consignment.items(Layout.TAR)
        entries = [
            saf.Entry(bag=bag.id, tar=tar, labels=labels.read(bag.path))
            for bag, tar in zip(consignment.bags, tars, strict=True)
        ]
        whole = saf.archive(f"{consignment.bags[0].id}{saf.SUFFIX}", entries)
        receipt = self._drop.keep(consignment, (whole,), (whole.path,))
        return replace(receipt, layout=LAYOUT, transforms=True)

    def verify(self, receipt: Receipt) -> tuple[Finding, ...]:
        """Hash what was delivered, as long as it stands there."""
        return self._drop.verify(receipt)

    def fetch(self, receipt: Receipt, bag: str, into: Path) -> Path:
        """Bring one bag back out of the zip."""
        came = into / f".{bag}.part"
        numbers = {one.bag: n for n, one in enumerate(receipt.bags, start=1)}
        if bag not in numbers:
            raise DepositError(
                f"{bag}: receipt {receipt.nonce} of {receipt.target} is of no such bag"
            )
        tar = name_of(bag, Layout.TAR)
        try:
            came.mkdir()
            whole = bring(self._drop.place, receipt.received[0], came)
            with zipfile.ZipFile(whole) as file:
                file.extract(f"{saf.folder(numbers[bag])}/{tar}", came)
            unpack(came / saf.folder(numbers[bag]) / tar, came)
            (came / bag).rename(into / bag)
        except OSError as error:
            raise StorageError.at(error.filename or came, error) from error
        finally:
            shutil.rmtree(came, ignore_errors=True)
        return into / bag
