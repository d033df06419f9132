"""What a browser asks for itself stays out of the WARC; what a page asks does not."""

import pytest

from pipeline.capture.chatter import is_own

OWN = (
    "https://update.googleapis.com/service/update2/json?cup2key=14",
    "https://safebrowsing.googleapis.com/v4/threatListUpdates:fetch",
    "https://optimizationguide-pa.googleapis.com/downloads?name=1",
    "https://accounts.google.com/ListAccounts?gpsia=1&source=ChromiumBrowser",
    "http://www.gstatic.com/generate_204",
    "https://r4---sn-4g5e6nz7.gvt1.com/edgedl/chrome/x.crx3",
)
OF_PAGES = (
    "https://accounts.google.com/ServiceLogin",
    "https://www.gstatic.com/recaptcha/x.js",
    "https://fonts.googleapis.com/css2?family=Inter",
    "https://www.google.com/search?q=ListAccounts",
    "https://a.example/https://accounts.google.com/ListAccounts",
    "https://update.googleapis.com.example/",
)


@pytest.mark.parametrize("url", OWN)
def test_what_a_browser_asks_for_itself_is_known(url):
    assert is_own(url, url.split("/")[2])


@pytest.mark.parametrize("url", OF_PAGES)
def test_what_a_page_may_need_is_not_taken_for_it(url):
    assert not is_own(url, url.split("/")[2])
