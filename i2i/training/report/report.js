// report.html: a slider through the samples, buttons to copy commands, and values under the pointer in the charts.
// The page is complete without it.

(function () {
  'use strict';

  document.documentElement.classList.add('js');

  // The samples become one image with a slider and a play button.
  function showSamples(figures) {
    const controls = document.querySelector('.scrub');
    const slider = controls.querySelector('input');
    const caption = controls.querySelector('output');
    const button = controls.querySelector('button');
    const last = figures.length - 1;
    let timer = null;

    function show() {
      figures.forEach((figure, i) => figure.classList.toggle('on', i === Number(slider.value)));
      caption.textContent = figures[slider.value].querySelector('figcaption').textContent;
    }
    function stop() {
      clearInterval(timer);
      timer = null;
      button.textContent = '\u25b6';
    }
    function advance() {
      if (Number(slider.value) === last) {
        stop();
        return;
      }
      slider.value = Number(slider.value) + 1;
      show();
    }

    slider.addEventListener('input', () => {
      stop();
      show();
    });
    button.addEventListener('click', () => {
      if (timer) {
        stop();
        return;
      }
      if (Number(slider.value) === last) {
        slider.value = 0;
        show();
      }
      button.textContent = '\u275a\u275a';
      timer = setInterval(advance, 450);
    });
    controls.hidden = last < 1;
    show();
  }

  // Each command gets a button that copies it.
  function offerCopy(command) {
    const button = command.querySelector('button');
    button.hidden = false;
    button.addEventListener('click', () => {
      navigator.clipboard.writeText(command.querySelector('code').textContent).then(() => {
        button.textContent = 'copied';
        setTimeout(() => { button.textContent = 'copy'; }, 1500);
      });
    });
  }

  // The pointer over a chart shows the nearest point's value. `values` and `frame` are written by chart.py.
  function followPointer(figure, values, frame) {
    const svg = figure.querySelector('svg');
    const output = figure.querySelector('output');
    const lastValue = output.textContent;
    const hair = svg.querySelector('.hair');
    const dot = svg.querySelector('.dot');
    const logScale = document.getElementById('log');
    const plotWidth = frame.width - frame.left - frame.right;
    const plotHeight = frame.height - frame.top - frame.bottom;

    function nearest(images) {
      let best = 0;
      values.x.forEach((x, i) => {
        if (Math.abs(x - images) < Math.abs(values.x[best] - images)) best = i;
      });
      return best;
    }

    svg.addEventListener('pointermove', (event) => {
      const box = svg.getBoundingClientRect();
      const pointer = (event.clientX - box.left) / box.width * frame.width;
      const i = nearest((pointer - frame.left) / plotWidth * values.end);
      const log = logScale.checked && values.log;
      const [low, high] = log ? values.log : values.lin;
      const height = ((log ? Math.log10(values.y[i]) : values.y[i]) - low) / (high - low);
      const x = frame.left + plotWidth * values.x[i] / values.end;
      const y = frame.top + plotHeight * (1 - height);
      hair.setAttribute('x1', x);
      hair.setAttribute('x2', x);
      dot.setAttribute('cx', x);
      dot.setAttribute('cy', y);
      hair.style.visibility = dot.style.visibility = 'visible';
      output.textContent = `${values.x[i].toLocaleString('en')} images: ${Number(values.y[i].toPrecision(4))}`;
    });
    svg.addEventListener('pointerleave', () => {
      hair.style.visibility = dot.style.visibility = 'hidden';
      output.textContent = lastValue;
    });
  }

  const figures = document.querySelectorAll('.shots figure');
  if (figures.length) showSamples(figures);
  if (navigator.clipboard) document.querySelectorAll('.command').forEach(offerCopy);
  const data = JSON.parse(document.getElementById('data').textContent);
  Object.entries(data.charts).forEach(([id, values]) => followPointer(document.getElementById(id), values, data.frame));
})();
