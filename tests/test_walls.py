"""Walls and empty answers are known for what they are; ordinary pages stand unharmed."""

import os
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import warc
from pipeline.capture import content, walls
from pipeline.capture.assess import REASONS
from pipeline.capture.http import body_of
from pipeline.capture.wire import Recording

ASKED = "https://news.example/2026/article"
SHARED = Path(os.environ.get("MUNIMENT_SHARED", Path(__file__).parents[2] / "shared"))
LONG = "<p>" + "The court heard the case on Tuesday and adjourned it. " * 120 + "</p>"


@dataclass(frozen=True, kw_only=True)
class Case:
    html: str = ""
    asked: str = ASKED
    url: str = ASKED
    headers: tuple = ()
    is_rendered: bool = False
    names: tuple[str, ...] = ()
    evidence: str = ""


def look(case):
    data = case.html.encode()
    page = content.read_html(data, "utf-8")
    sight = walls.Sight(
        asked=case.asked,
        url=case.url,
        headers=case.headers,
        html=data,
        title=page.title,
        text=page.text,
        is_rendered=case.is_rendered,
    )
    return walls.look(sight)


def titled(title, body="<p>Words.</p>"):
    return f"<!doctype html><title>{title}</title>{body}"


def said(words):
    return titled("News", f"<h2>Hello</h2><p>{words}</p>")


def case(name, html, evidence="", **told):
    return Case(names=(name,), html=html, evidence=evidence, **told)


FOUND = {
    "a challenge told in a header": case("bot-wall", said("x"), "cf-mitigated", headers=(("cf-mitigated", "challenge"),)),
    "a captcha of a firewall": case("bot-wall", said("x"), "x-amzn-waf-action", headers=(("x-amzn-waf-action", "captcha"),)),
    "just a moment": case("bot-wall", titled("Just a moment...", "<p>news.example</p>"), "just a moment"),
    "human, in English": case("bot-wall", said("Verify you are human by completing the action below."), "human"),
    "human, in French": case("bot-wall", said("Vérifiez que vous êtes humain en cochant la case."), "humain"),
    "human, in German": case("bot-wall", said("Bestätigen Sie, dass Sie ein Mensch sind."), "mensch"),
    "human, in Spanish": case("bot-wall", said("Verifique que usted es un ser humano."), "humano"),
    "human, in Arabic": case("bot-wall", said("تحقق من أنك إنسان من خلال إكمال الإجراء أدناه."), ""),
    "human, in Persian": case("bot-wall", said("تأیید کنید که انسان هستید."), ""),
    "human, in Persian with Arabic letters": case("bot-wall", said("در حال بررسي مرورگر شما"), ""),
    "a frame of a firewall": case("bot-wall", titled("", '<iframe src="/_Incapsula_Resource?x=1"></iframe>'), "_incapsula"),
    "a puzzle of proof": case("bot-wall", titled("", '<script id="anubis_challenge">{}</script><p>Loading</p>'), "anubis"),
    "led to a log-in": case("login-wall", titled("Facebook", "<p>Log in</p><input type=password name=pass>"), "/login", url="https://news.example/login/?next=x"),
    "a log-in, in English": case("login-wall", said("You must log in to see this.<input type='password'>"), "log in"),
    "a log-in, in French": case("login-wall", said("Connectez-vous pour continuer."), "connectez"),
    "a log-in, in German": case("login-wall", said("Bitte melden Sie sich an."), "melden"),
    "a log-in, in Spanish": case("login-wall", said("Inicia sesión para continuar."), "inicia"),
    "a log-in, in Arabic": case("login-wall", said("يجب تسجيل الدخول لعرض هذه الصفحة"), ""),
    "a log-in, in Persian": case("login-wall", said("برای ادامه وارد شوید"), ""),
    "pay, in English": case("paywall", said("Subscribe to continue reading this story."), "subscribe"),
    "pay, in French": case("paywall", said("Cet article est réservé aux abonnés."), "abonnés"),
    "pay, in German": case("paywall", said("Dieser Artikel ist nur für Abonnenten."), "abonnenten"),
    "pay, in Spanish": case("paywall", said("Suscríbete para seguir leyendo."), "seguir"),
    "pay, in Arabic": case("paywall", said("هذا المحتوى للمشتركين فقط"), ""),
    "pay, in Persian": case("paywall", said("این مطلب ویژهٔ مشترکان است".replace("ٔ", "")), ""),
    "marked as not free, and hardly there": case("paywall", titled("News", '<script type="application/ld+json">{"isAccessibleForFree": false}</script><p>A teaser.'), "not free"),
    "led to a consent host": case("consent-wall", said("Before you continue"), "consent.youtube.com", url="https://consent.youtube.com/m?continue=x"),
    "consent, in English": case("consent-wall", said("We value your privacy. <button>Accept all</button>"), "privacy"),
    "consent, in French": case("consent-wall", said("Nous respectons votre vie privée. <button>Tout accepter</button>"), ""),
    "consent, in German": case("consent-wall", said("Bevor Sie fortfahren: <button>Alle akzeptieren</button>"), ""),
    "consent, in Spanish": case("consent-wall", said("Valoramos tu privacidad. <button>Aceptar todo</button>"), ""),
    "consent, in Arabic": case("consent-wall", said("نحن نقدر خصوصيتك <button>قبول الكل</button>"), ""),
    "consent, in Persian": case("consent-wall", said("حریم خصوصی شما <button>پذیرش همه</button>"), ""),
    "a title of 404": case("soft-404", titled("404 Not Found | News", LONG[:900]), "404"),
    "not found, in English": case("soft-404", titled("News", "<h1>Page not found</h1>"), "page not found"),
    "not found, in French": case("soft-404", titled("Page introuvable - Le Journal"), "introuvable"),
    "not found, in German": case("soft-404", titled("Seite nicht gefunden \u2013 Zeitung"), "nicht gefunden"),
    "not found, in Spanish": case("soft-404", titled("Página no encontrada"), "encontrada"),
    "not found, in Arabic": case("soft-404", titled("الصفحة غير موجودة | أخبار"), ""),
    "not found, in Persian": case("soft-404", titled("خبر", "<h1 class=t>صفحه مورد نظر <b>یافت نشد</b></h1>"), ""),
    "a domain for sale": case("parked", said("This domain is for sale."), "for sale"),
    "for sale, in French": case("parked", said("Ce domaine est à vendre"), ""),
    "for sale, in German": case("parked", said("Diese Domain steht zum Verkauf"), ""),
    "for sale, in Spanish": case("parked", said("Este dominio está en venta"), ""),
    "for sale, in Arabic": case("parked", said("هذا النطاق للبيع"), ""),
    "for sale, in Persian": case("parked", said("این دامنه به فروش می‌رسد"), ""),
    "a parking firm's script": case("parked", titled("x", "<script src=//img.sedoparking.com/x.js></script><p>Ads"), "sedo"),
    "nothing at all": case("empty", "<!doctype html><html><body></body></html>", "without a word"),
    "nothing after its scripts": case("empty", "<script>1</script>", "", is_rendered=True),
    "a root to be filled": case("js-shell", titled("App", "<div id=root></div><script src=/a.js></script>"), "root"),
    "a root with a remark in it": case("js-shell", titled("App", '<main id="__next" class=x><!-- --></main><script>1</script>'), "next"),
    "an element of a framework": case("js-shell", titled("App", "<app-root></app-root><script>1</script>"), "app-root"),
    "please enable it": case("js-shell", titled("App", "<noscript>You need to enable JavaScript to run this app.</noscript><script>1</script>Loading"), "javascript"),
    "please enable it, in French": case("js-shell", titled("App", "<p>Veuillez activer JavaScript</p><script>1</script>"), ""),
    "please enable it, in German": case("js-shell", titled("App", "<p>Bitte aktivieren Sie JavaScript</p><script>1</script>"), ""),
    "please enable it, in Spanish": case("js-shell", titled("App", "<p>Por favor habilite JavaScript</p><script>1</script>"), ""),
    "please enable it, in Arabic": case("js-shell", titled("App", "<p>يرجى تفعيل JavaScript</p><script>1</script>"), ""),
    "please enable it, in Persian": case("js-shell", titled("App", "<p>لطفا جاوا اسکریپت را فعال کنید</p><script>1</script>"), ""),
    "scripts alone": case("js-shell", "<script>document.title = 1</script>", "scripts"),
    "led home": case("redirected-home", said("Welcome"), "/2026/article", url="https://www.news.example/"),
    "led home in a language": case("redirected-home", said("Welcome"), "", url="https://news.example/en/"),
    "led to an index": case("redirected-home", said("Welcome"), "", url="https://news.example/index.php"),
}  # fmt: skip


@pytest.mark.parametrize("case", FOUND.values(), ids=FOUND)
def test_what_stands_in_the_way_is_named_with_what_it_was_known_by(case):
    signs = look(case)
    assert tuple(sign.name for sign in signs) == case.names
    assert case.evidence in signs[0].evidence
    assert 0 < len(signs[0].evidence) <= walls.LONGEST_EVIDENCE


ORDINARY = {
    "a few words": said("About 1,500 people were killed."),
    "an article about walls": titled("Just a moment: how sites verify you are human", LONG + "Verify you are human. Subscribe to continue reading. You must log in."),
    "an article about what was not found": titled("Flight not found for nine years", LONG),
    "a short article about what was not found": titled("Cockpit recorder not found", "<h1>Cockpit recorder not found</h1><p>Nothing was found."),
    "an article with a log-in beside it": titled("News", LONG + "<form>Log in to continue<input type=password></form>"),
    "a short page with a field for a password": titled("Forum", "<p>A thread of words.</p><form><input type=password></form>"),
    "an article behind a firewall's script": titled("News", LONG + "<script src=/cdn-cgi/challenge-platform/scripts/jsd/main.js></script>"),
    "a short one likewise": said("Words.<script>a.src='/cdn-cgi/challenge-platform/scripts/jsd/main.js'</script>"),
    "an article marked as not free": titled("News", '<script>{"isAccessibleForFree":false}</script>' + LONG),
    "an article with a banner": titled("News", LONG + "<div>We value your privacy <button>Accept all</button></div>"),
    "a short article with a banner": titled("News", "<article><p>It rained.</article>We value your privacy <button>Accept all</button>"),
    "a privacy policy": said("Your privacy: we value your privacy and keep nothing."),
    "a picture and nothing else": "<img src=/a.png>",
    "a page that leads on": '<meta http-equiv="refresh" content="0;url=/b">',
    "a page drawn by its scripts that has words": titled("App", "<div id=root><h1>Report</h1><p>It was written on the server.</p></div><script>1</script>"),
    "a short page with a script": said("It rained.<script>1</script>"),
    "a page about domains": titled("How domains work", LONG + "This domain is for sale."),
}  # fmt: skip


@pytest.mark.parametrize("html", ORDINARY.values(), ids=ORDINARY)
def test_an_ordinary_page_is_no_suspect(html):
    assert look(Case(html=html)) == ()


AT_HOME = {
    "asked for and got": ("https://a.example/", "https://a.example/"),
    "a language chosen": ("https://a.example/", "https://a.example/en/"),
    "a language left": ("https://a.example/de", "https://a.example/"),
    "an index": ("https://a.example/index.html", "https://a.example/"),
    "a short address": ("https://short.example/x1", "https://a.example/"),
    "an article": ("https://a.example/x", "https://a.example/y"),
    "a query": ("https://a.example/page", "https://a.example/?p=7"),
    "a log-in that was asked for": ("https://a.example/login", "https://a.example/login?x"),
}  # fmt: skip


@pytest.mark.parametrize(("asked", "url"), AT_HOME.values(), ids=AT_HOME)
def test_who_arrives_where_it_was_meant_is_not_led_astray(asked, url):
    html = said("Welcome to the front page <input type=password>")
    assert look(Case(asked=asked, url=url, html=html)) == ()


def test_of_what_is_no_page_the_headers_alone_tell():
    sight = walls.Sight(
        asked=ASKED, url="https://news.example/", text="verify you are human"
    )
    assert walls.look(sight) == ()


def test_what_has_run_is_no_shell():
    html = titled("App", "<div id=root></div><script>1</script><p>x")
    assert look(Case(html=html, is_rendered=True)) == ()


def test_every_rule_is_a_reason_and_has_a_case():
    assert set(walls.RULES) <= set(REASONS)
    assert {case.names[0] for case in FOUND.values()} == set(walls.RULES)


@pytest.mark.parametrize("file", ["iana.org-2014.warc.gz", "lil.law.harvard.edu-2023.warc.gz"])  # fmt: skip
def test_pages_recorded_by_others_are_no_suspects(file, tmp_path):
    path = SHARED / "data/real" / file
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    pages = 0
    for record in warc.read(path):
        if record.type != "response":
            continue
        recording = Recording(folder=tmp_path)
        recording.received(record.block)
        recording.closed()
        message = recording.message()
        if message.head.status != 200 or message.head.media_type != "text/html":
            continue
        pages += 1
        url = record.field("WARC-Target-URI")
        body = body_of(url, message)
        page = content.read_html(body.data, body.encoding)
        sight = walls.Sight(asked=url, url=url, html=body.data, title=page.title, text=page.text)  # fmt: skip
        assert walls.look(sight) == (), url
    assert pages


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.lists(
        st.sampled_from(
            ["<div id=root ", "<h1", "<input ", "type", "password", ">", "<!--", "</div>", "x", "<script>", "\x00", "آ"]
        )
    ).map("".join)
)  # fmt: skip
def test_no_page_is_too_odd_to_be_looked_at(html):
    for sign in look(Case(html=html)):
        assert sign.name in walls.RULES


@pytest.mark.parametrize(
    "piece", ["<div id=root ", "<h1 ", "<input ", "<app-root", "<!--"]
)
def test_no_page_makes_a_rule_work_without_end(piece):
    data = (piece * 200_000).encode()
    walls.look(walls.Sight(asked=ASKED, url=ASKED, html=data + b"<script>"))
