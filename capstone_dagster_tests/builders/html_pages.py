"""What a person finds in a page: its tables, its texts, its links."""

from html.parser import HTMLParser

_CELLS = {"td", "th"}


class HtmlPage(HTMLParser):
    """The parts of a page, read as a browser reads them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        """Rows of cells; the first row of each is its header."""
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in _CELLS:
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if "style" in self._open:
            return
        self.text += data
        if _CELLS.intersection(self._open):
            self.tables[-1][-1][-1] += data

    def table(self, first: str, last: str) -> list[list[str]]:
        """The rows of the first table whose header begins and ends with these."""
        found = next(table for table in self.tables if (table[0][0], table[0][-1]) == (first, last))
        return [[cell.strip() for cell in row] for row in found[1:]]
