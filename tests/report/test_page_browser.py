"""The page in a real browser: keyboard, search, filters in the address, the panel, the copy button, hostile drawings, a phone.

Every wait is for a condition. Where no Chromium and driver are installed these tests are skipped, and say so.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import synthetic
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.support.ui import WebDriverWait
from synthetic import one, run

from conformance.report.classic import Classic, RowOf
from conformance.report.knowledge import Knowledge
from conformance.report.page import render
from conformance.report.verdicts import Verdict

CHROMIUM = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)
DRIVER = shutil.which("chromedriver")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not (CHROMIUM and DRIVER), reason="no chromium with chromedriver; install both, e.g. chromium chromium-driver"
    ),
]

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-prefers-reduced-motion",
    "--window-size=1400,1000",
)
NASTY_SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" onload="window.hacked=1"><script>window.hacked=2</script>'
    '<foreignObject><img xmlns="http://www.w3.org/1999/xhtml" src="x" onerror="window.hacked=3"/></foreignObject>'
    '<a href="javascript:window.hacked=4"><text>link</text></a><rect id="kept" width="5" height="5" fill="url(http://x/y)"/></svg>'
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebDriver]:
    options = Options()
    options.binary_location = CHROMIUM or ""
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "index.html"
    nasty = one(
        "CORE18/nasty",
        Verdict.WRONG,
        message="</script><b>x</b>",
        evidence={"program": {"mermaid": "flowchart LR", "svg": NASTY_SVG}, "command": "beam-conformance run --leaf CORE18"},
    )
    path.write_text(render([synthetic.results("prism"), run(nasty)], synthetic.ledger()), encoding="utf-8")
    return path.as_uri()


@pytest.fixture
def page(browser: WebDriver, url: str) -> WebDriver:
    browser.get("about:blank")
    browser.get(url)
    return browser


def until(driver: WebDriver, condition: str, *args: Any) -> Any:
    """Wait for a JavaScript expression to be true; the answer is its value."""
    return WebDriverWait(driver, 10, poll_frequency=0.02).until(lambda d: d.execute_script(f"return {condition}", *args))


def active(driver: WebDriver) -> str:
    return str(driver.switch_to.active_element.get_attribute("aria-label"))


def press(driver: WebDriver, *keys: str) -> None:
    for key in keys:
        driver.switch_to.active_element.send_keys(key)


def shown(driver: WebDriver) -> list[str]:
    return list(
        driver.execute_script(
            "return [...document.querySelectorAll('tr.leaf')].filter(r => r.offsetParent).map(r => r.dataset.leaf)"
        )
    )


def test_nothing_is_wrong_in_the_console(page: WebDriver) -> None:
    assert page.get_log("browser") == []  # type: ignore[attr-defined]


def test_matrix_by_keyboard(page: WebDriver) -> None:
    page.execute_script("document.querySelector('.toggle').focus()")
    press(page, Keys.TAB)
    assert active(page).startswith("CORE01 ")
    press(page, Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.ARROW_RIGHT)
    assert active(page).startswith("CORE03 ")
    assert "streaming" in active(page)
    press(page, Keys.ENTER)
    until(page, "document.querySelector('dialog').open")
    assert "CORE03" in page.find_element(By.ID, "panel-title").text
    assert "cell=CORE03@1" in page.current_url
    press(page, Keys.ESCAPE)
    until(page, "!document.querySelector('dialog').open")
    assert active(page).startswith("CORE03 ")
    assert "cell=" not in page.current_url


def test_focus_is_never_under_the_sticky_head(page: WebDriver) -> None:
    page.execute_script("const c = document.querySelectorAll('#WIN05 .cell')[0]; c.focus(); c.scrollIntoView({block: 'start'})")
    press(page, *[Keys.ARROW_UP] * 4)
    gap = page.execute_script(
        "return document.activeElement.getBoundingClientRect().top - document.querySelector('.matrix thead').getBoundingClientRect().bottom"
    )
    assert gap >= 0


def test_back_closes_the_panel(page: WebDriver) -> None:
    page.find_element(By.CSS_SELECTOR, "#CORE11 .cell").click()
    until(page, "document.querySelector('dialog').open")
    page.back()
    until(page, "!document.querySelector('dialog').open")


def test_slash_searches_and_the_address_keeps_it(page: WebDriver, url: str) -> None:
    press(page, "/")
    press(page, "coder:windowed_value")
    until(page, "location.hash.includes('windowed_value')")
    found = shown(page)
    assert "COD06" in found
    assert len(found) < 20
    address = page.current_url
    page.get("about:blank")
    page.get(address)
    assert shown(page) == found
    assert page.find_element(By.ID, "q").get_attribute("value") == "coder:windowed_value"


def test_filters(page: WebDriver) -> None:
    page.execute_script("document.querySelector('input[name=v][value=wrong]').click()")
    wrong = shown(page)
    assert wrong
    assert set(
        page.execute_script(
            "return [...document.querySelectorAll('tr.leaf')].filter(r => r.querySelector('.v-wrong')).map(r => r.id)"
        )
    ) == set(wrong)
    page.find_element(By.CSS_SELECTOR, "#area option[value=D]").click()
    until(page, "location.hash.includes('a=D')")
    assert {leaf[:4] for leaf in shown(page)} == {"TRIG"}
    assert set(shown(page)) <= set(wrong)
    page.find_element(By.CSS_SELECTOR, "#tier option[value='2']").click()
    assert all(leaf in wrong for leaf in shown(page))
    page.find_element(By.ID, "clear").click()
    assert len(shown(page)) == 413
    assert "#" not in page.current_url


def test_no_match_says_so(page: WebDriver) -> None:
    press(page, "/")
    press(page, "zzzz nothing")
    until(page, "!document.getElementById('none').hidden")
    page.find_element(By.ID, "clear2").click()
    assert len(shown(page)) == 413


def test_panel_shows_the_evidence(page: WebDriver) -> None:
    page.execute_script("[...document.querySelectorAll('.cell.v-wrong')].find(c => !c.closest('#CORE18')).click()")
    until(page, "document.querySelector('dialog').open")
    text = page.execute_script("return document.getElementById('panel').textContent")
    for part in (
        "Expected",
        "Observed",
        "Program",
        "Transcript",
        "first wrong message",
        "End of the runner's log",
        "Reproduce",
        "MUST",
    ):
        assert part in text
    assert page.execute_script("return document.querySelector('.drawing').shadowRoot.querySelectorAll('rect').length") == 4
    marked = page.find_element(By.CSS_SELECTOR, ".wire tr.marked")
    marked.find_element(By.TAG_NAME, "summary").click()
    until(page, "document.querySelector('.wire tr.marked pre')?.textContent.includes('instruction_id')")


def test_copy_button(page: WebDriver) -> None:
    page.execute_script("document.querySelector('.facts .copy').scrollIntoView({block: 'center'})")
    page.find_element(By.CSS_SELECTOR, ".facts .copy").click()
    until(page, "document.querySelector('.facts .copy').textContent === 'Copied'")
    until(page, "document.getElementById('say').textContent === 'Copied'")
    page.execute_script("document.getElementById('q').focus()")
    press(page, Keys.CONTROL + "v")
    until(page, "document.getElementById('q').value.startsWith('beam-conformance run --runner prism')")


def test_rule_leads_to_every_leaf_that_cites_it(page: WebDriver) -> None:
    page.execute_script("[...document.querySelectorAll('.cell.v-wrong')].find(c => !c.closest('#CORE18')).click()")
    until(page, "document.querySelector('dialog').open")
    rule = until(page, "document.querySelector('dialog .assertion .rule')")
    name = rule.text
    rule.click()
    until(page, "!document.querySelector('dialog').open")
    assert page.find_element(By.ID, "q").get_attribute("value") == name
    assert 0 < len(shown(page)) < 413


def test_hostile_drawing_is_only_a_drawing(page: WebDriver) -> None:
    page.execute_script("[...document.querySelectorAll('#CORE18 .cell')].at(-1).click()")
    until(page, "document.querySelector('dialog .drawing')")
    inside = page.execute_script("return document.querySelector('.drawing').shadowRoot.innerHTML")
    assert 'id="kept"' in inside
    for bad in ("script", "onload", "foreignObject", "javascript", "<a", "url("):
        assert bad not in inside
    assert page.execute_script("return window.hacked") is None
    assert page.find_element(By.CSS_SELECTOR, "dialog .message").text == "</script><b>x</b>"


def test_phone(page: WebDriver) -> None:
    metrics = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        page.refresh()
        assert page.execute_script("return innerWidth") == 390
        wide = page.execute_script(
            "return [...document.querySelectorAll('.band')].filter(e => e.getBoundingClientRect().width > 390).map(e => e.className)"
        )
        assert wide == []
        page.execute_script("document.querySelector('#CORE11 .cell').click()")
        until(page, "document.querySelector('dialog').open")
        assert page.execute_script("return document.querySelector('dialog').getBoundingClientRect().width") <= 390
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_prints(page: WebDriver, tmp_path: Path) -> None:
    import base64

    pdf = base64.b64decode(page.print_page())
    assert pdf.startswith(b"%PDF")
    assert page.execute_script("return document.querySelector('#matrix') !== null")


def test_which_mutants_an_assertion_killed(browser: WebDriver, tmp_path: Path) -> None:
    known = Knowledge(kills={"CORE18/sees": ["GBK-01", "GBK-02"]}, mutants={"GBK-01": "loses a value", "GBK-02": "adds one"})
    path = tmp_path / "index.html"
    results = run(one("CORE18/sees"), one("CORE18/sees--of-two"), one("CORE18/sees-nothing"))
    path.write_text(render([results], synthetic.ledger(), known=known), encoding="utf-8")
    browser.get(path.as_uri())
    browser.find_element(By.CSS_SELECTOR, "#CORE18 .cell").click()
    browser.execute_script("document.querySelectorAll('details.assertion').forEach(d => { d.open = true; })")
    told = until(
        browser,
        "(facts => facts.length > 2 && facts)([...document.querySelectorAll('details.assertion dt')]"
        ".filter(t => t.textContent === 'Killed mutants').map(t => t.nextElementSibling.textContent))",
    )
    assert told.count("GBK-01 loses a valueGBK-02 adds one") == 2, "with whatever parameters it is one assertion"
    assert any(text.startswith("none:") for text in told)


def test_a_cell_of_the_classic_table_opens_by_keyboard(browser: WebDriver, tmp_path: Path) -> None:
    """What was asked, what was seen and the command; behind it the program; Escape closes."""
    wrong = one(
        "SDK01/impulse",
        Verdict.WRONG,
        sdk="go",
        message="<b>1</b> line is missing",
        expected={"missing": ["a"]},
        observed={"too many": ["b"]},
        evidence={"command": "beam-conformance run --sdk go --leaf SDK01"},
    )
    rows = Classic([RowOf("SDK01", "Impulse", "P1", "One element.", programs={"go": "func main() { <-done }"})])
    path = tmp_path / "index.html"
    path.write_text(render([run(wrong)], synthetic.ledger(), sdks=rows), encoding="utf-8")
    browser.get(path.as_uri())
    cell = browser.find_element(By.CSS_SELECTOR, ".grid .cell.v-wrong")
    assert cell.get_attribute("aria-label") == "Impulse, prism go batch: wrong"
    cell.send_keys(Keys.ENTER)
    shown = browser.find_element(By.CSS_SELECTOR, ".pop:popover-open")
    for text in ("One element.", "<b>1</b> line is missing", '"a"', '"b"', "beam-conformance run --sdk go --leaf SDK01"):
        assert text in shown.text
    shown.find_element(By.CSS_SELECTOR, ".link").click()
    assert "func main() { <-done }" in browser.find_element(By.CSS_SELECTOR, ".pop:popover-open pre").text
    browser.find_element(By.TAG_NAME, "body").send_keys(Keys.ESCAPE)
    assert not browser.find_elements(By.CSS_SELECTOR, "[id^=src-]:popover-open")
    assert not browser.find_element(By.ID, "matrix").is_displayed()
