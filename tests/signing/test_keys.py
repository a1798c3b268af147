"""Private keys: on disk for their owner alone, on a token for nobody; never in a text."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from signing.algorithms import SignatureMethod
from signing.errors import MaterialError
from signing.keys import KeySigner, open_signer
from signing.pkcs11 import KeyURI, TokenSigner
from signing.reasons import Tier
from signing.sign import sign, sign_file
from tests.signing.builders import SIGNED_AT, a_document, chain_of, ministry, verdict

PIN = "735241"


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    return ministry().write(tmp_path, "ministry")[0]


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o602, 0o601, 0o660])
def test_a_key_that_others_may_touch_is_refused(mode: int, key_file: Path) -> None:
    """Reading, writing, executing: none of it is theirs."""
    key_file.chmod(mode)

    with pytest.raises(MaterialError, match=r"key\.permissions"):
        KeySigner.from_file(key_file)


def test_a_link_is_judged_by_what_it_points_to(key_file: Path, tmp_path: Path) -> None:
    """The name may be private and the key not."""
    link = tmp_path / "link.pem"
    link.symlink_to(key_file)
    key_file.chmod(0o644)

    with pytest.raises(MaterialError, match=r"key\.permissions"):
        KeySigner.from_file(link)


def test_a_passphrase_opens_a_key(tmp_path: Path) -> None:
    """And nothing else does; no error quotes key or passphrase."""
    path = tmp_path / "key.pem"
    path.touch(mode=0o600)
    path.write_bytes(
        ministry().key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"right"))
    )

    assert KeySigner.from_file(path, passphrase=b"right").sign(b"x")
    for passphrase in (None, b"wrong-one"):
        with pytest.raises(MaterialError, match=r"key\.unreadable") as raised:
            KeySigner.from_file(path, passphrase=passphrase)
        assert "wrong-one" not in str(raised.value)
        assert raised.value.__cause__ is None


@pytest.mark.parametrize(
    ("key", "cause"),
    [
        (rsa.generate_private_key(public_exponent=65537, key_size=1024), "key.kind"),
        (ec.generate_private_key(ec.SECP256R1()), "key.kind"),
        (None, "key.unreadable"),
    ],
)
def test_other_keys_are_refused(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | None, cause: str, tmp_path: Path
) -> None:
    """Too short, another kind, no key at all."""
    path = tmp_path / "key.pem"
    path.touch(mode=0o600)
    pem = b"nothing" if key is None else key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(pem)

    with pytest.raises(MaterialError) as raised:
        KeySigner.from_file(path)

    assert raised.value.cause == cause


def test_a_signer_shows_nothing_of_its_key(key_file: Path) -> None:
    """Not by repr, not by its attributes' names, not by pickling."""
    signer = KeySigner.from_file(key_file)

    assert repr(signer) == "KeySigner(RSA_SHA256)"
    assert not hasattr(signer, "__dict__")


# Tokens.


@pytest.fixture(scope="session")
def token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A token of softhsm2 with the ministry's key, imported so that it cannot be read again."""
    folder = tmp_path_factory.mktemp("hsm")
    (folder / "tokens").mkdir()
    (folder / "softhsm2.conf").write_text(
        f"directories.tokendir = {folder}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n"
    )
    environment = pytest.MonkeyPatch()
    environment.setenv("SOFTHSM2_CONF", str(folder / "softhsm2.conf"))
    key = folder / "import.pem"
    key.write_bytes(ministry().key_pem)
    tool = ["softhsm2-util", "--token", "axis", "--pin", PIN]
    for command in (
        ["softhsm2-util", "--init-token", "--free", "--label", "axis", "--so-pin", "9999", "--pin", PIN],
        [*tool, "--import", str(key), "--label", "seal", "--id", "a1"],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    pin = folder / "pin"
    pin.touch(mode=0o600)
    pin.write_text(PIN + "\n")
    yield folder
    environment.undo()


def module() -> str:
    places = [
        "/usr/lib/softhsm/libsofthsm2.so",
        "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
        "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
        "/usr/lib64/libsofthsm2.so",
        "/usr/local/lib/softhsm/libsofthsm2.so",
        "/opt/homebrew/lib/softhsm/libsofthsm2.so",
    ]
    found = [place for place in places if Path(place).exists()]
    assert found, "these tests need softhsm2 (Debian: apt-get install softhsm2)"
    return found[0]


@pytest.fixture
def signers() -> Iterator[Callable[..., TokenSigner]]:
    """Opens signers and closes them, so that the next test begins without the PIN."""
    opened: list[TokenSigner] = []

    def opener(name: str, *, method: SignatureMethod = SignatureMethod.RSA_SHA256) -> TokenSigner:
        signer = open_signer(name, method=method)
        assert isinstance(signer, TokenSigner)
        opened.append(signer)
        return signer

    yield opener
    for signer in opened:
        signer.close()


def uri(folder: Path, key: str = "object=seal") -> str:
    return f"pkcs11:token=axis;{key}?module-path={module()}&pin-source=file:{folder}/pin"


@pytest.mark.parametrize("key", ["object=seal", "id=%a1", "object=seal;id=%A1"])
def test_a_key_on_a_token_signs_what_everybody_accepts(
    key: str, token: Path, signers: Callable[..., TokenSigner]
) -> None:
    """Found by label, by id, by both."""
    signer = signers(uri(token, key))

    message = sign(a_document(), signer=signer, chain=chain_of(ministry()), signing_time=SIGNED_AT)

    assert verdict(message).tier is Tier.PASSED


@pytest.mark.parametrize("method", list(SignatureMethod))
def test_a_token_makes_every_kind_of_signature(
    method: SignatureMethod, token: Path, signers: Callable[..., TokenSigner]
) -> None:
    """The hash is computed on the token too."""
    signer = signers(uri(token), method=method)

    message = sign(a_document(), signer=signer, chain=chain_of(ministry()), signing_time=SIGNED_AT)

    assert verdict(message).tier is Tier.PASSED
    assert method.value.encode() in message


def test_a_file_is_signed_by_a_token(token: Path, tmp_path: Path) -> None:
    """`axis sign --key pkcs11:…`."""
    _, chain = ministry().write(tmp_path, "ministry")
    path = tmp_path / "a.edxml"
    path.write_bytes(a_document())
    unsigned = tmp_path / "b.edxml"
    unsigned.write_bytes(a_document())

    sign_file(path, key=uri(token), certificate=chain, out=path, signing_time=SIGNED_AT)
    sign_file(unsigned, key=uri(token), certificate=chain, out=unsigned, signing_time=SIGNED_AT)

    assert verdict(path.read_bytes()).tier is Tier.PASSED


def test_what_is_wrong_with_a_token_is_said_without_the_pin(token: Path, tmp_path: Path) -> None:
    """Library, token, key, PIN: each in a word."""
    wrong = tmp_path / "pin"
    wrong.touch(mode=0o600)
    wrong.write_text("000000")
    good = uri(token)
    cases = {
        "NoSuchToken": good.replace("token=axis", "token=other"),
        "NoSuchKey": good.replace("object=seal", "object=none"),
        "PinIncorrect": good.replace(f"file:{token}/pin", f"file:{wrong}"),
        "hsm.unusable": good.replace(module(), "/nonexistent.so"),
    }

    said = {}
    for name, bad in cases.items():
        with pytest.raises(MaterialError) as raised:
            open_signer(bad)
        said[name] = str(raised.value)

    assert [name for name, text in said.items() if name not in text] == []
    assert [text for text in said.values() if PIN in text or "000000" in text] == []


def test_a_pin_that_others_can_read_is_refused(token: Path) -> None:
    """It is worth as much as the key."""
    (token / "pin").chmod(0o644)
    try:
        with pytest.raises(MaterialError, match=r"key\.permissions"):
            open_signer(uri(token))
    finally:
        (token / "pin").chmod(0o600)


@pytest.mark.parametrize(
    "bad",
    [
        "pkcs11:",
        "pkcs11:token=axis",
        "pkcs11:token=axis?module-path=/x",
        "pkcs11:object=seal?module-path=/x",
        "pkcs11:token=axis;object=seal?module-path=/x&pin-value=1234",
    ],
)
def test_a_uri_names_a_key_and_holds_no_pin(bad: str) -> None:
    """What stands in a setting is shown to many."""
    with pytest.raises(MaterialError, match=r"hsm\.uri") as raised:
        KeyURI.parse(bad)

    assert "1234" not in str(raised.value)


def test_a_closed_session_says_so(token: Path) -> None:
    """A token that goes away is a fault of ours, with our own error."""
    signer = TokenSigner(KeyURI.parse(uri(token)))
    signer.close()

    with pytest.raises(MaterialError, match="hsm"):
        signer.sign(b"x")


def test_a_session_is_not_used_by_another_process(
    token: Path, monkeypatch: pytest.MonkeyPatch, signers: Callable[..., TokenSigner]
) -> None:
    """After a fork the library would answer for the parent, or crash."""
    signer = signers(uri(token))
    monkeypatch.setattr("signing.pkcs11.os.getpid", lambda: -1)

    with pytest.raises(MaterialError, match=r"hsm\.forked"):
        signer.sign(b"x")


def test_two_signers_of_one_process_share_the_log_in(
    token: Path, signers: Callable[..., TokenSigner]
) -> None:
    """PKCS#11 knows the PIN once a process, not once a session."""
    both = [signers(uri(token)), signers(uri(token))]

    assert both[0].sign(b"x") == both[1].sign(b"x")


def test_a_token_is_quick_enough_for_batches(token: Path, signers: Callable[..., TokenSigner]) -> None:
    """A few milliseconds a signature: receipts are signed by the batch, so that is no limit."""
    signer = signers(uri(token))
    started = time.perf_counter()

    for _ in range(20):
        signer.sign(b"x" * 400)

    assert (time.perf_counter() - started) / 20 < 0.05


def test_a_short_key_on_a_token_is_refused(token: Path) -> None:
    """As one in a file is."""
    short = token / "short.pem"
    key = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    short.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    tool = ["softhsm2-util", "--token", "axis", "--pin", PIN, "--import", str(short), "--label", "short"]
    done = subprocess.run([*tool, "--id", "b2"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

    with pytest.raises(MaterialError, match=r"key\.kind"):
        open_signer(uri(token, "object=short"))


def test_a_token_shows_nothing_of_its_key(token: Path, signers: Callable[..., TokenSigner]) -> None:
    """Nor of its PIN."""
    assert repr(signers(uri(token))) == "TokenSigner(RSA_SHA256)"


def test_without_the_library_the_remedy_is_named(token: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an extra that most installations do not need."""
    monkeypatch.setitem(sys.modules, "pkcs11", None)

    with pytest.raises(MaterialError, match=r"hsm\.not_installed.*axis-exchange\[hsm\]"):
        open_signer(uri(token))
