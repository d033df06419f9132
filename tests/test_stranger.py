"""A sealed bag checked with coreutils and openssl alone: the referee of our own check.

The script is a test's, not the one that goes out with a bag. It runs over the same
table of attacks as our verifier, with the same roots and the same signer.
"""

import shutil
import subprocess

import pytest
import sealing_cases
from sealing_cases import CASES

pytestmark = pytest.mark.skipif(
    not shutil.which("openssl"), reason="there is no openssl"
)
SCRIPT = r"""
set -eu
export OPENSSL_CONF=/dev/null LC_ALL=C
for a in 256 512; do
  sha${a}sum --quiet --strict -c tagmanifest-sha$a.txt manifest-sha$a.txt
  h=$(sha${a}sum < tagmanifest-sha$a.txt | cut -d' ' -f1)
  grep -q "\"sha$a\": \"$h\"" seal-0001.json
done
find data -type f | sort > "$W/found"
cut -c67- manifest-sha256.txt | sort | cmp -s - "$W/found"
openssl pkcs7 -inform DER -in seal-0001.json.p7s -print_certs -out "$W/signer.pem"
openssl x509 -in "$W/signer.pem" -noout -fingerprint -sha256 | tr -d : | grep -qi "=$SIGNER\$"
openssl cms -verify -binary -cades -inform DER -content seal-0001.json \
  -in seal-0001.json.p7s -CAfile "$ROOTS/organisation.pem" -out "$W/out"
for name in one two; do
  openssl ts -verify -data seal-0001.json.p7s -in seal-0001.$name.tsr \
    -CAfile "$ROOTS/$name/root.pem" -untrusted seal-0001.$name.pem
  openssl ts -verify -queryfile seal-0001.$name.tsq -in seal-0001.$name.tsr \
    -CAfile "$ROOTS/$name/root.pem" -untrusted seal-0001.$name.pem
done
"""


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return sealing_cases.scene(tmp_path_factory.mktemp("scene"))


def holds(original, it, work) -> bool:
    work.mkdir()
    made = subprocess.run(
        ["sh", "-c", SCRIPT],
        cwd=it.bag,
        env={
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "ROOTS": str(original.folder),
            "SIGNER": original.signer.fingerprint.hex,
            "W": str(work),
        },
        capture_output=True,
        check=False,
    )
    return made.returncode == 0


def test_a_sealed_bag_holds(original, tmp_path):
    assert holds(original, original, tmp_path / "work")


@pytest.mark.parametrize("name", CASES)
def test_a_stranger_finds_what_a_stranger_can(name, original, tmp_path):
    it = original.copy(tmp_path / "copy")
    CASES[name].attack(it)
    assert holds(original, it, tmp_path / "work") is not CASES[name].stranger
