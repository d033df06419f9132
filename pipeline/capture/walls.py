"""What stands between a visitor and a page: signs of walls, of empty answers. Pure.

``look`` holds what a visit saw against a table of rules, each with a name that is a
reason of ``assess``, and gives for every rule that holds its evidence in words. A false
alarm costs trust as well: phrases count on short pages alone, so that an article about
log-ins is no log-in, and what an ordinary page may carry too is never enough by itself.
"""

import re
from collections.abc import Callable, Iterable
from functools import cached_property
from urllib.parse import urlsplit

from msgspec import Struct

from pipeline.capture.quotes import fold

SHORT = 1_500  # characters of a page that is little more than its wall
TEASER = 4_000  # of one that shows the beginning of an article
LITTLE = 4_096  # bytes of one without a word
BARE = 250  # of one that says next to nothing
LONGEST_EVIDENCE = 120


class Sight(Struct, frozen=True, kw_only=True, dict=True):
    """What a visit saw of a page: how it was asked, where it ended, what it says."""

    asked: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()  # names in lower case
    html: bytes = b""  # "" where the answer is no page
    title: str = ""
    text: str = ""
    is_rendered: bool = False  # its scripts have run

    @cached_property
    def markup(self) -> str:
        """Return the page's HTML in small letters, byte for character."""
        return self.html.decode("latin-1").lower()

    @cached_property
    def said(self) -> str:
        """Return title and text as phrases are compared; no more than a short page."""
        return fold(f"{self.title}\n{self.text[:TEASER]}")

    @cached_property
    def headline(self) -> tuple[str, ...]:
        """Return the parts of the title and the first headings, each as compared."""
        parts = re.split(r"\s[|\u2013\u2014\u00b7\u2022:\u00bb\u203a-]+\s", self.title)
        heads = _HEADING.findall(self.html[: 1 << 20])[:3]
        words = [_TAG.sub(b" ", one).decode("utf-8", "replace") for one in heads]
        return tuple(fold(one).strip(" .!\u2026'\"") for one in (*parts, *words))

    def is_within(self, characters: int) -> bool:
        """Tell whether the page says no more than so much."""
        return len(self.text.strip()) <= characters

    def header(self, name: str) -> str:
        """Return a header's first value in small letters, or ""."""
        return next((told.lower() for one, told in self.headers if one == name), "")


class Sign(Struct, frozen=True, kw_only=True):
    """One rule that holds: a reason of ``assess``, and what it was known by."""

    name: str
    evidence: str


_HEADING = re.compile(rb"<h1[^>]{0,300}>(.{0,400}?)</h1", re.DOTALL | re.IGNORECASE)
_TAG = re.compile(rb"<[^>]{0,300}>")


def _folded(phrases: str) -> tuple[str, ...]:
    """Read phrases, one a line, as they are compared."""
    return tuple(fold(one) for one in phrases.strip().splitlines())


def _first(phrases: Iterable[str], text: str) -> str:
    return next((one for one in phrases if one in text), "")


# --------------------------------------------------------------------------- bot walls

BOT_HEADERS = (  # a header, and what its value begins with
    ("cf-mitigated", "challenge"),
    ("x-amzn-waf-action", "challenge"),
    ("x-amzn-waf-action", "captcha"),
    ("x-vercel-mitigated", "challenge"),
)
# What checks leave in the markup; ordinary pages behind them carry some of it too.
BOT_MARKS = (
    "_cf_chl_opt",
    "/cdn-cgi/challenge-platform/h/",
    "cf-browser-verification",
    "cf-challenge",
    "_incapsula_resource",
    "captcha-delivery.com",
    "px-captcha",
    "anubis_challenge",
    "within.website/x/cmd/anubis",
    "sec-if-cpt-container",
    "ddos-guard.net/check",
    "gokuprops",
    "awswafcookiedomainlist",
    "sucuri_cloudproxy_js",
    "/_fs-ch-",
    "kramericaindustries",
    "distil_r_captcha",
)
BOT_PHRASES = _folded("""
just a moment...
attention required! | cloudflare
checking your browser before
verify you are human
verify that you are human
verifying you are human
verifying your browser
making sure you're not a bot
are you a robot?
pardon our interruption
unusual traffic from your computer network
enable javascript and cookies to continue
vercel security checkpoint
please complete the security check
access to this page has been denied because
vérifiez que vous êtes humain
vérifier que vous êtes humain
vérification que vous n'êtes pas un robot
vérification de votre navigateur
trafic exceptionnel sur votre réseau
bestätigen sie, dass sie ein mensch sind
bestätigen, dass sie kein roboter sind
überprüfung ihres browsers
ungewöhnlichen datenverkehr aus ihrem computernetzwerk
verifique que usted es un ser humano
verifica que eres un ser humano
verificando que no es un robot
comprobando su navegador
tráfico inusual procedente de tu red
تحقق من أنك إنسان
التحقق من أنك لست روبوت
أثبت أنك لست روبوتا
جاري التحقق من متصفحك
تأیید کنید که انسان هستید
تایید کنید که ربات نیستید
ثابت کنید که ربات نیستید
در حال بررسی مرورگر شما
""")


def bot_wall(sight: Sight) -> str:
    """Find a check for robots: its headers, or its marks and words on a short page."""
    for name, start in BOT_HEADERS:
        if sight.header(name).startswith(start):
            return f"the header {name}: {start}"
    if not sight.html or not sight.is_within(SHORT):
        return ""
    if phrase := _first(BOT_PHRASES, sight.said):
        return f'it says "{phrase}"'
    is_bare = sight.is_within(BARE) and not sight.is_rendered
    mark = _first(BOT_MARKS, sight.markup) if is_bare else ""
    return f"its markup holds {mark}" if mark else ""


# ------------------------------------------------------------------------- login walls

LOGIN_SEGMENTS = frozenset(
    _folded("""
login
log-in
log_in
login.php
login.aspx
login.html
login.jsp
signin
sign-in
sign_in
signin.php
anmelden
connexion
iniciar-sesion
sso
uas
authwall
checkpoint
""")
)
PASSWORD = re.compile(r"<input[^>]{1,300}?type\s*=\s*[\"']?password")
LOGIN_PHRASES = _folded("""
log in to continue
login to continue
sign in to continue
sign in to view
log in to view
you must log in
you must be logged in
you need to log in
please log in to
please sign in to
connectez-vous pour continuer
connectez-vous pour voir
vous devez être connecté
vous devez vous connecter
veuillez vous connecter
melden sie sich an, um
melde dich an, um
sie müssen sich anmelden
sie müssen angemeldet sein
bitte melden sie sich an
inicia sesión para continuar
inicie sesión para continuar
inicia sesión para ver
debes iniciar sesión
debe iniciar sesión
سجل الدخول للمتابعة
تسجيل الدخول للمتابعة
يجب تسجيل الدخول
يجب عليك تسجيل الدخول
برای ادامه وارد شوید
برای مشاهده وارد شوید
باید وارد شوید
ابتدا وارد حساب کاربری
لطفا وارد شوید
""")


def login_wall(sight: Sight) -> str:
    """Find a log-in in a page's place: led there, or asked for a password and no more.

    A log-in that was itself asked for is no wall.
    """
    if _login_in(sight.asked) or not sight.is_within(TEASER):
        return ""
    has_password = bool(PASSWORD.search(sight.markup))
    place = _login_in(sight.url)
    if place and (has_password or sight.is_within(SHORT)):
        return f"it leads to {place}"
    if not sight.is_within(SHORT):
        return ""
    phrase = _first(LOGIN_PHRASES, sight.said)
    if phrase and (has_password or sight.is_within(BARE)):
        return f'it says "{phrase}"'
    return ""


def _login_in(url: str) -> str:
    """Name the part of a URL's path that is a place to log in; "" for none."""
    segments = urlsplit(url).path.lower().split("/")
    found = (one for one in segments if one in LOGIN_SEGMENTS)
    return next((f"/{one}" for one in found), "")


# ---------------------------------------------------------------------------- paywalls

NOT_FREE = re.compile(
    r"\"isaccessibleforfree\"\s*:\s*\"?(?:https?://schema.org/)?false"
)
PAY_PHRASES = _folded("""
subscribe to continue reading
subscribe to keep reading
subscribe to read the full
to continue reading, subscribe
to read the full article, subscribe
this article is for subscribers only
this content is for subscribers only
this story is for subscribers only
this article is reserved for subscribers
you have reached your limit of free articles
you've reached your limit of free articles
you have no free articles left
cet article est réservé aux abonnés
article réservé aux abonnés
la suite est réservée aux abonnés
il vous reste à lire
pour lire la suite, abonnez-vous
abonnez-vous pour lire la suite
abonnez-vous pour continuer
weiterlesen mit
jetzt abonnieren und weiterlesen
dieser artikel ist nur für abonnenten
nur für abonnenten
lesen sie diesen artikel mit
suscríbete para seguir leyendo
suscríbase para seguir leyendo
contenido exclusivo para suscriptores
artículo exclusivo para suscriptores
solo para suscriptores
اشترك لمتابعة القراءة
اشترك لقراءة المقال كاملا
هذا المحتوى للمشتركين فقط
هذا المقال للمشتركين فقط
برای ادامه مطالعه مشترک شوید
برای خواندن ادامه مطلب مشترک شوید
این مطلب ویژه مشترکان است
ویژه مشترکین
""")
WEAK_PAY = _folded("""
weiterlesen mit
il vous reste à lire
nur für abonnenten
solo para suscriptores
ویژه مشترکین
""")  # said of other things as well: beside the publisher's own mark alone


def paywall(sight: Sight) -> str:
    """Find a page that shows the beginning of an article and asks for a subscription.

    That a publisher marks an article as not free says nothing of what was served.
    """
    if not sight.is_within(TEASER):
        return ""
    is_marked = bool(NOT_FREE.search(sight.markup))
    strong = (one for one in PAY_PHRASES if is_marked or one not in WEAK_PAY)
    phrase = _first(strong, sight.said)
    if phrase:
        return f'it says "{phrase}"'
    if is_marked and sight.is_within(BARE):
        return "its publisher marks it as not free, and hardly a word of it is there"
    return ""


# ----------------------------------------------------------------------- consent walls

CONSENT_HOSTS = re.compile(r"(?:^|\.)(?:consent|guce)\.[\w.-]+$")
CONSENT_PHRASES = _folded("""
before you continue to
we value your privacy
accept all cookies
accept all
reject all
manage your choices
manage options
avant d'accéder à
nous respectons votre vie privée
votre vie privée
tout accepter
tout refuser
continuer sans accepter
bevor sie fortfahren
bevor sie zu
wir schätzen ihre privatsphäre
ihre privatsphäre
alle akzeptieren
alle ablehnen
antes de ir a
antes de continuar
valoramos tu privacidad
su privacidad
aceptar todo
rechazar todo
قبل المتابعة إلى
نحن نقدر خصوصيتك
قبول الكل
رفض الكل
پیش از ادامه
حریم خصوصی شما
پذیرش همه
رد همه
""")
ENOUGH = 2  # phrases; one stands in many a footer
CONSENT_ONLY = 900  # characters of a page that is nothing but a request for consent


def consent_wall(sight: Sight) -> str:
    """Find a request for consent in a page's place; a banner on a page is none."""
    host = urlsplit(sight.url).hostname or ""
    if host != urlsplit(sight.asked).hostname and CONSENT_HOSTS.search(host):
        return f"it leads to {host}"
    if not sight.is_within(CONSENT_ONLY) or "<article" in sight.markup:
        return ""
    found = [one for one in CONSENT_PHRASES if one in sight.said]
    apart = [one for one in found if not any(one in two != one for two in found)]
    if len(apart) < ENOUGH:
        return ""
    return "it says " + " and ".join(f'"{one}"' for one in apart[:ENOUGH])


# --------------------------------------------------------------------------- soft 404s

# Whole parts of a title or heading: an article may well be about what was not found.
NOT_FOUND = _folded("""
404
error 404
404 error
404 not found
404 - not found
404 page not found
page not found
not found
page not found (404)
file not found
the page cannot be found
the page you requested could not be found
the page you requested was not found
this page could not be found
this page can't be found
this page doesn't exist
this page does not exist
this page isn't available
this page is not available
this page is no longer available
sorry, this page isn't available
sorry, we can't find that page
sorry, the page you were looking for could not be found
oops! that page can't be found
oops! page not found
page no longer available
article not found
page introuvable
erreur 404
page non trouvée
cette page n'existe pas
cette page n'existe plus
cette page est introuvable
la page demandée est introuvable
la page demandée n'existe pas
la page que vous cherchez n'existe pas
seite nicht gefunden
fehler 404
404 seite nicht gefunden
die seite wurde nicht gefunden
diese seite existiert nicht
diese seite existiert nicht mehr
die angeforderte seite wurde nicht gefunden
diese seite ist nicht verfügbar
página no encontrada
página no disponible
pagina no encontrada
no se ha encontrado la página
no se encontró la página
esta página no existe
la página no existe
la página solicitada no existe
الصفحة غير موجودة
لم يتم العثور على الصفحة
عذرا الصفحة غير موجودة
الصفحة المطلوبة غير موجودة
صفحة غير موجودة
خطأ 404
هذه الصفحة غير متاحة
صفحه یافت نشد
صفحه پیدا نشد
صفحه مورد نظر یافت نشد
صفحه مورد نظر پیدا نشد
صفحه مورد نظر شما یافت نشد
صفحه مورد نظر شما پیدا نشد
صفحه درخواستی یافت نشد
این صفحه وجود ندارد
خطای 404
خطای ۴۰۴
""")
_MISSING = frozenset(NOT_FOUND)


def soft_404(sight: Sight) -> str:
    """Find a page that says in its title or heading that it is not there."""
    if not sight.is_within(TEASER):
        return ""
    found = next((one for one in sight.headline if one in _MISSING), "")
    return f'its heading says "{found}"' if found else ""


# ------------------------------------------------------------------------------ parked

PARKED_MARKS = (
    "sedoparking.com",
    "parkingcrew.net",
    "bodis.com",
    "parklogic.com",
    "d1lxhc4jvstzrp.cloudfront.net",
    "img1.wsimg.com/parking-lander",
    "window.park =",
    "parking.namecheap.com",
)
PARKED_PHRASES = _folded("""
this domain is for sale
this domain may be for sale
this domain name is for sale
the domain is for sale
is for sale! buy this domain
buy this domain
this domain is parked
this domain has expired
this domain name has expired
parked free, courtesy of
domain is parked free
ce domaine est à vendre
ce nom de domaine est à vendre
ce nom de domaine a expiré
diese domain steht zum verkauf
diese domain ist zu verkaufen
die domain steht zum verkauf
diese domain kaufen
este dominio está en venta
este dominio está a la venta
este dominio ha caducado
هذا النطاق للبيع
هذا الدومين للبيع
این دامنه به فروش می رسد
این دامنه به فروش می‌رسد
این دامنه برای فروش
دامنه منقضی شده است
""")


def parked(sight: Sight) -> str:
    """Find a domain that is for sale, has expired, or shows nothing but adverts."""
    if not sight.is_within(SHORT):
        return ""
    if phrase := _first(PARKED_PHRASES, sight.said):
        return f'it says "{phrase}"'
    mark = _first(PARKED_MARKS, sight.markup) if sight.is_within(BARE) else ""
    return f"its markup holds {mark}" if mark else ""


# -------------------------------------------------------------------- empty, and shells

SHOWN = re.compile(
    r"<(?:img|picture|video|audio|canvas|svg|object|embed|iframe|frame|input|button"
    r"|link|style)\b"
)
SCRIPT = re.compile(r"<script\b")
REFRESH = re.compile(r"http-equiv\s*=\s*[\"']?refresh")
# The element that a program fills: with nothing in it, or a sign of waiting.
ROOT = re.compile(
    r"\sid\s?=\s?[\"']?(?:root|app|__next|__nuxt|___gatsby|react-root|main-app|mount"
    r"|svelte|q-app|application)(?:[\"'\s][^<>]{0,300})?>\s{0,99}"
    r"(?:<!--[^>]{0,300}-->\s{0,99})?</(?:div|main|section)"
    r"|<(app-root|my-app)\b[^<>]{0,300}>\s{0,99}</\1"
)
NEEDS_SCRIPT = _folded("""
enable javascript
javascript is required
javascript is disabled
requires javascript
javascript is not available
activer javascript
activez javascript
javascript est désactivé
nécessite javascript
aktivieren sie javascript
javascript ist deaktiviert
javascript aktivieren
habilite javascript
habilita javascript
activar javascript
active javascript
تفعيل جافا سكريبت
تفعيل javascript
جاوا اسکریپت را فعال
javascript را فعال
""")


def empty(sight: Sight) -> str:
    """Find a small page without a word, a picture, a style or a program."""
    if len(sight.html) > LITTLE or sight.text.strip() or SHOWN.search(sight.markup):
        return ""
    is_still = not sight.is_rendered and SCRIPT.search(sight.markup)
    leads_on = REFRESH.search(sight.markup)
    return "" if is_still or leads_on else "a page without a word or a picture"


def js_shell(sight: Sight) -> str:
    """Find a page whose words come from programs that have not run."""
    is_still = not sight.is_rendered and SCRIPT.search(sight.markup)
    if not is_still or not sight.is_within(BARE):
        return ""
    if root := ROOT.search(sight.markup):
        return (
            f"{len(sight.text.strip())} characters, and {root[0].strip()[:60]} is empty"
        )
    told = fold(sight.html[: 1 << 18].decode("utf-8", "replace"))
    if phrase := _first(NEEDS_SCRIPT, told):
        return f'it says "{phrase}"'
    if not sight.text.strip() and not SHOWN.search(sight.markup):
        return "scripts, and not a word"
    return ""


# ---------------------------------------------------------------------- redirected home

HOME = re.compile(
    r"/?(?:[a-z]{2}(?:[-_][a-z]{2})?/?)?(?:(?:index|default|home)(?:\.\w+)?/?)?",
    re.IGNORECASE,
)


def redirected_home(sight: Sight) -> str:
    """Find a page that was asked for and led to its site's front page instead."""
    asked, got = urlsplit(sight.asked), urlsplit(sight.url)
    if _site(asked.hostname) != _site(got.hostname) or not HOME.fullmatch(got.path):
        return ""
    if HOME.fullmatch(asked.path) or got.query:
        return ""
    return f"{asked.path[:80]} leads to {got.path or '/'}"


def _site(host: str | None) -> str:
    return re.sub(r"^(?:www|m|amp)\.", "", host or "")


# --------------------------------------------------------------------------- the table

RULES: dict[str, Callable[[Sight], str]] = {
    "bot-wall": bot_wall,
    "login-wall": login_wall,
    "consent-wall": consent_wall,
    "paywall": paywall,
    "parked": parked,
    "soft-404": soft_404,
    "redirected-home": redirected_home,
    "js-shell": js_shell,
    "empty": empty,
}


def look(sight: Sight) -> tuple[Sign, ...]:
    """Hold a page against every rule; of what is no page, only its headers tell."""
    rules = RULES if sight.html else {"bot-wall": bot_wall}
    found = ((name, rule(sight)) for name, rule in rules.items())
    return tuple(
        Sign(name=name, evidence=evidence[:LONGEST_EVIDENCE])
        for name, evidence in found
        if evidence
    )
