"""What can be done to a sealed bag, each with the finding that must tell of it.

One table for every verifier: ours, and a stranger's with openssl alone. A scene is a
bag sealed by a person whom an organisation's root certifies, with the tokens of two
authorities; an attack changes the bag, and ``code`` is what has to be found.
"""

import dataclasses
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import baggery
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from msgspec.structs import replace
from timekeeping import Clockmaker, House, pem

from pipeline.clock import SystemClock
from pipeline.sealing import seal, signature, statement, token
from pipeline.sealing.authority import Stamp
from pipeline.sealing.keys import Identity
from pipeline.sealing.seal import Facts, Signing
from pipeline.sealing.worth import Demand

CLOCK = SystemClock()
IN_A_DAY = timedelta(days=1)
ONE, TWO = "seal-0001.one", "seal-0001.two"
JSON, P7S = "seal-0001.json", "seal-0001.json.p7s"


class AtHand:
    """Authorities without a network between: the clockmakers themselves."""

    def __init__(self, *makers: Clockmaker) -> None:
        self.makers = {one.name: one for one in makers}
        self.names = tuple(self.makers)

    def stamp(self, data, *, names=None, queries=None):
        return tuple(self.one(data, name) for name in names or self.names)

    def one(self, data: bytes, name: str) -> Stamp:
        maker = self.makers[name]
        asked = token.query(data, CLOCK.nonce(16))
        answer = maker.answer(asked)
        told = token.judge(answer, data, asked=asked, authority=maker.authority())
        return Stamp(token=told, query=asked, answer=answer)


def certified(house: House, name: str, **options) -> Identity:
    """A person's key, certified by an organisation."""
    key = ec.generate_private_key(ec.SECP256R1())
    return Identity(key=key, certificate=house.certified(name, key, **options))


@dataclass
class Scene:
    """A sealed bag and all who had a hand in it."""

    folder: Path
    bag: Path
    organisation: House
    signer: Identity
    one: Clockmaker
    two: Clockmaker
    timestamps: int = 2  # by as many authorities

    @property
    def authorities(self):
        return [self.one.authority(), self.two.authority()]

    @property
    def demand(self) -> Demand:
        return Demand(
            seal=True, timestamps=self.timestamps, signer=self.signer.fingerprint.hex
        )

    def seal(self, bag: Path | None = None, signer: Identity | None = None) -> None:
        signing = Signing(
            identity=signer or self.signer,
            authorities=AtHand(self.one, self.two),
            clock=CLOCK,
        )
        seal.seal(bag or self.bag, signing, Facts())

    def get(self, name: str) -> bytes:
        return (self.bag / name).read_bytes()

    def put(self, name: str, data: bytes) -> None:
        (self.bag / name).write_bytes(data)

    def answer(self, maker: Clockmaker, name: str, data: bytes | None = None) -> None:
        """Put another maker's token over the signature in a token's place."""
        asked = token.query(self.get(P7S) if data is None else data, CLOCK.nonce(16))
        answer = maker.answer(asked)
        self.put(f"{name}.tsq", asked)
        self.put(f"{name}.tsr", answer)
        self.put(f"{name}.pem", token.chain_of(answer))

    def unseal(self) -> None:
        for path in self.bag.glob("seal-*"):
            path.unlink()

    def copy(self, folder: Path) -> "Scene":
        """A copy of its own to be spoilt."""
        folder.mkdir(parents=True)
        shutil.copytree(self.bag, folder / self.bag.name)
        return dataclasses.replace(self, folder=folder, bag=folder / self.bag.name)


def scene(folder: Path) -> Scene:
    """Set the scene."""
    organisation = House("An organisation")
    made = Scene(
        folder=folder,
        bag=baggery.sound(folder / "bag"),
        organisation=organisation,
        signer=certified(organisation, "A. Archivist"),
        one=Clockmaker(folder / "one", "one"),
        two=Clockmaker(folder / "two", "two"),
    )
    made.seal()
    (folder / "organisation.pem").write_bytes(pem(organisation.root))
    return made


# ---------------------------------------------------------------------------- attacks


def flip(path: str, place: float = 0.5) -> Callable[[Scene], None]:
    def attack(it: Scene) -> None:
        data = bytearray(it.get(path))
        data[int(len(data) * place)] ^= 1
        it.put(path, bytes(data))

    return attack


def certificate_flipped(it: Scene) -> None:
    """Spoil the signature under the certificate that came with a token."""
    theirs = _der(it.one.certificate)
    spoilt = theirs[:-1] + bytes([theirs[-1] ^ 1])
    it.put(f"{ONE}.tsr", it.get(f"{ONE}.tsr").replace(theirs, spoilt))


def remove(*names: str) -> Callable[[Scene], None]:
    def attack(it: Scene) -> None:
        for name in names:
            (it.bag / name).unlink()

    return attack


def add(path: str) -> Callable[[Scene], None]:
    return lambda it: baggery.put(it.bag, path.encode(), b"slipped in\n")


def rebagged(it: Scene) -> None:
    """Change a payload file and make every manifest anew, so that BagIt is content."""
    made = baggery.sound(
        it.folder / "remade",
        files={**baggery.FILES, b"data/letter.txt": b"another letter\n"},
    )
    for path in made.rglob("*"):
        if path.is_file():
            (it.bag / path.relative_to(made)).write_bytes(path.read_bytes())


def edited(it: Scene) -> None:
    it.put(JSON, it.get(JSON).replace(b"machine only", b"machine alone"))


def disordered(it: Scene) -> None:
    """The same statement to a JSON reader, in other bytes."""
    it.put(JSON, it.get(JSON).replace(b"\n", b""))


def swapped(it: Scene) -> None:
    first, second = it.get(f"{ONE}.tsr"), it.get(f"{TWO}.tsr")
    it.put(f"{ONE}.tsr", second)
    it.put(f"{TWO}.tsr", first)


def swapped_whole(it: Scene) -> None:
    for end in (".tsq", ".tsr", ".pem"):
        first, second = it.get(f"{ONE}{end}"), it.get(f"{TWO}{end}")
        it.put(f"{ONE}{end}", second)
        it.put(f"{TWO}{end}", first)


def twice_the_same(it: Scene) -> None:
    """One authority's word passed off as two."""
    for end in (".tsq", ".tsr", ".pem"):
        it.put(f"{TWO}{end}", it.get(f"{ONE}{end}"))


def about_other_data(it: Scene) -> None:
    it.answer(it.one, ONE, b"other data")


def another_query(it: Scene) -> None:
    it.put(f"{ONE}.tsq", token.query(it.get(P7S), b"another nonce!!!"))


def rejected(it: Scene) -> None:
    """A rejection decodes like an answer, and holds no token."""
    it.put(f"{ONE}.tsr", bytes.fromhex("300b3009020102a304030205a0"))


def resigned(signer: Callable[[Scene], Identity]) -> Callable[[Scene], None]:
    """Seal anew as someone else, with good tokens from the genuine authorities."""

    def attack(it: Scene) -> None:
        it.unseal()
        it.seal(signer=signer(it))

    return attack


def over_the_same_statement(it: Scene) -> None:
    """Another of the organisation signs the statement that names the first."""
    other = certified(it.organisation, "A. Colleague")
    it.put(P7S, signature.sign(it.get(JSON), other, at=datetime.now(UTC)))
    it.answer(it.one, ONE)
    it.answer(it.two, TWO)


def under_the_same_name(it: Scene) -> None:
    """Another's key, with the signer's own certificate put beside it."""
    key = ec.generate_private_key(ec.SECP256R1())
    other = Identity(key=key, certificate=it.signer.certificate)
    it.put(P7S, signature.sign(it.get(JSON), other, at=datetime.now(UTC)))


def _der(certificate) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.DER)


def stranger(_: Scene) -> Identity:
    return certified(House("Nobody"), "A. Archivist")


def colleague(it: Scene) -> Identity:
    return certified(it.organisation, "A. Colleague")


def not_for_signing(it: Scene) -> None:
    """A web server's certificate of the same organisation."""
    it.unseal()
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH]
    it.seal(signer=certified(it.organisation, "www", purposes=purposes))


def forged(it: Scene) -> Clockmaker:
    """An authority of the same name, with a root of its own in every token."""
    house = House("one", is_wide=True)
    return Clockmaker(it.folder / "forged", "one", house=house, embed=pem(house.root))


def foreign_root_in_token(it: Scene) -> None:
    it.answer(forged(it), ONE)


def foreign_root_in_file(it: Scene) -> None:
    """The genuine chain first, a forged root second, a token under the forged one."""
    genuine, maker = it.get(f"{ONE}.pem"), forged(it)
    it.answer(maker, ONE)
    it.put(f"{ONE}.pem", genuine + maker.root.read_bytes())


def root_slipped_in(it: Scene) -> None:
    """A good token, and a forged root for whoever takes the file for roots."""
    it.put(f"{ONE}.pem", it.get(f"{ONE}.pem") + pem(House("one").root))


def of_another_purpose(purposes, *, critical: bool = True) -> Callable[[Scene], None]:
    """A certificate under the authority's genuine root that is no authority's."""

    def attack(it: Scene) -> None:
        house = it.one.house
        maker = Clockmaker(it.folder / "odd", "one", house=house)
        key = ec.generate_private_key(ec.SECP256R1())
        odd = house.certified("one TSA", key, purposes=purposes, critical=critical)
        stamped = it.get(P7S)
        asked = token.query(stamped, CLOCK.nonce(16))
        # openssl will not answer under such a certificate: its token is re-dressed.
        answer = maker.answer(asked)
        answer = answer.replace(_der(maker.certificate), _der(odd))
        it.put(f"{ONE}.tsq", asked)
        it.put(f"{ONE}.tsr", answer)

    return attack


def of_another_bag(it: Scene) -> None:
    """Another bag's seals, all of them and all sound."""
    other = baggery.sound(it.folder / "other", info=b"External-Identifier: other\n")
    it.seal(other)
    it.unseal()
    for path in other.glob("seal-*"):
        it.put(path.name, path.read_bytes())


def first_gone(it: Scene) -> None:
    remove(*(p.name for p in it.bag.glob("seal-0001.*")))(it)


def linked(it: Scene) -> None:
    data = it.get(f"{ONE}.tsr")
    (it.folder / "elsewhere.tsr").write_bytes(data)
    (it.bag / f"{ONE}.tsr").unlink()
    (it.bag / f"{ONE}.tsr").symlink_to(it.folder / "elsewhere.tsr")


def renumbered(it: Scene) -> None:
    for path in list(it.bag.glob("seal-0001.*")):
        path.rename(it.bag / path.name.replace("0001", "0002"))


def fewer_authorities(it: Scene) -> None:
    """The statement is made to name one authority, and the other's token is gone."""
    said = statement.parse(it.get(JSON))
    it.put(JSON, statement.render(replace(said, authorities=("one",))))
    remove(f"{TWO}.tsq", f"{TWO}.tsr", f"{TWO}.pem")(it)


def renewed(folder: Path) -> Scene:
    """A bag with a second seal over the first."""
    made = scene(folder)
    made.seal()
    return made


def expired_signer(folder: Path) -> Scene:
    """A bag whose signer's certificate ends in an hour, and tokens from before."""
    made = scene(folder)
    made.unseal()
    made.signer = certified(made.organisation, "A. Archivist", span=(-1, 1))
    made.seal()
    return made


def expired_unstamped(folder: Path) -> Scene:
    """The same without a timestamp: nobody proves when it was signed."""
    made = expired_signer(folder)
    made.unseal()
    signing = Signing(identity=made.signer, authorities=AtHand(), clock=CLOCK)
    seal.seal(made.bag, signing, Facts())
    return dataclasses.replace(made, timestamps=0)


def expired_authority(folder: Path) -> Scene:
    """A bag with tokens of an authority whose certificate ends in an hour."""
    made = scene(folder)
    made.unseal()
    made.one = Clockmaker(folder / "brief", "one", house=made.one.house, span=(-1, 1))
    made.seal()
    return made


def carried(folder: Path) -> Scene:
    """The same, sealed again by an authority whose certificate lasts."""
    made = expired_authority(folder)
    lasting = Clockmaker(folder / "lasting", "one", house=made.one.house)
    dataclasses.replace(made, one=lasting).seal()
    return made


@dataclass(frozen=True)
class Case:
    """What is done to the bag, and the finding that must tell of it; "" for none."""

    attack: Callable[[Scene], None]
    code: str
    scene: Callable[[Path], Scene] = scene
    age: timedelta = timedelta()  # of the bag when it is verified


def nothing(_: Scene) -> None:
    """Leave the bag as it is."""


CASES = {
    "nothing done": Case(nothing, ""),
    "a byte of the payload flipped": Case(flip("data/letter.txt"), "digest-mismatch"),
    "a byte of a tag file flipped": Case(flip("bag-info.txt"), "tag-digest-mismatch"),
    "a byte of a tag manifest flipped": Case(flip("tagmanifest-sha256.txt"), "seal-subject"),
    "a file added": Case(add("data/added.txt"), "unlisted-file"),
    "a file removed": Case(remove("data/letter.txt"), "missing-file"),
    "a tag file removed": Case(remove("notes/why.txt"), "tag-missing-file"),
    "a tag manifest removed": Case(remove("tagmanifest-sha512.txt"), "seal-subject"),
    "the payload changed and bagged again": Case(rebagged, "seal-subject"),
    "the statement edited": Case(edited, "seal-signature"),
    "the statement in other bytes": Case(disordered, "seal-statement"),
    "the statement naming fewer authorities": Case(fewer_authorities, "seal-signature"),
    "a byte of the statement flipped": Case(flip(JSON), "seal-signature"),
    "a byte of the signature flipped": Case(flip(P7S), "seal-signature"),
    "a byte of a token's signature flipped": Case(flip(f"{ONE}.tsr", 0.99), "seal-token"),
    "a byte of a token's certificate flipped": Case(certificate_flipped, "seal-token"),
    "tokens swapped": Case(swapped, "seal-token"),
    "tokens swapped with all that is theirs": Case(swapped_whole, "seal-token"),
    "one token as two": Case(twice_the_same, "seal-token"),
    "a token over other data": Case(about_other_data, "seal-token"),
    "a token beside another query": Case(another_query, "seal-token"),
    "a rejection for a token": Case(rejected, "seal-token"),
    "the seal removed": Case(lambda it: it.unseal(), "seal-missing"),
    "the statement removed": Case(remove(JSON), "seal-missing"),
    "the signature removed": Case(remove(P7S), "seal-signature"),
    "a token removed": Case(remove(f"{TWO}.tsq", f"{TWO}.tsr", f"{TWO}.pem"), "seal-timestamps"),
    "a query removed": Case(remove(f"{ONE}.tsq"), "seal-token"),
    "certificates removed": Case(remove(f"{ONE}.pem"), "seal-chain"),
    "the key replaced": Case(resigned(stranger), "seal-signer"),
    "signed again by a colleague": Case(resigned(colleague), "seal-signer"),
    "a colleague's signature on the statement": Case(over_the_same_statement, "seal-signer"),
    "another key under the certificate": Case(under_the_same_name, "seal-signature"),
    "a signer's certificate for web servers": Case(not_for_signing, "seal-signature"),
    "a foreign root in the token": Case(foreign_root_in_token, "seal-token"),
    "a forged root second in the file": Case(foreign_root_in_file, "seal-token"),
    "a forged root beside a good token": Case(root_slipped_in, "seal-chain"),
    "a token by a web server": Case(of_another_purpose([ExtendedKeyUsageOID.SERVER_AUTH]), "seal-token"),
    "the seals of another bag": Case(of_another_bag, "seal-subject"),
    "the first of two seals removed": Case(first_gone, "seal-missing", renewed),
    "a token changed after the renewal": Case(lambda it: it.answer(it.one, ONE), "seal-subject", renewed),
    "a link for a token": Case(linked, "seal-file"),
    "a seal under another number": Case(renumbered, "seal-statement"),
    "a stray file among the seals": Case(add("seal-0001.evil.tsr"), "seal-file"),
    "the last of two seals removed": Case(lambda it: remove(*(p.name for p in it.bag.glob("seal-0002.*")))(it), "seal-removed", renewed),
    "sealed a second time": Case(nothing, "", renewed),
    "the signer's certificate ended since": Case(nothing, "", expired_signer, IN_A_DAY),
    "the same, and nobody proves when it was signed": Case(nothing, "seal-expired", expired_unstamped, IN_A_DAY),
    "an authority's certificate ended since": Case(nothing, "seal-expired", expired_authority, IN_A_DAY),
    "the same, and a later seal covers its token": Case(nothing, "", carried, IN_A_DAY),
}  # fmt: skip
