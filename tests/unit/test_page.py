"""The page in a real browser: it loads nothing, sorts, filters, compares, and runs no foreign text.

Screenshots at desktop and phone width, light and dark, are left in .cache/screenshots to look at.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import test_cost
import test_report
from PIL import Image

from respike.report import networks, render
from respike.runs.result import Network

SHOTS = Path(".cache", "screenshots").absolute()
SEEDS, N_TEST = 3, 400
SHARES = {"good": 0.95, "fair": 0.9, "equal": 0.9, "poor": 0.5}  # accuracy of each toy network

tree = test_report.tree  # the fixture


def toy_groups():
    """Return networks of known accuracy, and the runs behind them."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, N_TEST).astype(np.uint8)
    runs, arrays = {}, {}
    for name, share in SHARES.items():
        network = Network(
            name=f"784-{name}-10{test_report.HOSTILE}", data_set="mnist", rule="STDP",
            n_neurons=10, n_parameters=7840, n_state=10, num_steps=100, spikes=50.0,
            synaptic_operations=1000 * share, macs=7840,
            n_train=100, presentations=200, train_s=3.0 / share,
        )  # fmt: skip
        for seed in range(SEEDS):
            wrong = rng.random(N_TEST) > share
            runs[f"{name}/{seed}"] = {
                "source": "toy", "experiment": name, "seed": seed, "protocol": "as_documented",
                "device": "cpu", "data_kind": "official", "network": vars(network),
                "versions": {}, "commit": "c" * 40,
            }  # fmt: skip
            predictions = np.where(wrong, (labels + 1) % 10, labels).astype(np.uint8)
            arrays[f"{name}/{seed}"] = {"predictions": predictions, "labels": labels}
    return networks.compare(runs, arrays.get)


@pytest.fixture
def page_file(tree):
    """Return the page of the toy ledger with four networks and hostile text in it."""
    data = test_report.verdicts(tree)
    second = json.loads(json.dumps(data["sources"][0]).replace("toy", "other"))
    data["sources"].append(second)
    for claim in second["claims"]:
        claim["says"] += test_report.HOSTILE
    for name in ("toy_fig1", "toy_fig2", "other_fig1", "other_fig2",
                 "networks_operations", "networks_time"):  # fmt: skip
        Image.new("RGB", (640, 400), "white").save(tree / "figures" / f"{name}.png")
    hostile = {"case": f"step{test_report.HOSTILE}", "note": test_report.HOSTILE}
    costs = test_cost.bench_row(**hostile), test_cost.bench_row(device="cuda")
    scales = [
        row
        for unit in ("images", "neurons")
        for row in test_cost.scaling_rows(unit=unit, case=f"toy, {unit}{test_report.HOSTILE}")
    ]
    render.write(data, toy_groups(), "", tree / "figures", tree / "reports", costs, scales)
    return tree / "reports" / "comparison.html"


@pytest.fixture
def page(browser, page_file):
    browser.open(page_file.as_uri())
    return browser


def shown(page, selector="tr.claim"):
    """Return the ids of the rows that are seen, in order."""
    return page.run(
        f"[...document.querySelectorAll('{selector}')]"
        ".filter(e => e.getClientRects().length).map(e => e.id)"
    )


def click(page, selector):
    page.run(f"document.querySelector(`{selector}`).click()")
    page.run("new Promise(r => setTimeout(r, 30))")


def type_text(page, selector, text):
    page.run(
        f"{{const e = document.querySelector('{selector}'); e.value = {json.dumps(text)};"
        "e.dispatchEvent(new Event('input', {bubbles: true}))}"
    )


def test_the_page_loads_without_a_complaint_and_asks_nobody(page, page_file):
    assert page.complaints() == []
    asked = [url for url in page.requests() if not url.startswith("data:image/")]
    assert asked == [page_file.as_uri()]
    assert page.run("document.querySelectorAll('script').length") == 2  # ours, and the data
    dialogs = [e for e in page.events if e.get("method") == "Page.javascriptDialogOpening"]
    assert dialogs == []
    assert "alert(1)" in page.run("document.body.textContent")  # hostile text is text


def test_every_inner_link_and_anchor_resolves(page):
    missing = page.run(
        "[...document.querySelectorAll('a[href^=\"#\"]')].map(a => a.hash.slice(1))"
        ".filter(id => !document.getElementById(decodeURIComponent(id)))"
    )
    assert missing == []
    unlinked = page.run(
        "[...document.querySelectorAll('tr.claim')].map(r => r.id)"
        '.filter(id => !document.querySelector(`a.cell[href="#${id}"]`))'
    )
    assert unlinked == []


def test_every_figure_has_a_size_and_an_alternative_text(page):
    figures = page.run(
        "Promise.all([...document.images].map(i => i.decode().then(() =>"
        " [i.naturalWidth, i.clientWidth, i.clientHeight, i.alt])))"
    )
    assert len(figures) == 6
    for natural, width, height, alt in figures:
        assert natural == 640 and width > 100 and height > 50 and alt


def test_a_click_on_a_head_sorts_and_another_reverses(page):
    rows = "#source-toy tr.claim"
    doubts_first = shown(page, rows)
    assert doubts_first[0] == "claim-toy.bad"
    head = "#source-toy .claims th:nth-child(3) button"
    click(page, head)
    measured = ["bad", "doubt", "good", "short", "later"]  # 0.5, 0.9, 0.952, 0.99, none
    assert shown(page, rows) == [f"claim-toy.{name}" for name in measured]
    click(page, head)
    back = [*reversed(measured[:4]), "later"]  # what has no number stays last
    assert shown(page, rows) == [f"claim-toy.{name}" for name in back]
    assert page.run("document.querySelector('#source-toy th[aria-sort]').ariaSort") == "descending"
    page.run(f"document.querySelector('{head}').focus()")
    page.key(" ", 32)  # the keyboard does what the mouse does
    assert shown(page, rows) == [f"claim-toy.{name}" for name in measured]


def test_networks_sort_by_number_not_by_text(page):
    best = shown(page, "tr.net")
    assert best[0] == "network-toy.good" and best[-1] == "network-toy.poor"
    click(page, ".nets th:nth-child(10) button")  # synaptic operations: 500 before 900, 950
    assert shown(page, "tr.net")[0] == "network-toy.poor"
    type_text(page, ".netfilter input", "fair")
    assert shown(page, "tr.net") == ["network-toy.fair"]
    assert page.run("document.querySelector('.netfilter output').textContent") == "1 of 4 networks"


def test_costs_are_found_from_the_top_of_the_page(page):
    for name in ("benchmarks", "scaling"):
        assert page.run(f"!!document.querySelector('nav.jump a[href=\"#{name}\"]')")
        assert page.run(f"!!document.querySelector('section#{name} table')")
    assert page.run("document.querySelectorAll('svg.panel polyline').length") == 2
    assert "not measured: no GPU" not in page.run("document.body.textContent")  # it has a GPU row
    inside = page.run(
        "[...document.querySelectorAll('svg.panel text')].every(t => { const b = t.getBBox(),"
        " v = t.ownerSVGElement.viewBox.baseVal; return b.x >= 0 && b.y >= -1 &&"
        " b.y + b.height <= v.height; })"
    )
    assert inside


def test_claims_are_filtered_by_text_and_status(page):
    assert len(shown(page)) == 10
    type_text(page, ".claimfilter input[type=search]", "toy.GOOD")
    assert shown(page) == ["claim-toy.good"]
    assert page.run("document.querySelector('.claimfilter output').textContent") == "1 of 10 claims"
    assert page.run("document.getElementById('source-other').hidden")
    assert not page.run("document.querySelector('.rest').getClientRects().length")
    click(page, ".claimfilter button[type=reset]")
    assert len(shown(page)) == 10
    click(page, ".claimfilter [value=reproduced]")
    assert len(shown(page)) == 8
    click(page, "a.count.s-inconclusive")  # a count shows the claims of its status
    assert shown(page) == ["claim-toy.doubt", "claim-other.doubt"]


def test_a_deep_link_reaches_a_claim_that_the_filter_hides(page):
    type_text(page, ".claimfilter input[type=search]", "toy.good")
    page.run("location.hash = 'claim-other.bad'; new Promise(r => setTimeout(r, 100))")
    assert "claim-other.bad" in shown(page)
    place = page.run("document.getElementById('claim-other.bad').getBoundingClientRect().top")
    assert 0 <= place < 900


def test_any_two_networks_are_compared(page):
    (group,) = toy_groups()
    names = [row["id"] for row in group["networks"]]
    for a, b in ((0, 1), (3, 0), (2, 1)):
        page.run(
            f"{{const f = document.querySelector('form.pair'); f.elements.a.value = {a};"
            f"f.elements.b.value = {b}; f.dispatchEvent(new Event('input'))}}"
        )
        said = page.run("document.querySelector('form.pair output').textContent")
        low, high = sorted((a, b))
        pair = next(p for p in group["pairs"] if (p["a"], p["b"]) == (low, high))
        only = {low: pair["only_a"], high: pair["only_b"]}
        assert f"{names[a]} alone is right on {only[a]} of 400 images" in said
        assert f"{names[b]} alone on {only[b]} (seed 0)" in said
        sure = "chance does not explain it" if pair["p_holm"] < 0.05 else "chance may explain it"
        assert sure in said and "Welch" in said


def test_a_figure_is_enlarged_by_key_and_closed_by_escape(page):
    box = "document.querySelector('.zoom input')"
    page.run(f"{box}.focus()")
    page.key(" ", 32)
    assert page.run("getComputedStyle(document.querySelector('.zoom img')).position") == "fixed"
    page.key("Escape", 27)
    assert page.run("getComputedStyle(document.querySelector('.zoom img')).position") == "static"


def test_a_command_is_copied_or_selected(page):
    page.run("document.querySelectorAll('details').forEach(d => d.open = true)")
    click(page, ".command button.copy")
    said = page.run("document.querySelector('.command button.copy').textContent")
    assert said in ("Copied", "Selected")


def test_without_scripts_everything_is_there(browser, page_file):
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    browser.open_only(page_file.as_uri())
    document = browser.call("DOM.getDocument")["root"]["nodeId"]
    rows = browser.call("DOM.querySelectorAll", nodeId=document, selector="tr.claim:not([hidden])")
    forms = browser.call("DOM.querySelectorAll", nodeId=document, selector="form:not([hidden])")
    assert len(rows["nodeIds"]) == 10 and forms["nodeIds"] == []


def test_on_paper_controls_are_left_out(page):
    page.resize(800, 1100, media="print")
    assert page.run("document.querySelector('.claimfilter').getClientRects().length") == 0
    assert len(shown(page)) == 10


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_it_fits_the_screen(page, width, dark):
    page.resize(width, 900, dark)
    page.run("new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)))")
    assert page.run("document.documentElement.scrollWidth") <= width
    SHOTS.mkdir(parents=True, exist_ok=True)
    name = f"toy-{width}-{'dark' if dark else 'light'}.png"
    (SHOTS / name).write_bytes(page.screenshot(whole=True))
    assert (SHOTS / name).stat().st_size > 10_000
