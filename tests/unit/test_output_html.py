"""The HTML report is one file that is complete in itself, safe with hostile values, and readable for everybody."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from mtlslab.handshake import Message, Sender, Transcript
from mtlslab.output.html import render_html
from mtlslab.output.sequence import SERVER_X, lay_out
from mtlslab.plan.visible import visible
from mtlslab.verify.checks import Result
from mtlslab.verify.pictures import Picture
from mtlslab.verify.report import Finding

from tests.support.report_readers import Page
from tests.support.report_values import GOOD, MIXED, other

CLIENT, SERVER = Sender.CLIENT, Sender.SERVER
HELLO = Message(CLIENT, "ClientHello", 238, False, {"server name": "localhost", "versions": "TLS 1.3, TLS 1.2"})
EMPTY = Message(CLIENT, "Certificate", 8, True, {"certificate": "empty: no certificate"})
REQUEST = Message(CLIENT, "ApplicationData", 88, True, {"http": "GET /hello-world.txt HTTP/1.1"})
REFUSAL = Message(
    SERVER,
    "ApplicationData",
    416,
    True,
    {"http": "HTTP/1.1 400 Bad Request", "status": "400", "page": "400 No required SSL certificate was sent"},
)
PAGE = Message(SERVER, "ApplicationData", 507, True, {"http": "HTTP/1.1 200 OK", "status": "200", "page": "Hello"})
ALERT = Message(SERVER, "Alert", 2, True, {"level": "fatal", "description": "decrypt_error"})
URL = "https://localhost:8889/hello-world.txt"
PICTURES = tuple(
    Picture(name, f"A client: {name}", "A lesson.", Transcript(URL, "1.3", "TLS_AES_256_GCM_SHA384", messages))
    for name, messages in (
        ("authorised-client", (HELLO, REQUEST, PAGE)),
        ("no-certificate", (HELLO, EMPTY, REQUEST, REFUSAL)),
        ("stolen-certificate", (HELLO, ALERT)),
    )
)
HOSTILE = (
    "</title></style></svg></pre><script>alert(1)</script><img src=x onerror=alert(2)>\"' onload='alert(3) {{ 7*7 }}"
)


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(render_html(MIXED, PICTURES))


def test_the_verdict_is_the_sentence_of_all_formats(page: Page) -> None:
    assert MIXED.closing_sentence in page.words


@pytest.mark.parametrize("finding", MIXED.findings, ids=lambda finding: finding.id)
def test_everything_about_a_check_is_told(page: Page, finding: Finding) -> None:
    for text in (finding.title, finding.reason, finding.why, finding.hint, finding.family, *finding.command):
        assert " ".join(visible(text).split()) in page.words
    assert finding.id in {attributes.get("id") for attributes in page.all("section")}


def test_every_link_leads_to_a_place_in_the_file(page: Page) -> None:
    ids = Counter(attributes["id"] for _, attributes in page.elements if "id" in attributes)
    assert set(ids.values()) == {1}
    links = [attributes["href"] for attributes in page.all("a")]
    assert len(links) >= len(MIXED.findings)
    assert {link.removeprefix("#") for link in links} <= ids.keys()
    for _, attributes in page.elements:
        assert set(attributes.get("aria-labelledby", "").split()) <= ids.keys()


def test_nothing_is_loaded_from_anywhere(page: Page) -> None:
    """No script, no picture, no font, no style sheet beside the file itself; and a policy that forbids them."""
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "link", "img", "iframe", "object", "embed", "base", "form", "use", "image"}
    for _, attributes in page.elements:
        assert not {name for name in attributes if name.startswith("on") or name in ("src", "srcset", "style")}
    style = render_html(GOOD).partition("<style>")[2].partition("</style>")[0]
    assert not re.search(r"url\(|@import|expression", style)
    policies = [m["content"] for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy"]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"]


def test_hostile_values_stay_text() -> None:
    finding = other(
        "hostile",
        Result.FAIL,
        HOSTILE,
        **dict.fromkeys(("title", "category", "service", "severity", "why", "hint"), HOSTILE),
        expected={HOSTILE: HOSTILE},
        observed={HOSTILE: {HOSTILE: [HOSTILE]}, "answer": HOSTILE},
        command=(HOSTILE,),
    )
    report = dataclasses.replace(GOOD, lab=HOSTILE, runtime=HOSTILE, findings=(finding,))
    message = Message(SERVER, HOSTILE, 1, False, {HOSTILE: HOSTILE})
    request = Message(CLIENT, "ApplicationData", 1, False, {"http": HOSTILE})
    transcript = Transcript(HOSTILE, HOSTILE, HOSTILE, (message, request), HOSTILE)
    text = render_html(report, (Picture("hostile-picture", HOSTILE, HOSTILE, transcript),))
    attacked, usual = Page(text), Page(render_html(MIXED, PICTURES))
    assert {tag for tag, _ in attacked.elements} <= {tag for tag, _ in usual.elements}
    assert not [name for _, attributes in attacked.elements for name in attributes if name.startswith("on")]
    assert "<script" not in text
    assert "49" not in attacked.words, "a value was taken for a template"
    assert attacked.words.count("<script>alert(1)</script>") > 10


def test_no_mark_stands_without_its_word(page: Page) -> None:
    """Neither colour nor a sign alone tells a result."""
    hidden = [attributes for attributes in page.all("span") if "aria-hidden" in attributes]
    words = re.findall(r'<span aria-hidden="true">[^<\w]</span> ([\w ]+)</', render_html(MIXED, PICTURES))
    assert len(words) == len(hidden) > 2 * len(MIXED.findings)
    assert {"pass", "fail", "warning", "skipped", "could not tell"} == set(words) - {"It does not hold"}


def test_tables_have_headers_and_the_page_a_language(page: Page) -> None:
    assert page.all("html") == [{"lang": "en"}]
    assert all("scope" in attributes for attributes in page.all("th"))
    assert {attributes["scope"] for attributes in page.all("th")} == {"col", "row", "rowgroup"}


def test_each_picture_is_told_in_words_as_well(page: Page) -> None:
    pictures = page.all("svg")
    assert len(pictures) == 3
    assert all(attributes["role"] == "img" and attributes["aria-labelledby"] for attributes in pictures)
    assert len(page.all("desc")) == 3
    assert "1. client -> server: ClientHello, 238 bytes, in the clear; 2. server -> client: Alert" in page.words


def test_each_picture_marks_the_message_that_decides(page: Page) -> None:
    assert [attributes["class"] for attributes in page.all("rect")].count("decisive") == 3
    assert page.words.count("this decides") == 3


def test_a_category_has_one_heading_wherever_its_checks_stand() -> None:
    first, second = (other(name, Result.PASS, "Yes.", category="first") for name in ("one", "three"))
    between = other("two", Result.PASS, "Yes.", category="second")
    text = render_html(dataclasses.replace(GOOD, findings=(first, between, second)))
    assert text.count('colspan="2">first</th>') == 1
    assert text.index('href="#three"') < text.index('href="#two"')


def test_what_needs_a_look_is_open_already() -> None:
    assert [attributes for attributes in Page(render_html(GOOD)).all("details") if "open" in attributes] == []
    opened = [attributes for attributes in Page(render_html(MIXED)).all("details") if "open" in attributes]
    assert len(opened) == 3  # of four: inconclusive, failed and skipped together, warned


def test_without_pictures_there_is_no_section_for_them() -> None:
    assert "handshakes" not in render_html(GOOD)


def test_rows_follow_each_other_and_long_words_stay_inside() -> None:
    request = Message(CLIENT, "ApplicationData", 9, True, {"http": "GET /" + "x" * 500, "page": "y" * 500})
    diagram = lay_out(Transcript(URL, messages=(HELLO, request, REFUSAL)))
    for above, below in zip(diagram.rows, diagram.rows[1:], strict=False):
        assert above.top + above.height == below.top
    assert all(len(row.label) <= 44 and len(row.lines) <= 4 for row in diagram.rows)
    assert all(len(line) <= 80 for row in diagram.rows for _, line in row.lines)
    assert diagram.rows[-1].start_x == SERVER_X
    assert diagram.height > diagram.bottom


def luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    parts = (int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5))
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def palettes() -> Iterator[dict[str, str]]:
    style = render_html(GOOD).partition("<style>")[2].partition("</style>")[0]
    for block in re.findall(r":root \{(.*?)\}", style, re.DOTALL):
        yield dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", block))


@pytest.mark.parametrize("colours", list(palettes()), ids=["light", "dark", "print"])
def test_text_has_enough_contrast_on_every_ground(colours: dict[str, str]) -> None:
    """WCAG 2.2 level AA: 4.5 to 1."""
    inks = ("text", "soft", "link", "pass", "fail", "warn", "skip", "inconclusive")
    pairs = [(ink, ground) for ink in inks for ground in ("page", "panel")]
    pairs += [(ink, ground) for ink in ("text", "soft") for ground in ("sealed", "decisive")]
    for ink, ground in pairs:
        bright, dark = sorted((luminance(colours[ink]), luminance(colours[ground])), reverse=True)
        assert (bright + 0.05) / (dark + 0.05) >= 4.5, f"{ink} on {ground}"


@pytest.fixture(scope="session")
def chromium() -> str:
    """A real browser; a named skip without one, a failure where one is required."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if not found and os.environ.get("MTLSLAB_REQUIRE_CLIENTS") == "1":
        pytest.fail("chromium is required here")
    if not found:
        pytest.skip("no chromium")
    return found


@dataclasses.dataclass
class Visit:
    """What a browser made of a page: its document, its complaints, and what it tried to load."""

    document: str
    console: list[str]
    requests: list[str]


def visit(chromium: str, directory: Path, text: str, *more: str) -> Visit:
    file, log = directory / "report.html", directory / "net-log.json"
    file.write_text(text, encoding="utf-8")
    options = [
        *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
        *("--disable-component-update", "--disable-default-apps", "--disable-sync", "--disable-dev-shm-usage"),
        *("--host-resolver-rules=MAP * ~NOTFOUND", "--enable-logging=stderr", "--v=0"),
        *(f"--user-data-dir={directory / 'profile'}", f"--log-net-log={log}", *more, "--dump-dom", file.as_uri()),
    ]
    done = subprocess.run([chromium, *options], capture_output=True, text=True, timeout=120, check=True)
    return Visit(done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line], list(requested(log)))


def requested(log: Path) -> Iterator[str]:
    """Addresses that the page tried to load, from the browser's own log."""
    for event in json.loads(log.read_text())["events"]:
        parameters = event.get("params", {})
        # What the browser asks for on its own account (time, updates) is initiated by "not an origin"; nothing of it
        # leaves the machine, because no name is resolved.
        if parameters.get("initiator", "not an origin") != "not an origin":
            yield parameters["url"]


@pytest.mark.clients
def test_a_browser_neither_complains_nor_loads_anything(chromium: str, tmp_path: Path) -> None:
    """Nor does it run what a hostile server has sent in: the document has the elements that we wrote."""
    finding = other("hostile", Result.FAIL, HOSTILE, title=HOSTILE, observed={"client_subject": HOSTILE})
    report = dataclasses.replace(MIXED, findings=(*MIXED.findings, finding))
    seen = visit(chromium, tmp_path, render_html(report, PICTURES))
    assert seen.console == []
    assert seen.requests == []
    tags = Counter(re.findall(r"<(svg|script|img)\b", seen.document))
    assert tags == {"svg": 3}


@pytest.mark.clients
def test_the_browser_would_tell_of_a_request_and_of_a_complaint(chromium: str, tmp_path: Path) -> None:
    """The control of the test above: what it looks for does show when it is there."""
    text = render_html(GOOD).replace("</body>", "<script>console.error('seen')</script></body>")
    assert any("Content Security Policy" in line for line in visit(chromium, tmp_path, text).console)
    loose = re.sub(r"<meta http-equiv[^>]*>", "", text)
    seen = visit(chromium, tmp_path, loose.replace("</body>", "<img src='http://elsewhere.test/x.png'></body>"))
    assert any("seen" in line for line in seen.console)
    assert seen.requests == ["http://elsewhere.test/x.png"]


@pytest.mark.clients
def test_on_a_narrow_screen_pictures_are_scrolled_and_on_paper_it_is_six_pages_at_most(
    chromium: str, tmp_path: Path
) -> None:
    """A picture that shrinks to a telephone's width is read by nobody; a hundred pages are printed by nobody."""
    many = tuple(
        other(f"check-{number}", Result.FAIL if number % 2 else Result.PASS, "It is not as it should be. " * 3)
        for number in range(300)
    )
    text = render_html(dataclasses.replace(MIXED, findings=(*MIXED.findings, *many)), PICTURES)
    measured = (
        "<script>onload = () => { const width = (name) => document.querySelector(name).getBoundingClientRect().width;"
        "const root = document.documentElement;"
        "document.title = [root.scrollWidth - root.clientWidth, width('.sequence') >= 700, width('.picture') < 600] }"
        "</script>"
    )
    loose = re.sub(r"<meta http-equiv[^>]*>", "", text).replace("</body>", f"{measured}</body>")
    assert "<title>0,true,true</title>" in visit(chromium, tmp_path, loose, "--window-size=390,844").document
    paper = tmp_path / "report.pdf"
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage")
    (tmp_path / "report.html").write_text(text, encoding="utf-8")
    print_it = (f"--user-data-dir={tmp_path / 'profile'}", f"--print-to-pdf={paper}")
    page = (tmp_path / "report.html").as_uri()
    subprocess.run([chromium, *options, *print_it, page], capture_output=True, timeout=120, check=True)
    assert 2 <= len(re.findall(rb"/Type\s*/Page\b(?!s)", paper.read_bytes())) <= 6
