"""Presentations, workbooks and tables, written by python-pptx and openpyxl, and by hand where those cannot."""

import io
from datetime import date, datetime

import openpyxl
import pptx
import pytest
from openpyxl.utils.datetime import CALENDAR_MAC_1904
from pptx.util import Inches

from sartor.data.parsers.parsed import Unreadable
from sartor.data.parsers.pptx import parse_pptx
from sartor.data.parsers.table import parse_commas, parse_tabs, table_text
from sartor.data.parsers.xlsx import parse_xlsx
from tests.data.parsers.files import pptx as presentation
from tests.data.parsers.files import xlsx, zipped


def saved(document: object) -> bytes:
    buffer = io.BytesIO()
    document.save(buffer)
    return buffer.getvalue()


def test_a_presentation_keeps_titles_text_tables_and_notes_in_the_order_of_slides():
    show = pptx.Presentation()
    show.core_properties.title = "Leave"
    first = show.slides.add_slide(show.slide_layouts[1])
    first.shapes.title.text = "Who & when"
    first.placeholders[1].text = "Eleven days\nof notice"
    first.notes_slide.notes_text_frame.text = "Say it slowly."
    show.slides.add_slide(show.slide_layouts[6])
    third = show.slides.add_slide(show.slide_layouts[6])
    table = third.shapes.add_table(2, 2, Inches(1), Inches(1), Inches(4), Inches(1)).table
    for number, cell in enumerate(table.iter_cells()):
        cell.text = f"cell {number}"
    fourth = show.slides.add_slide(show.slide_layouts[0])
    fourth.shapes.title.text = "Last, now first"
    order = show.slides._sldIdLst
    order.insert(0, order[-1])
    parsed = parse_pptx(saved(show))
    assert parsed.title == "Leave"
    assert parsed.text.split("\n\n") == [
        "## Last, now first", "## Who & when", "Eleven days", "of notice", "Notes: Say it slowly.", "## Slide 4",
        "| cell 0 | cell 1 |", "| cell 2 | cell 3 |",
    ]  # fmt: skip
    assert parsed.notices == ("no text on slide 3 of 4 (a picture?)",)


@pytest.mark.parametrize("furniture", ["sldNum", "dt", "ftr"])
def test_a_table_behind_a_slide_number_stays(furniture):
    def text(inside):
        return f"<p><r><t>{inside}</t></r></p>"

    table = f"<graphicFrame><tbl><tr><tc>{text('one')}</tc><tc>{text('two')}</tc></tr></tbl></graphicFrame>"
    slide = f'<sp><nvPr><ph type="{furniture}"/></nvPr>{text("page 7")}</sp>{table}'
    members = {"ppt__slide1.xml": f"<sld>{slide}</sld>"}
    assert parse_pptx(presentation("", **members)).text == "## Slide 1\n\n| one | two |"


def test_a_workbook_names_its_columns_in_every_row():
    book = openpyxl.Workbook()
    book.properties.title = "Prices"
    sheet = book.active
    sheet.title = "Tea & rum"
    rows = [
        ("Name", "Price", "Since", "Sold"), ("tea", 3.1, date(2024, 2, 29), True), (),
        ("rum", 1234567, datetime(2024, 1, 2, 3, 4), None), ("0.1 + 0.2", 0.1 + 0.2, None, False),
    ]  # fmt: skip
    for row in rows:
        sheet.append(row)
    book.create_sheet("Numbers").append((1, 2))
    book.create_sheet("Empty")
    parsed = parse_xlsx(saved(book))
    assert parsed.title == "Prices"
    assert parsed.text == (
        "## Tea & rum\n\nName: tea | Price: 3.1 | Since: 2024-02-29 | Sold: TRUE\n"
        "Name: rum | Price: 1234567 | Since: 2024-01-02 03:04:00\n"
        "Name: 0.1 + 0.2 | Price: 0.3 | Sold: FALSE\n\n## Numbers\n\n| 1 | 2 |"
    )


def test_dates_of_1904_and_own_formats_are_read():
    book = openpyxl.Workbook()
    book.epoch = CALENDAR_MAC_1904
    book.active.append((date(2024, 5, 6), 45))
    book.active["A1"].number_format = 'dd"."mm"."yyyy'
    book.active["B1"].number_format = '0 "days"'
    assert parse_xlsx(saved(book)).text == "## Sheet\n\n| 2024-05-06 | 45 |"


def test_formulas_give_their_stored_result_or_are_named():
    cells = '<c r="A1"><f>1+1</f><v>2</v></c><c r="C1" t="str"><f>"a"</f><v>words</v></c><c r="D1"><f>B9</f></c>'
    parsed = parse_xlsx(xlsx(f"<row>{cells}</row>"))
    assert parsed.text == "## One\n\n| 2 |  | words |  |"
    assert "1 formulas have no stored result" in parsed.notices[0]


def test_shared_and_inline_texts_with_runs_are_read_without_readings():
    strings = "<sst><si><t>plain</t></si><si><r><t>two </t></r><r><t>runs</t></r><rPh><t>reading</t></rPh></si></sst>"
    cells = '<c t="s"><v>1</v></c><c t="s"><v>0</v></c><c t="inlineStr"><is><t>inline</t></is></c>'
    assert parse_xlsx(xlsx(f"<row>{cells}</row>", strings)).text == "## One\n\n| two runs | plain | inline |"


@pytest.mark.parametrize("parse", [parse_xlsx, parse_pptx])
def test_what_is_something_else_is_refused(parse):
    with pytest.raises(Unreadable, match="not a "):
        parse(zipped({"a": "b"}))


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ([("a", "b"), ("1", "")], "a: 1"),
        ([("a", "b"), ("1", "2", "3")], "a: 1 | b: 2 | 3"),
        ([("a", "a"), ("1", "2")], "| a | a |\n| 1 | 2 |"),
        ([("2020", "b"), ("1", "2")], "| 2020 | b |\n| 1 | 2 |"),
        ([("", ""), ("a", "b")], "| a | b |"),
        ([("only",), ("one",)], "| only |\n| one |"),
        ([], ""),
    ],
)
def test_rows_name_their_columns_where_there_is_a_header(rows, text):
    assert table_text(rows) == text


def test_separators_and_quotes():
    assert parse_commas(b'a;b\n"1;2";"x\ny"\n').text == "a: 1;2 | b: x y"
    assert parse_commas(b"a,b\n1;2,3\n").text == "a: 1;2 | b: 3"
    assert parse_tabs(b"a,b\tc\n1\t2\n").text == "a,b: 1 | c: 2"
    with pytest.raises(Unreadable, match="not a well-formed table"):
        parse_commas(b'a,b\n"1,2\n')
