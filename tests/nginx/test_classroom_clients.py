"""The lab's promise holds for clients that we did not write: the printed recipes, run word for word on real nginx."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import subprocess
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from mtlslab.classroom.clients import CLIENTS, find_client, make_recipe
from mtlslab.plan import addresses
from mtlslab.plan.spec import LabSpec
from mtlslab.workspace.directory import Workspace
from mtlslab.workspace.issue import issue_faults

from tests.support.cli import ROOT, mtlslab
from tests.support.recipes import OPTIONAL, PROGRAMS, Lab, missing_for, stand_ins

REQUIRE_CLIENTS = os.environ.get("MTLSLAB_REQUIRE_CLIENTS") == "1"

SERVED_PAGE = "Hello World over mutual TLS!"
NO_CERTIFICATE = "No required SSL certificate was sent"
CERTIFICATE_ERROR = "The SSL certificate error"

# Looks at the CA names in the server's CertificateRequest (RFC 8446 section 4.2.4) and sends nothing that does not fit.
FILTERING = {"java", "go"}


# What is in a PKCS #12 file is decided where it is made; only good credentials are exported by the program itself.
EXPORT = "mtlslab certs export client --password-file clients/client.password"
EXPORT_OTHER_CA = (
    "openssl pkcs12 -export -in certs/faults/other-ca.crt -inkey certs/faults/other-ca.key -name client "
    "-out certs/client.p12 -passout file:clients/client.password"
)

POLICIES = Path("/etc/chromium/policies/managed")
SECTIONS = ["Prepare", "Served", "Without the certificate", "Good to know", "Undo"]
NAMES = [client.name for client in CLIENTS]
SHELL_CLIENTS = [name for name in PROGRAMS if name != "chromium"]


@pytest.fixture(scope="module")
def lab(nginx_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    place = tmp_path_factory.mktemp("clients")
    directory = place / "a student's lab"
    name = f"t-{uuid.uuid4().hex[:10]}"
    options = ("--runtime", "embedded", "--tls-port", "0", "--mtls-port", "0")
    try:
        up = mtlslab("up", *options, "--name", name, "--dir", directory, cwd=place)
        assert up.code == 0, up.err
        issue_faults(Workspace(directory), ["other-ca"])
        yield Lab(place, directory, stand_ins(place))
    finally:
        mtlslab("down", "--name", name, "--dir", directory, cwd=place)


@pytest.fixture
def client(request: pytest.FixtureRequest) -> str:
    """The name of a client that this machine has; a named skip without it, a failure where clients are required."""
    name: str = request.param
    missing = missing_for(name)
    if missing:
        _not_to_be_had(f"the client {name} needs {', '.join(missing)}", optional=name in OPTIONAL)
    return name


def _not_to_be_had(problem: str, *, optional: bool = False) -> None:
    if REQUIRE_CLIENTS and not optional:
        pytest.fail(f"clients are required here: {problem}")
    pytest.skip(problem)


def every(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("client", names, indirect=True)


# --- the recipes, run


@pytest.mark.clients
@every(*SHELL_CLIENTS)
def test_with_the_clients_certificate_it_is_served(lab: Lab, client: str) -> None:
    run = lab.run(client, "Served")
    assert SERVED_PAGE in run.out
    assert run.code == 0


@pytest.mark.clients
@every(*SHELL_CLIENTS)
def test_without_a_certificate_it_is_refused(lab: Lab, client: str) -> None:
    run = lab.run(client, "Without the certificate")
    assert NO_CERTIFICATE in run.out
    assert SERVED_PAGE not in run.out


@pytest.mark.clients
@every(*SHELL_CLIENTS)
def test_with_a_certificate_of_another_ca_it_is_refused(lab: Lab, client: str) -> None:
    """It is sent, and is an error; or the client sees that the server does not ask for it, and sends none."""
    run = lab.paste(_with_other_ca(lab.printed(client)))
    assert (NO_CERTIFICATE if _filters(client) else CERTIFICATE_ERROR) in run.out
    assert SERVED_PAGE not in run.out


def _with_other_ca(recipe: Mapping[str, str]) -> str:
    """The recipe up to the served request, with the credential replaced and nothing else."""
    code = recipe["start"] + recipe.get("Prepare", "") + recipe["Served"]
    if EXPORT in code:
        return code.replace(EXPORT, EXPORT_OTHER_CA)
    assert "certs/client." in code
    return code.replace("certs/client.", "certs/faults/other-ca.")


def _filters(client: str) -> bool:
    if client == "wget":
        return "+ssl/gnutls" in subprocess.run(["wget", "--version"], capture_output=True, text=True, check=True).stdout
    return client in FILTERING


@pytest.fixture
def chromium_policy(lab: Lab) -> Iterator[Path]:
    """The file of the recipe's policy, which is gone after the test, as are the directories made for it.

    One test at a time: of two files with the same policy Chromium heeds one.
    """
    if os.geteuid() != 0:
        _not_to_be_had("a policy for Chromium can be set by root only")
    name = json.loads((lab.directory / "lab.json").read_text())["spec"]["name"]
    file = POLICIES / f"mtlslab-{name}.json"
    made = [directory for directory in (POLICIES, *POLICIES.parents) if not directory.exists()]
    with (Path(tempfile.gettempdir()) / "mtlslab-chromium-policy.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield file
        file.unlink(missing_ok=True)
        for directory in made:
            with contextlib.suppress(OSError):  # somebody else put something there
                directory.rmdir()


@pytest.mark.clients
@every("chromium")
def test_chromium_is_served_with_the_certificate_in_its_store_and_refused_without(
    lab: Lab, client: str, chromium_policy: Path, tmp_path: Path
) -> None:
    home = {"HOME": str(tmp_path)}
    served = lab.run(client, "Served", **home)
    assert SERVED_PAGE in served.out
    assert chromium_policy.exists()

    recipe = lab.printed(client)
    refused = lab.paste(recipe["start"] + recipe["Without the certificate"], **home)
    assert NO_CERTIFICATE in refused.out
    assert SERVED_PAGE not in refused.out

    lab.paste(recipe["start"] + recipe["Undo"], **home)
    assert not chromium_policy.exists()
    store = lab.paste('certutil -d "sql:$HOME/.pki/nssdb" -L', **home)
    assert store.code == 0
    assert " CA" not in store.out


@pytest.mark.clients
@every("chromium")
def test_chromium_with_a_profile_does_not_show_the_page_once_its_certificate_is_gone(
    lab: Lab, client: str, chromium_policy: Path, tmp_path: Path
) -> None:
    """A profile on the disk has a cache; the page must not be in it."""
    # Browsers keep a page of no stated age for a tenth of the time since its last change (RFC 9111, section 4.2.2).
    os.utime(lab.directory / "nginx-mtls/hello-world.txt", (0, 0))
    home = {"HOME": str(tmp_path)}

    def with_profile(code: str) -> str:
        assert "--headless" in code
        return code.replace("--headless", '--headless --user-data-dir="$HOME/profile"')

    recipe = lab.printed(client)
    served = lab.paste(recipe["start"] + recipe["Prepare"] + with_profile(recipe["Served"]), **home)
    assert SERVED_PAGE in served.out
    assert (tmp_path / "profile/Default").is_dir()
    refused = lab.paste(recipe["start"] + with_profile(recipe["Without the certificate"]), **home)
    assert SERVED_PAGE not in refused.out
    assert NO_CERTIFICATE in refused.out


@pytest.mark.clients
@every("chromium")
def test_chromium_with_a_certificate_of_another_ca_is_refused(
    lab: Lab, client: str, chromium_policy: Path, tmp_path: Path
) -> None:
    run = lab.paste(_with_other_ca(lab.printed(client)), HOME=str(tmp_path))
    assert "PKCS12 IMPORT SUCCESSFUL" in run.out
    assert NO_CERTIFICATE in run.out
    assert SERVED_PAGE not in run.out


# --- what the recipes say about their client


@pytest.mark.clients
@every("curl")
def test_curl_calls_a_refusal_a_success_unless_told_otherwise(lab: Lab, client: str) -> None:
    assert lab.run(client, "Without the certificate").code == 0
    recipe = lab.printed(client)
    code = recipe["start"] + recipe["Without the certificate"].rstrip() + " --fail-with-body\n"
    assert lab.paste(code).code == 22


@pytest.mark.clients
@every("wget")
def test_wget_ends_with_8_on_a_refusal(lab: Lab, client: str) -> None:
    assert lab.run(client, "Without the certificate").code == 8


@pytest.mark.clients
@every("node")
@pytest.mark.parametrize(
    ("good", "bad", "code"),
    [
        ("certs/client.key", "certs/server.key", "ERR_OSSL_X509_KEY_VALUES_MISMATCH"),
        ("certs/server-ca.crt", "certs/client-ca.crt", "UNABLE_TO_VERIFY_LEAF_SIGNATURE"),
    ],
)
def test_node_tells_by_its_code_what_is_wrong(lab: Lab, client: str, good: str, bad: str, code: str) -> None:
    recipe = lab.printed(client)
    run = lab.paste(recipe["start"] + (recipe["Prepare"] + recipe["Served"]).replace(good, bad))
    assert code in run.out
    assert run.code == 1


@pytest.mark.clients
@every("python", "requests", "httpx")
def test_python_sees_a_key_that_does_not_match_before_it_connects(lab: Lab, client: str) -> None:
    recipe = lab.printed(client)
    run = lab.paste(recipe["start"] + recipe["Prepare"] + recipe["Served"].replace("client.key", "server.key"))
    assert "KEY_VALUES_MISMATCH" in run.out


# --- the command


def test_every_client_has_a_recipe_and_every_recipe_a_client() -> None:
    files = {path.name.removesuffix(".md.j2") for path in (ROOT / "templates/clients").glob("*.md.j2")}
    assert files == set(NAMES)


def test_a_recipe_is_tested_if_and_only_if_it_says_so() -> None:
    assert set(PROGRAMS) == {client.name for client in CLIENTS if client.tested}


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_says_how_to_be_served_how_not_and_what_to_know(name: str) -> None:
    recipe = make_recipe(find_client(name), LabSpec(), "./mtls-lab")
    title, *others = [section.title for section in recipe.sections]
    assert title == find_client(name).title
    assert others == [one for one in SECTIONS if one in others]
    assert set(SECTIONS[1:4]) <= set(others)
    assert all(section.blocks for section in recipe.sections)
    assert "\n\n\n" not in recipe.text


@pytest.mark.parametrize("name", NAMES)
def test_the_shell_code_of_every_recipe_is_well_formed(name: str) -> None:
    recipe = make_recipe(find_client(name), LabSpec(), "./mtls-lab")
    blocks = [block for section in recipe.sections for block in section.blocks]
    code = "".join(block.text for block in blocks if block.language == "sh")
    assert subprocess.run(["sh", "-n", "-c", code], capture_output=True, check=False).stderr == b""


@pytest.mark.parametrize(
    ("listen", "loopback", "origin"),
    [
        ("127.0.0.1", ["127.0.0.1"], "https://localhost:8889/"),
        ("0.0.0.0", ["::1", "127.0.0.1"], "https://localhost:8889/"),  # noqa: S104  printed, not bound
        ("::", ["::1", "127.0.0.1"], "https://localhost:8889/"),
        ("::", ["127.0.0.1"], "https://[::1]:8889/"),
        ("127.0.0.1", ["::1"], "https://127.0.0.1:8889/"),
        ("192.0.2.7", ["127.0.0.1"], "https://192.0.2.7:8889/"),
        ("2001:db8::7", ["127.0.0.1"], "https://[2001:db8::7]:8889/"),
    ],
)
def test_a_recipe_leads_to_the_address_that_the_lab_listens_on(
    monkeypatch: pytest.MonkeyPatch, listen: str, loopback: list[str], origin: str
) -> None:
    """As localhost only where that name leads there on this machine."""
    monkeypatch.setattr(addresses, "leads_to", lambda address: address in loopback)
    assert origin in make_recipe(find_client("curl"), LabSpec(listen=listen), ".").text


def test_the_list_names_every_client_and_says_which_are_tested(tmp_path: Path) -> None:
    text = mtlslab("clients", cwd=tmp_path)
    assert [line.split()[0] for line in text.out.splitlines()] == NAMES
    assert re.search(r"^windows +words only +Edge", text.out, re.MULTILINE)
    document = json.loads(mtlslab("clients", "-o", "json", cwd=tmp_path).out)
    assert {row["name"]: row["tested"] for row in document["clients"]} == {one.name: one.tested for one in CLIENTS}


def test_without_a_lab_the_recipe_shows_the_defaults_and_says_so(tmp_path: Path) -> None:
    run = mtlslab("clients", "curl", cwd=tmp_path)
    assert run.code == 0
    assert "https://localhost:8889/" in run.out
    assert "cd ./mtls-lab\n" in run.out
    assert "There is no lab in ./mtls-lab yet" in run.err
    assert list(tmp_path.iterdir()) == []


def test_of_a_lab_that_does_not_run_the_recipe_has_its_ports_and_says_so(tmp_path: Path, lab_name: str) -> None:
    options = ("--tls-port", "0", "--mtls-port", "0", "--key-type", "ec-p256", "--client-auth", "optional")
    mtlslab("render", "--name", lab_name, *options, cwd=tmp_path)
    port = json.loads((tmp_path / lab_name / "lab.json").read_text())["spec"]["mtls_port"]
    run = mtlslab("clients", "curl", "--name", lab_name, cwd=tmp_path)
    assert f"https://localhost:{port}/" in run.out
    assert f"Nothing answers on port {port}" in run.err
    assert "client auth is 'optional'" in run.err


def test_programs_get_the_same_code_and_whether_the_lab_answers(lab: Lab) -> None:
    document = json.loads(mtlslab("clients", "java", "-o", "json", "--dir", lab.directory, cwd=lab.place).out)
    assert document["running"] is True
    sections = {one["title"]: one["blocks"] for one in document["sections"]}
    code = "".join(block["text"] for block in sections["Served"] if block["language"] == "sh")
    assert code == lab.printed("java")["Served"]


def test_an_unknown_client_is_bad_input_and_the_known_ones_are_named(tmp_path: Path) -> None:
    run = mtlslab("clients", "telnet", cwd=tmp_path)
    assert run.code == 2
    assert all(name in run.err for name in NAMES)


# --- passwords


# What would show a password to everybody who lists processes (or, for env:, to whoever may read an environment).
PASSWORD_ON_A_COMMAND_LINE = re.compile(
    r"pass(?:word|in|out|wd|phrase)?[= :]+(?:pass|env):\S"  # openssl -passin pass:..., -passout env:...
    r"|--(?:cert|proxy-cert|user|proxy-user)[= ]['\"]?[^\s'\"]*:[^\s/\\]"  # curl's FILE:PASSWORD
    r"|--(?:proxy-|http-|tls-|key-|store-?)?pass(?:word|phrase)?[= ]\S"
    r"|-[DJ][^\s`]*[pP]assword=\S"  # Java's system properties
    r"|-(?:store|key|src|dest|srcstore|deststore)pass(?:word)? +\S"  # keytool, without :file or :env
    r"|\b(?:certutil|pk12util)\b[^\n]*(?: -[WK] ?\S)"
    r"|\bsecurity\b[^\n]*(?: -P ?\S| -p [\"'$])"
    r"|\$\((?:cat|<) ?\S*pass",
)


def test_the_scan_knows_how_passwords_come_onto_command_lines() -> None:
    for bad in (
        "openssl pkcs12 -in a.p12 -passin pass:secret",
        "openssl pkcs12 -in a.p12 -passout env:PW",
        "curl --cert client.p12:secret --cert-type P12",
        "curl --pass secret",
        "java -Djavax.net.ssl.keyStorePassword=secret Client",
        "keytool -list -storepass secret",
        "pk12util -i a.p12 -W secret",
        "security import a.p12 -P secret",
        'security import a.p12 -P "$(cat client.password)"',
        'certutil -K "$(cat client.password)"',
    ):
        assert PASSWORD_ON_A_COMMAND_LINE.search(bad), bad
    for good in (
        "openssl pkcs12 -in a.p12 -passin file:client.password",
        "curl https://localhost:8889/ --cert ./certs/client.crt --key ./certs/client.key",
        "pk12util -i a.p12 -w client.password",
        "mtlslab certs export client --password-file clients/client.password",
    ):
        assert not PASSWORD_ON_A_COMMAND_LINE.search(good), good


@pytest.mark.parametrize("name", NAMES)
def test_no_recipe_has_a_password_on_a_command_line(name: str) -> None:
    """In its code and in its prose: what a recipe mentions in passing is typed, too."""
    text = make_recipe(find_client(name), LabSpec(), "./mtls-lab").text
    assert PASSWORD_ON_A_COMMAND_LINE.search(" ".join(text.replace("\\\n", " ").split("\n"))) is None


def test_no_other_printed_command_has_a_password_on_it() -> None:
    """Every command of the catalogue's pages, hints and help texts: all texts that the package holds."""
    sources = [*(ROOT / "lab").rglob("*.py"), *(ROOT / "templates").rglob("*.j2")]
    for path in [*sources, *(ROOT / "templates").rglob("*.md"), ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        found = PASSWORD_ON_A_COMMAND_LINE.search(path.read_text(encoding="utf-8"))
        assert found is None, (path, found)


@pytest.mark.clients
@every("java")
def test_nobody_sees_the_password_in_a_process_while_a_recipe_runs(lab: Lab, client: str) -> None:
    """The process list, read again and again for as long as the recipe runs, with environments."""
    seen: set[str] = set()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(lab.run, client, "Served")
        while not running.done():
            for process in psutil.Process().children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    seen.update(process.cmdline(), process.environ().values())
    assert SERVED_PAGE in running.result().out
    password = (lab.directory / "clients/client.password").read_text().strip()
    assert len(password) >= 20
    assert {"clients/Client.java", "clients/client.password"} <= seen
    assert not [words for words in seen if password in words]


@pytest.mark.clients
@every("java")
def test_java_takes_the_password_from_a_file_of_options_and_shows_the_file_alone(
    lab: Lab, client: str, tmp_path: Path
) -> None:
    """What the recipe says about programs that cannot be changed."""
    lab.run("java", "Prepare")
    password = (lab.directory / "clients/client.password").read_text().strip()
    (tmp_path / "options").write_text(
        f"-Djavax.net.ssl.keyStore=certs/client.p12\n-Djavax.net.ssl.keyStorePassword={password}\n"
    )
    (tmp_path / "Show.java").write_text(
        'public class Show { public static void main(String[] a) throws Exception {'
        ' System.out.println(System.getProperty("javax.net.ssl.keyStorePassword"));'
        ' System.out.println(java.nio.file.Files.readString(java.nio.file.Path.of("/proc/self/cmdline"))); } }'
    )  # fmt: skip
    shown, command_line = lab.paste(f"java @{tmp_path}/options {tmp_path}/Show.java 2>/dev/null").out.split("\n", 1)
    assert shown == password
    assert f"@{tmp_path}/options" in command_line
    assert password not in command_line


@pytest.mark.clients
@every("curl")
def test_curl_takes_a_pkcs12_file_and_its_password_from_a_file(lab: Lab, client: str, tmp_path: Path) -> None:
    """What the recipe says about the curl of Windows; this curl takes PKCS #12 files, too."""
    lab.paste(lab.printed("java")["start"] + re.findall(r"(?m)^\(umask.*\n.*\n", lab.printed("java")["Prepare"])[0])
    password = (lab.directory / "clients/client.password").read_text().strip()
    (tmp_path / "config").write_text(f'pass = "{password}"\n')
    recipe = lab.printed("curl")
    served = recipe["Served"].replace("--cert certs/client.crt --key certs/client.key", "--cert-type P12")
    run = lab.paste(recipe["start"] + served.rstrip() + f" --cert certs/client.p12 --config {tmp_path}/config\n")
    assert SERVED_PAGE in run.out
