"""How the page looks: light or dark as the reader has it, and on paper."""

from typing import Final

#: Colours of the parts of a downtime, which are told apart in light and dark.
PARTS: Final = (
    *("#4477aa", "#ee6677", "#228833", "#ccbb44"),
    *("#66ccee", "#aa3377", "#999999", "#ee8866"),
)

STYLE: Final = """
:root { color-scheme: light dark;
  --paper: #fff; --ink: #1c1e21; --soft: #5c6370; --line: #d9dde3; --fill: #f3f5f8;
  --curve: #2563a8; --area: #2563a833; --down: #e0722033; --while-down: #d96a1a;
  --good: #1a7f37; --bad: #b42318; }
@media (prefers-color-scheme: dark) { :root {
  --paper: #15181c; --ink: #e4e7eb; --soft: #9aa3af; --line: #343a42; --fill: #1e2329;
  --curve: #6cb0f5; --area: #6cb0f533; --down: #f08c3a44; --while-down: #f08c3a;
  --good: #4cc36b; --bad: #ff7b6e; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem; max-width: 60rem; background: var(--paper);
  color: var(--ink); font: 15px/1.45 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; line-height: 1.25; }
h1 span { font-size: 1rem; padding: .15em .6em; border-radius: 1em; color: var(--paper);
  vertical-align: middle; white-space: nowrap; }
h1 .good { background: var(--good); } h1 .bad { background: var(--bad); }
h2 { font-size: 1.1rem; margin: 1.8rem 0 .5rem; }
p.failed { border-left: 4px solid var(--bad); padding: .5rem .8rem;
  background: var(--fill); }
.legend { color: var(--soft); font-size: .85rem; margin: .2rem 0 0; }
figure { margin: 0; break-inside: avoid; }
svg { width: 100%; height: auto; display: block; }
svg text { fill: var(--soft); font: 12px system-ui, sans-serif; }
.grid { stroke: var(--line); stroke-width: 1; }
.curve { fill: none; stroke: var(--curve); stroke-width: 2; stroke-linejoin: round; }
.area { fill: var(--area); } .dot { fill: var(--curve); } .down { fill: var(--down); }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
td, th { padding: .25rem .6rem; border-bottom: 1px solid var(--line);
  text-align: left; vertical-align: top; }
th { color: var(--soft); font-weight: 600; }
.facts td:first-child { color: var(--soft); width: 9rem; }
.numbers td, .numbers th { text-align: right; }
.numbers td { white-space: nowrap; }
.numbers td:first-child, .numbers th:first-child { text-align: left; }
.narrow { width: auto; min-width: 18rem; margin-top: .6rem; }
tr { break-inside: avoid; }
.stack { display: flex; height: 1.6rem; border-radius: .3rem; overflow: hidden; }
i { display: inline-block; width: .8em; height: .8em; border-radius: .15em;
  margin-right: .5em; }
.phases td { white-space: nowrap; } .phases td:nth-child(2) { width: 60%; }
.phases td:nth-child(n+3) { text-align: right; color: var(--soft); }
.track { position: relative; height: 1.1em; background: var(--fill); overflow: hidden; }
.track span { position: absolute; top: 0; bottom: 0; min-width: 2px;
  background: var(--curve); }
.track .while-down { background: var(--while-down); }
details { margin-top: 1.8rem; } summary { cursor: pointer; color: var(--soft); }
pre { overflow-x: auto; background: var(--fill); padding: .8rem; font-size: .8rem; }
@media (max-width: 40rem) { body { padding: .8rem; } td, th { padding: .2rem .3rem; } }
@page { margin: 15mm; }
@media print { body { padding: 0; max-width: none; font-size: 11px; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  pre { white-space: pre-wrap; } }
@media print and (prefers-color-scheme: dark) { :root { --paper: #fff; --ink: #1c1e21;
  --soft: #5c6370; --line: #d9dde3; --fill: #f3f5f8; --curve: #2563a8; } }
""" + "\n".join(
    f".p{place} {{ background: {ink}; }}" for place, ink in enumerate(PARTS)
)
