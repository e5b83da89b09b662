"""The script by which tables of a page sort: a click, or Enter, on the heading of a column.

Without scripts a page is as it was: every table stays in the order in which it is written.
"""

from __future__ import annotations

import base64
import hashlib

SCRIPT = """
(() => {
  const amount = text => {
    const found = text.replace(/[,\\u00a0]/g, "").match(/^[+\\u2212-]?\\d+(\\.\\d+)?/);
    return found ? Number(found[0].replace("\\u2212", "-")) : NaN;
  };
  const time = text => {
    const found = text.match(/^(?:(\\d+):)?(\\d+) (s|min|h)$/), unit = {s: 1, min: 1, h: 60};
    return found ? (60 * (found[1] || 0) + Number(found[2])) * unit[found[3]] : NaN;
  };
  const key = text => Number.isNaN(time(text)) ? amount(text) : time(text);
  const compare = (a, b) => {
    const [x, y] = [key(a), key(b)];
    if (Number.isNaN(x) && Number.isNaN(y)) return a.localeCompare(b);
    return Number.isNaN(x) ? 1 : Number.isNaN(y) ? -1 : x - y;
  };
  for (const button of document.querySelectorAll("th button")) {
    button.addEventListener("click", () => {
      const heading = button.parentElement, table = heading.closest("table");
      const down = heading.getAttribute("aria-sort") === "ascending";
      for (const other of table.querySelectorAll("th")) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", down ? "descending" : "ascending");
      const body = table.tBodies[0], at = heading.cellIndex;
      const rows = [...body.rows].sort((a, b) =>
        compare(a.cells[at].textContent, b.cells[at].textContent));
      body.append(...(down ? rows.reverse() : rows));
    });
  }
})();
"""

SCRIPT_SHA256 = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
