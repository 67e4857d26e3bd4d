
'use strict';
(() => {
  const data = JSON.parse(document.getElementById('report-data').textContent);
  const [left, right, top, bottom] = data.plot;
  const middle = (top + bottom) / 2;
  const round = (v) => v.toFixed(1);
  const short = (v) => Number(v.toPrecision(4)).toString();

  // ---- sortable table -------------------------------------------------------------------------
  const table = document.getElementById('class-table');
  const heads = [...table.tHead.rows[0].cells];
  const order = new Intl.Collator('en', { numeric: true });
  const sort = (column, direction) => {
    const sign = direction === 'ascending' ? 1 : -1;
    const value = (row) => row.cells[column].dataset.value;
    const numeric = heads[column].classList.contains('num');
    const rows = [...table.tBodies[0].rows].sort((a, b) => {
      const [x, y] = [value(a), value(b)];
      if (x === '' || y === '') return (x === '') - (y === ''); // missing figures stay last either way
      return sign * (numeric ? x - y : order.compare(x, y));
    });
    table.tBodies[0].append(...rows);
    heads.forEach((head, i) => (i === column ? head.setAttribute('aria-sort', direction) : head.removeAttribute('aria-sort')));
    document.getElementById('sort-status').textContent = `sorted by ${heads[column].textContent.trim()}, ${direction}`;
  };
  heads.forEach((head, column) => {
    const button = head.querySelector('button');
    button.addEventListener('click', () => {
      const now = head.getAttribute('aria-sort');
      sort(column, now ? (now === 'ascending' ? 'descending' : 'ascending') : button.dataset.first);
    });
  });

  // ---- one label or all -----------------------------------------------------------------------
  const svg = (id) => document.getElementById(`chart-${id}`);
  const bars = (counts, height) => {
    const width = (right - left) / counts.length;
    const sum = Math.max(1, counts.reduce((a, b) => a + b, 0));
    return counts.map((n, i) => {
      const end = middle + height * Math.sqrt(n / sum);
      return n ? `M${round(left + i * width + 0.5)} ${round(middle)}V${round(end)}h${round(width - 1)}V${round(middle)}z` : '';
    }).join('');
  };
  const pick = document.getElementById('pick');
  let shown = data.overall;
  const show = () => {
    const one = pick.value === '' ? null : data.classes[Number(pick.value)];
    shown = one || data.overall;
    svg('hist').querySelector('.pos').setAttribute('d', bars(shown.pos, -(bottom - top) / 2));
    svg('hist').querySelector('.neg').setAttribute('d', bars(shown.neg, (bottom - top) / 2));
    const line = data.charts.pr.series[1];
    Object.assign(line, one ? { name: one.name, x: one.r, y: one.p, t: one.t } : { x: [], y: [], t: [] });
    const points = line.x.map((x, i) => `${round(left + x * (right - left))} ${round(bottom - line.y[i] * (bottom - top))}`);
    svg('pr').querySelector('.line.s1').setAttribute('d', points.length ? `M${points.join('L')}` : '');
    svg('pr').querySelector('.dots.s1').setAttribute('d', points.length <= 40 ? points.map((p) => `M${p}h0`).join('') : '');
    const item = document.getElementById('legend-pr').children[1];
    item.hidden = !points.length;
    item.textContent = line.name;
    document.getElementById('no-curve').hidden = !one || points.length > 0;
    document.querySelectorAll('.reading').forEach((reading) => { reading.textContent = ''; });
    document.querySelectorAll('.cursor').forEach((cursor) => cursor.setAttribute('d', ''));
  };
  pick.addEventListener('change', show);
  table.addEventListener('click', (event) => {
    const button = event.target.closest('[data-class]');
    if (!button) return;
    pick.value = button.dataset.class;
    show();
    document.getElementById('curves').scrollIntoView();
    pick.focus({ preventScroll: true });
  });
  show(); // a reloaded page may come with a label still picked

  // ---- values under the pointer or the arrow keys ---------------------------------------------
  const nearest = (xs, x) => xs.reduce((best, v, i) => (Math.abs(v - x) < Math.abs(xs[best] - x) ? i : best), 0);
  const readLines = (id) => (fraction) => {
    const { x, xLabel, series } = data.charts[id];
    const at = x[0] + fraction * (x[1] - x[0]);
    const parts = series.filter((line) => line.x.length).map((line) => {
      const i = nearest(line.x, at);
      const value = line.y[i] === null ? 'not finite' : short(line.y[i]);
      return `${line.name} ${value} at ${short(line.x[i])}${line.t ? ` (score ≥ ${short(line.t[i])})` : ''}`;
    });
    return parts.length ? `${xLabel} ${short(at)}: ${parts.join(', ')}` : '';
  };
  const readBars = (fraction) => {
    const [low, high] = data.range;
    const count = shown.pos.length;
    const i = Math.min(count - 1, Math.floor(fraction * count));
    const edge = (k) => short(low + (k / count) * (high - low));
    return `score ${edge(i)} to ${edge(i + 1)}: ${shown.pos[i]} positives, ${shown.neg[i]} negatives`;
  };
  const attach = (id, read) => {
    const node = svg(id);
    const output = document.getElementById(`read-${id}`);
    let fraction = 0;
    const move = (to) => {
      fraction = Math.min(1, Math.max(0, to));
      node.querySelector('.cursor').setAttribute('d', `M${round(left + fraction * (right - left))} ${top}V${bottom}`);
      output.textContent = read(fraction);
    };
    node.addEventListener('pointermove', (event) => {
      const box = node.getBoundingClientRect();
      const x = ((event.clientX - box.left) / box.width) * node.viewBox.baseVal.width;
      move((x - left) / (right - left));
    });
    node.addEventListener('keydown', (event) => {
      const step = { ArrowLeft: -0.02, ArrowRight: 0.02 }[event.key];
      if (!step) return;
      event.preventDefault();
      move(fraction + step);
    });
  };
  Object.keys(data.charts).forEach((id) => attach(id, readLines(id)));
  attach('hist', readBars);
})();
