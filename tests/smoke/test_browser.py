"""The page of a finished smoke run in a real browser, with every source and figure in it."""

import json
from pathlib import Path

import pytest

pytestmark = pytest.mark.smoke

SHOTS = Path(".cache", "screenshots").absolute()


@pytest.fixture
def page(browser, smoke_tree):
    browser.open((smoke_tree / "reports/smoke/comparison.html").as_uri())
    return browser


@pytest.mark.alone
def test_it_loads_quickly_without_a_complaint_and_asks_nobody(page, smoke_tree):
    file = smoke_tree / "reports/smoke/comparison.html"
    assert page.complaints() == []
    assert {url for url in page.requests() if not url.startswith("data:image/")} == {file.as_uri()}
    assert file.stat().st_size < 15e6
    painted = page.run("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    assert painted < 2000  # ms


def test_every_link_leads_somewhere(page, smoke_tree):
    links = page.run("[...document.querySelectorAll('a')].map(a => a.getAttribute('href'))")
    inner = {link[1:] for link in links if link.startswith("#")}
    ids = set(page.run("[...document.querySelectorAll('[id]')].map(e => e.id)"))
    assert inner <= ids
    outer = {link for link in links if not link.startswith("#")}
    assert outer
    assert not [link for link in outer if not (smoke_tree / "reports/smoke" / link).exists()]
    verdicts = json.loads((smoke_tree / "results/smoke/verdicts.json").read_text())
    claims = {claim["id"] for source in verdicts["sources"] for claim in source["claims"]}
    assert {f"claim-{claim}" for claim in claims} <= inner & ids


def test_every_figure_is_seen_and_described(page):
    figures = page.run(
        "Promise.all([...document.images].map(i => i.decode().then(() =>"
        " [i.closest('figure').id, i.naturalWidth, i.clientWidth, i.clientHeight, i.alt])))"
    )
    assert {"fig-networks_operations", "fig-networks_time"} <= {figure[0] for figure in figures}
    for name, natural, width, height, alt in figures:
        assert natural > 300 and width > 100 and height > 50 and alt, name


def test_every_table_sorts_and_the_filter_finds(page):
    heads = "document.querySelectorAll('table.sortable thead button')"
    rows = "document.querySelectorAll('table.sortable tbody tr').length"
    before = page.run(rows)
    page.run(f"{heads}.forEach(b => b.click())")
    assert page.run(rows) == before
    assert page.run("document.querySelectorAll('[aria-sort]').length") == page.run(
        "document.querySelectorAll('table.sortable').length"
    )
    page.run(
        "{const e = document.querySelector('.claimfilter input'); e.value = 'snn_mnist.accuracy';"
        "e.dispatchEvent(new Event('input', {bubbles: true}))}"
    )
    assert page.run("document.querySelectorAll('tr.claim:not([hidden])').length") >= 1
    assert page.complaints() == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_it_fits_the_screen(page, width, dark):
    page.resize(width, 900, dark)
    page.run("Promise.all([...document.images].map(i => i.decode()))")
    assert page.run("document.documentElement.scrollWidth") <= width
    SHOTS.mkdir(parents=True, exist_ok=True)
    shot = SHOTS / f"smoke-{width}-{'dark' if dark else 'light'}.png"
    shot.write_bytes(page.screenshot())
