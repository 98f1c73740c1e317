"""The page that the report is poured into: its style for light and dark, and the few lines that sort tables."""

from __future__ import annotations

from string import Template

STYLE = """
:root { color-scheme: light dark; --paper: #ffffff; --ink: #1f2328; --muted: #59636e; --line: #d8dee4;
  --soft: #f6f8fa; --accent: #0b5cad; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #0f1419; --ink: #e6edf3; --muted: #9aa5b1; --line: #30363d; --soft: #171d24; --accent: #7cb7ff; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 76rem; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .5rem; }
h2 { font-size: 1.3rem; margin: 2.8rem 0 .3rem; }
h3 { font-size: 1.05rem; margin: 1.8rem 0 .2rem; }
p, dl, ul { max-width: 48rem; }
p { margin: .4rem 0; }
a { color: var(--accent); }
nav a { margin-right: 1.1rem; white-space: nowrap; }
.muted, figcaption, .note { color: var(--muted); }
.scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: 8px; margin: .6rem 0; }
table { border-collapse: separate; border-spacing: 0; width: 100%; font-variant-numeric: tabular-nums;
  font-size: .92rem; }
th, td { padding: .34rem .65rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); }
tbody tr:last-child > * { border-bottom: 0; }
thead th { background: var(--soft); font-weight: 600; vertical-align: bottom; white-space: normal; }
th:first-child { text-align: left; position: sticky; left: 0; background: var(--paper); z-index: 1;
  min-width: 9.5rem; max-width: 16rem;
  white-space: normal; overflow-wrap: anywhere; font-weight: 500; }
thead th:first-child { background: var(--soft); }
tr.baseline > th:first-child { color: var(--muted); font-style: italic; }
td.best { font-weight: 700; }
td.note { text-align: left; font-style: italic; }
th button { all: unset; cursor: pointer; }
th button:hover, th button:focus-visible { text-decoration: underline; }
th[aria-sort=ascending] button::after { content: " ▲"; font-size: .7em; }
th[aria-sort=descending] button::after { content: " ▼"; font-size: .7em; }
.dot { display: inline-block; width: .7em; height: .7em; border-radius: 50%; margin-right: .5em;
  box-shadow: 0 0 0 1px var(--muted); }
dt { font-weight: 600; margin-top: .5rem; }
dd { margin: 0; }
.columns dt { display: inline; margin: 0; }
.columns dd { display: inline; }
.columns dd::after { content: ""; display: block; margin-bottom: .25rem; }
figure { margin: .6rem 0 1.6rem; }
/* Pictures are drawn on white paper, in the dark too; on a narrow screen they scroll and stay legible. */
.picture { overflow-x: auto; background: #ffffff; border: 1px solid var(--line); border-radius: 8px; padding: .5rem; }
.picture img { display: block; width: var(--width); max-width: 100%; height: auto; }
@media (max-width: 48rem) {
  body { padding: 1rem .8rem 3rem; }
  .picture img { max-width: none; width: calc(.78 * var(--width)); }
}
figcaption { max-width: 48rem; font-size: .92rem; margin-top: .35rem; }
details { border: 1px solid var(--line); border-radius: 8px; padding: .5rem .8rem; margin: .5rem 0; max-width: 60rem; }
summary { cursor: pointer; font-weight: 600; }
.case { border-top: 1px solid var(--line); margin-top: .6rem; padding-top: .5rem; font-size: .95rem; }
.case p { margin: .15rem 0; max-width: none; }
.case b { display: inline-block; min-width: 5.5rem; font-weight: 600; color: var(--muted); }
@media print { details > * { display: block; } }
"""

SCRIPT = """
document.querySelectorAll("table.sortable").forEach(function (table) {
  var body = table.tBodies[0], heads = table.tHead.rows[0].cells;
  Array.prototype.forEach.call(heads, function (head, column) {
    var button = head.querySelector("button");
    if (!button) { return; }
    button.addEventListener("click", function () {
      var first = head.dataset.first || "descending", other = first === "descending" ? "ascending" : "descending";
      var order = head.getAttribute("aria-sort") === first ? other : first;
      Array.prototype.forEach.call(heads, function (h) { h.removeAttribute("aria-sort"); });
      head.setAttribute("aria-sort", order);
      var sign = order === "ascending" ? 1 : -1;
      // A row without a figure stays last whichever way the others are turned.
      function key(row) {
        var cell = row.cells[column];
        return cell && cell.dataset.value !== undefined ? cell.dataset.value : null;
      }
      Array.from(body.rows).map(function (row, place) { return [key(row), place, row]; }).sort(function (a, b) {
        if (a[0] === null || b[0] === null) { return (a[0] === null) - (b[0] === null) || a[1] - b[1]; }
        return sign * (a[0] - b[0]) || a[1] - b[1];
      }).forEach(function (item) { body.appendChild(item[2]); });
    });
  });
});
"""

PAGE = Template(
    """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>$style</style>
</head>
<body>
<header>
<h1>$title</h1>
$summary
<nav><a href="#results">Results</a><a href="#data">Data and machine</a><a href="#tables">More tables</a>
<a href="#pictures">Pictures</a><a href="#failures">Failures</a></nav>
</header>
<main>
<section id="results">
$first
</section>
<section id="data">
<h2>Data and machine</h2>
$facts
</section>
<section id="tables">
$tables
</section>
<section id="pictures">
<h2>Pictures</h2>
$pictures
</section>
<section id="failures">
<h2>Failures</h2>
$failures
</section>
</main>
<script>$script</script>
</body>
</html>
"""
)
