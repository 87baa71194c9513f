"""Style and script of report.html."""

from __future__ import annotations

from i2i.training.report.chart import BOTTOM, HIGH, LEFT, RIGHT, TOP, WIDE

STYLE = """
:root{--paper:#f5f6f8;--card:#fff;--ink:#1c2128;--soft:#626c79;--edge:#e0e4e9;--accent:#2563c9;--track:#e3e7ed;
--good:#1a7f4b;--bad:#b3392f;--warn:#fff6e0;--warn-edge:#e8c877;--k0:#2563c9;--k1:#c2571a;--k2:#7b46b8;--k3:#1a7f4b;
--k4:#68717d;--k5:#0d7f93}
@media (prefers-color-scheme:dark){:root{--paper:#101317;--card:#181c22;--ink:#e4e7eb;--soft:#949eab;--edge:#2b323b;
--accent:#6ea2f5;--track:#2a3039;--good:#54c48a;--bad:#f0857b;--warn:#2d2616;--warn-edge:#6b5723;--k0:#6ea2f5;
--k1:#f0985f;--k2:#b892ea;--k3:#54c48a;--k4:#a3adb9;--k5:#4fc1d6}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,
"Helvetica Neue",Arial,sans-serif;font-variant-numeric:tabular-nums}
main{max-width:1180px;margin:0 auto;padding:28px 20px 40px}
header{display:flex;justify-content:space-between;align-items:flex-start;gap:20px;margin-bottom:14px}
h1{font-size:26px;line-height:1.25;margin:0;letter-spacing:-.01em;overflow-wrap:anywhere}
h1 small{font-weight:400;color:var(--soft);font-size:.75em}
header p{margin:4px 0 0;color:var(--soft)}
h2{font-size:16px;margin:0 0 12px}
h2 small{font-weight:400;color:var(--soft);font-size:13px;margin-left:6px}
.state{border-radius:99px;padding:3px 13px;font-size:13px;font-weight:600;border:1px solid;white-space:nowrap}
.state.running{color:var(--accent)}.state.finished{color:var(--good)}.state.stopped{color:var(--bad)}
.bar{height:6px;border-radius:3px;background:var(--track);overflow:hidden;margin-bottom:16px}
.bar div{height:100%;background:var(--accent);border-radius:3px}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(165px,1fr));gap:12px;margin-bottom:16px}
.tile,section{background:var(--card);border:1px solid var(--edge);border-radius:10px}
.tile{padding:11px 15px;display:flex;flex-direction:column;min-width:0}
.tile span{color:var(--soft);font-size:13px}.tile b{font-size:20px;font-weight:600;overflow-wrap:anywhere}
section{padding:18px 20px;margin-bottom:16px}
.reason{color:var(--bad);margin:0 0 16px;overflow-wrap:anywhere}
.warn{background:var(--warn);border-color:var(--warn-edge)}
ul{margin:0;padding-left:18px;overflow-wrap:anywhere}.warn li span{color:var(--soft)}
.wide{overflow-x:auto}
table{border-collapse:collapse}
th,td{padding:6px 22px 6px 0;text-align:right;border-bottom:1px solid var(--edge);white-space:nowrap}
th:first-child{text-align:left}tbody th{font-weight:500}thead th{color:var(--soft);font-weight:600}
thead small{font-weight:400}tbody tr:last-child>*{border-bottom:0}td b{color:var(--good)}
.shots{display:flex;overflow-x:auto;scroll-snap-type:x mandatory;gap:12px;border-radius:6px}
.shots figure{flex:0 0 100%;margin:0;scroll-snap-align:center;text-align:center}
.shots img{max-width:100%;max-height:82vh;border-radius:6px;vertical-align:top}
figcaption{color:var(--soft);font-size:13px;margin-top:6px}
.js .shots{overflow:hidden;display:grid}.js .shots figure{grid-area:1/1;visibility:hidden}
.js .shots figure.on{visibility:visible}.js .shots figcaption{display:none}
.scrub{display:flex;align-items:center;gap:12px;margin-top:12px}.scrub[hidden]{display:none}
.scrub input{flex:1;accent-color:var(--accent);min-width:0}.scrub output{min-width:125px;text-align:right}
button{font:inherit;font-size:13px;color:var(--ink);background:var(--paper);border:1px solid var(--edge);
border-radius:7px;padding:4px 11px;cursor:pointer}
button:hover{border-color:var(--accent)}
details{margin-top:14px}summary{cursor:pointer;color:var(--soft)}details img{max-width:100%;margin-top:10px;
border-radius:6px}
.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(300px,1fr));gap:16px 22px;margin-top:12px}
.chart{margin:0;min-width:0}
.chart figcaption{display:flex;justify-content:space-between;gap:10px;margin:0 0 2px;color:var(--ink)}
.chart figcaption span{font-weight:600}.chart output{color:var(--soft);white-space:nowrap}
.chart svg{width:100%;height:auto;display:block;touch-action:pan-y}
.chart polyline{fill:none;stroke:var(--k);stroke-width:1.7;stroke-linejoin:round}
.chart .raw polyline{opacity:.35;stroke-width:1}.band{fill:var(--k);opacity:.13}
.one,.dot{fill:var(--k)}.dot,.hair{visibility:hidden}
.hair{stroke:var(--soft);stroke-width:.7}.mark{stroke:var(--soft);stroke-width:.8;stroke-dasharray:3 3}
.grid line{stroke:var(--edge);stroke-width:1}.grid text{fill:var(--soft);font-size:10.5px}
.c0{--k:var(--k0)}.c1{--k:var(--k1)}.c2{--k:var(--k2)}.c3{--k:var(--k3)}.c4{--k:var(--k4)}.c5{--k:var(--k5)}
.log{display:none}#log:checked~.charts .lin{display:none}#log:checked~.charts .log{display:inline}
#log{accent-color:var(--accent);vertical-align:-2px;margin:0 7px 0 0}label{font-size:13px;color:var(--soft)}
section>p{margin:0 0 4px;color:var(--soft);font-size:13px}
.command{display:flex;align-items:center;gap:10px;background:var(--paper);border:1px solid var(--edge);
border-radius:7px;padding:8px 12px;margin-bottom:12px}
.command:last-child{margin-bottom:0}
code{font:13px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;flex:1;overflow-wrap:anywhere}
dl{margin:0;columns:3 250px;column-gap:34px}
dl div{display:flex;justify-content:space-between;gap:14px;padding:3px 0;border-bottom:1px solid var(--edge);
break-inside:avoid}
dt{color:var(--soft)}dd{margin:0;text-align:right;overflow-wrap:anywhere;min-width:0}
.marked dt,.marked dd{color:var(--accent);font-weight:600}
footer{color:var(--soft);font-size:13px;text-align:center;margin-top:22px}
@media print{.scrub,button,#log,label{display:none}.tile,section{break-inside:avoid}}
"""

SCRIPT = (
    f"var frame = {{L: {LEFT}, R: {RIGHT}, T: {TOP}, B: {BOTTOM}, W: {WIDE}, H: {HIGH}}};"
    + """
(function () {
  var root = document.documentElement; root.classList.add('js');
  var shots = document.querySelectorAll('.shots figure'), scrub = document.querySelector('.scrub');
  if (shots.length) {
    var slider = scrub.querySelector('input'), told = scrub.querySelector('output');
    var button = scrub.querySelector('button'), timer = null;
    var show = function () {
      shots.forEach(function (s, i) { s.classList.toggle('on', i == slider.value); });
      told.textContent = shots[slider.value].querySelector('figcaption').textContent;
    };
    var stop = function () { clearInterval(timer); timer = null; button.textContent = '\\u25b6'; };
    slider.addEventListener('input', function () { stop(); show(); });
    button.addEventListener('click', function () {
      if (timer) { stop(); return; }
      if (+slider.value == shots.length - 1) { slider.value = 0; show(); }
      button.textContent = '\\u275a\\u275a';
      timer = setInterval(function () {
        if (+slider.value == shots.length - 1) { stop(); return; }
        slider.value = +slider.value + 1; show();
      }, 450);
    });
    scrub.hidden = shots.length < 2;
    show();
  }
  document.querySelectorAll('.command').forEach(function (c) {
    var b = c.querySelector('button');
    if (!navigator.clipboard) return;
    b.hidden = false;
    b.addEventListener('click', function () {
      navigator.clipboard.writeText(c.querySelector('code').textContent).then(function () {
        b.textContent = 'copied'; setTimeout(function () { b.textContent = 'copy'; }, 1500);
      });
    });
  });
  var data = JSON.parse(document.getElementById('data').textContent), log = document.getElementById('log');
  Object.keys(data).forEach(function (name) {
    var d = data[name], figure = document.getElementById(name), svg = figure.querySelector('svg');
    var out = figure.querySelector('output'), last = out.textContent;
    var hair = svg.querySelector('.hair'), dot = svg.querySelector('.dot');
    var L = frame.L, R = frame.R, T = frame.T, B = frame.B, W = frame.W, H = frame.H;
    svg.addEventListener('pointermove', function (e) {
      var box = svg.getBoundingClientRect();
      var at = ((e.clientX - box.left) / box.width * W - L) / (W - L - R) * d.end, best = 0;
      d.x.forEach(function (x, i) { if (Math.abs(x - at) < Math.abs(d.x[best] - at)) best = i; });
      var useLog = log.checked && d.log, range = useLog ? d.log : d.lin, y = d.y[best];
      var px = L + (W - L - R) * d.x[best] / d.end;
      var py = T + (H - T - B) * (1 - ((useLog ? Math.log10(y) : y) - range[0]) / (range[1] - range[0]));
      hair.setAttribute('x1', px); hair.setAttribute('x2', px);
      dot.setAttribute('cx', px); dot.setAttribute('cy', py);
      hair.style.visibility = dot.style.visibility = 'visible';
      out.textContent = d.x[best].toLocaleString('en') + ' images: ' + +y.toPrecision(4);
    });
    svg.addEventListener('pointerleave', function () {
      hair.style.visibility = dot.style.visibility = 'hidden'; out.textContent = last;
    });
  });
})();
"""
)
