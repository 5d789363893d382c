"""A value of a Secret is read by its three names, and is shown nowhere else."""

from __future__ import annotations

import base64

import pytest

from remediator.adapters.kubernetes.access import ClusterAccess
from remediator.adapters.kubernetes.client import KubeClient
from remediator.adapters.kubernetes.secrets import Secret, secret_value
from remediator.model.errors import ClusterError
from remediator.sandbox.resources import SECRETS
from remediator.sandbox.server import SandboxServer
from tests.flow.rig import token_file


async def test_one_value_of_a_secret() -> None:
    """Decoded, without the line's end; what is missing, misnamed or no text is told without the value."""
    sandbox = SandboxServer()
    url = await sandbox.start()
    sandbox.add_namespace("backstage")
    data = {"password": base64.b64encode(b"s3same\n").decode(), "blob": base64.b64encode(b"\xff\xfe").decode()}
    made = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db", "namespace": "backstage"}, "data": data}
    sandbox.store.create(SECRETS, made)
    try:
        with token_file(sandbox.admin_token) as token:
            client = await KubeClient.connect(ClusterAccess(url=url, token_file=token))
            assert await secret_value(client, "backstage", "db", "password") == "s3same"
            for namespace, name, key in (
                ("backstage", "db", "user"),
                ("backstage", "db", "blob"),
                ("backstage", "other", "password"),
                ("../x", "db", "password"),
            ):
                with pytest.raises(ClusterError) as caught:
                    await secret_value(client, namespace, name, key)
                assert "s3same" not in str(caught.value)
            await client.close()
    finally:
        await sandbox.stop()
    assert "s3same" not in repr(Secret(data={"password": "s3same"}))
