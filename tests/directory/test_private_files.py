"""No process of the axis starts with a private key that others than its owner may read."""

from __future__ import annotations

from pathlib import Path

import pytest

from axis.bootstrap.parts import open_axis
from axis.core.errors import SettingsError
from axis.settings import read_settings


async def test_a_key_that_others_may_read_stops_the_start(tmp_path: Path) -> None:
    """Receipts, checkpoints, TLS: the message names the file and never quotes it; mended, it starts."""
    key, certificate = tmp_path / "tls.key", tmp_path / "tls.pem"
    key.write_text("secret")
    key.chmod(0o600)
    certificate.touch()
    settings = read_settings(
        {
            "AXIS_HOME": str(tmp_path / "home"),
            "AXIS_HTTP_CERT": str(certificate),
            "AXIS_HTTP_KEY": str(key),
            "AXIS_LANG": "en",
        }
    )
    async with open_axis(settings, may_create=True):
        pass
    said = []
    for path in (settings.keys / "receipts.key", settings.keys / "log.key", key):
        path.chmod(0o640)
        with pytest.raises(SettingsError) as refused:
            async with open_axis(settings):
                pass
        path.chmod(0o600)
        said.append(str(refused.value))

    async with open_axis(settings):
        pass
    assert [
        name in text for name, text in zip(("receipts.key", "log.key", "tls.key"), said, strict=True)
    ] == [True] * 3
    assert "secret" not in "".join(said)
