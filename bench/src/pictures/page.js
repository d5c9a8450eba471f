'use strict';
// Draws the pictures of the page out of the data that it contains. Times are nanoseconds.
(() => {
  const data = JSON.parse(document.getElementById('data').textContent);
  const tip = document.getElementById('tip');
  const pictures = {};
  const pinned = document.getElementById('pinned');
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue('--' + name).trim();

  // A time, exact to `step`.
  const time = (ns, step = ns / 1e3) => {
    const [unit, name] = [[1e9, 's'], [1e6, 'ms'], [1e3, 'us'], [1, 'ns']].find(([unit]) => ns >= unit) || [1, 'ns'];
    const digits = Math.max(0, Math.min(6, Math.ceil(-Math.log10(Math.max(step, 1) / unit))));
    return (ns / unit).toFixed(unit === 1 ? 0 : digits) + ' ' + name;
  };

  const wordsOfStep = (number) => {
    const step = data.steps[number];
    if (!step) return '';
    const [block, position, facts] = step;
    const lines = [position < 0 ? 'block ' + block : 'block ' + block + ', transaction ' + position];
    if (facts) {
      const [hash, to, selector, gas, alone] = facts;
      lines.push('hash ' + hash, 'to ' + (to || 'a new contract') + (selector ? ', selector ' + selector : ''));
      if (gas !== null) lines.push(gas.toLocaleString('en') + ' gas, ' + time(alone) + ' on one thread');
    }
    return lines.join('\n');
  };

  // The first item whose value is greater.
  const upperBound = (items, value, of) => {
    let [low, high] = [0, items.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (of(items[middle]) > value) high = middle; else low = middle + 1;
    }
    return low;
  };

  // A picture with a time axis that is zoomed and panned by mouse and keyboard.
  class Picture {
    constructor(canvas, length) {
      this.canvas = canvas;
      this.context = canvas.getContext('2d');
      this.length = Math.max(length, 1);
      this.left = 0;
      this.right = this.length;
      this.margin = 110;
      this.hovered = null;
      this.pin = null;
      this.listen();
      new ResizeObserver(() => this.draw()).observe(canvas);
      matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.draw());
    }
    get span() { return this.right - this.left; }
    get inner() { return Math.max(this.width - this.margin - 8, 1); }
    x(at) { return this.margin + (at - this.left) / this.span * this.inner; }
    at(x) { return this.left + (x - this.margin) / this.inner * this.span; }
    show(left, span) {
      span = Math.min(Math.max(span, 200), this.length);
      left = Math.min(Math.max(left, 0), this.length - span);
      [this.left, this.right] = [left, left + span];
      this.draw();
    }
    zoom(factor, around = (this.left + this.right) / 2) {
      const span = Math.min(Math.max(this.span * factor, 200), this.length);
      this.show(around - (around - this.left) * span / this.span, span);
    }
    pan(share) { this.show(this.left + share * this.span, this.span); }
    reset() { this.show(0, this.length); }
    listen() {
      const { canvas } = this;
      let drag = null;
      canvas.addEventListener('wheel', (event) => {
        event.preventDefault();
        if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
          this.pan((event.deltaX || event.deltaY) / 600);
        } else {
          this.zoom(Math.exp(event.deltaY / 400), this.at(event.offsetX));
        }
      }, { passive: false });
      canvas.addEventListener('pointerdown', (event) => {
        canvas.setPointerCapture(event.pointerId);
        drag = { x: event.offsetX, left: this.left, moved: false };
      });
      canvas.addEventListener('pointermove', (event) => {
        if (drag) {
          drag.moved ||= Math.abs(event.offsetX - drag.x) > 3;
          if (drag.moved) this.show(drag.left - (event.offsetX - drag.x) / this.inner * this.span, this.span);
          return;
        }
        this.hover(this.find(event.offsetX, event.offsetY), event);
      });
      canvas.addEventListener('pointerup', (event) => {
        if (drag && !drag.moved) this.fix(this.find(event.offsetX, event.offsetY));
        drag = null;
      });
      const cancel = () => drag = null;
      canvas.addEventListener('pointercancel', cancel);
      canvas.addEventListener('lostpointercapture', cancel);
      canvas.addEventListener('pointerleave', () => this.hover(null));
      canvas.addEventListener('keydown', (event) => {
        const keys = {
          '+': () => this.zoom(0.5), '=': () => this.zoom(0.5), '-': () => this.zoom(2), '0': () => this.reset(),
          ArrowLeft: () => this.pan(-0.2), ArrowRight: () => this.pan(0.2), Home: () => this.show(0, this.span),
          End: () => this.show(this.length, this.span), Escape: () => this.fix(null),
        };
        if (keys[event.key] && !event.ctrlKey && !event.metaKey && !event.altKey) {
          event.preventDefault();
          keys[event.key]();
        }
      });
    }
    hover(found, event) {
      const changed = JSON.stringify(found) !== JSON.stringify(this.hovered);
      this.hovered = found;
      tip.hidden = !found;
      if (found) {
        tip.textContent = this.words(found);
        tip.style.left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8) + 'px';
        tip.style.top = Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 8) + 'px';
      }
      if (changed) this.draw();
    }
    fix(found) {
      for (const other of Object.values(pictures)) {
        if (other !== this && other.pin) {
          other.pin = null;
          other.draw();
        }
      }
      this.pin = found;
      pinned.textContent = found ? this.words(found) : '';
      this.draw();
    }
    begin(height) {
      const { canvas, context } = this;
      this.width = canvas.clientWidth;
      const ratio = devicePixelRatio || 1;
      canvas.style.height = height + 'px';
      canvas.width = Math.round(this.width * ratio);
      canvas.height = Math.round(height * ratio);
      context.setTransform(ratio, 0, 0, ratio, 0, 0);
      context.clearRect(0, 0, this.width, height);
      context.font = '12px system-ui, sans-serif';
      context.textBaseline = 'middle';
    }
    axis(top, height) {
      const { context } = this;
      const raw = this.span / Math.max(this.inner / 120, 1);
      const power = 10 ** Math.floor(Math.log10(raw));
      const step = [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= raw);
      context.fillStyle = colour('faint');
      context.strokeStyle = colour('line');
      context.lineWidth = 1;
      for (let at = Math.ceil(this.left / step) * step; at <= this.right; at += step) {
        const x = Math.round(this.x(at)) + 0.5;
        context.beginPath();
        context.moveTo(x, top);
        context.lineTo(x, height);
        context.stroke();
        context.fillText(time(at, step), x + 3, top - 10);
      }
    }
    box(x, y, width, height, fill) {
      this.context.fillStyle = fill;
      this.context.fillRect(x, y, Math.max(width, 0.7), height);
    }
    frame(x, y, width, height) {
      const { context } = this;
      context.strokeStyle = colour('text');
      context.lineWidth = 2;
      context.strokeRect(x, y, Math.max(width, 2), height);
    }
    curve(x, y, toX, toY, stroke, width) {
      const { context } = this;
      context.strokeStyle = stroke;
      context.lineWidth = width;
      context.beginPath();
      context.moveTo(x, y);
      context.bezierCurveTo(x, (y + toY) / 2, toX, (y + toY) / 2, toX, toY);
      context.stroke();
    }
  }

  // A lane for each thread.
  class Lanes extends Picture {
    constructor(canvas) {
      super(canvas, data.length);
      this.arrows = true;
      this.colours = data.kinds.map((kind) => kind[1]);
      // Slices inside others are drawn lower, so that both are to be seen.
      this.depths = data.lanes.map((lane) => {
        const ends = [];
        return lane.slices.map(([start, length]) => {
          while (ends.length && ends[ends.length - 1] <= start) ends.pop();
          ends.push(start + length);
          return ends.length - 1;
        });
      });
      this.rows = this.depths.map((depths) => depths.reduce((most, depth) => Math.max(most, depth), 0) + 1);
      this.tops = [];
      let top = 26;
      for (const rows of this.rows) {
        this.tops.push(top);
        top += 20 * rows + 12;
      }
      this.height = top + 4;
      // The longest slice of each lane bounds how far back a visible one may begin.
      this.longest = data.lanes.map((lane) => lane.slices.reduce((most, slice) => Math.max(most, slice[1]), 0));
    }
    row(lane, number) { return this.tops[lane] + 20 * this.depths[lane][number]; }
    visible(lane) {
      const { slices } = data.lanes[lane];
      const first = upperBound(slices, this.left - this.longest[lane], (slice) => slice[0]) - 1;
      return [Math.max(first, 0), upperBound(slices, this.right, (slice) => slice[0])];
    }
    draw() {
      this.begin(this.height);
      const { context } = this;
      this.axis(24, this.height);
      const fills = this.colours.map(colour);
      data.lanes.forEach((lane, number) => {
        context.fillStyle = colour('text');
        context.fillText(lane.name.slice(0, 15), 6, this.tops[number] + 9);
        const [first, last] = this.visible(number);
        const drawn = [];
        context.save();
        context.beginPath();
        context.rect(this.margin, 0, this.inner, this.height);
        context.clip();
        for (let place = first; place < last; place++) {
          const [start, length, kind] = lane.slices[place];
          const [x, end] = [this.x(start), this.x(start + length)];
          const depth = this.depths[number][place];
          // What ends in a pixel that is full already is not to be seen.
          if (end < this.margin || end <= drawn[depth]) continue;
          drawn[depth] = Math.max(Math.floor(end * 2) / 2, x + 0.5);
          this.box(x, this.row(number, place), end - x, 18, fills[kind]);
        }
        context.restore();
      });
      this.drawArrows();
      for (const found of [this.hovered, this.pin]) {
        if (!found) continue;
        const [start, length] = data.lanes[found.lane].slices[found.slice];
        this.frame(this.x(start), this.row(found.lane, found.slice), this.x(start + length) - this.x(start), 18);
      }
    }
    drawArrows() {
      const { context } = this;
      context.save();
      context.beginPath();
      context.rect(this.margin, 0, this.inner, this.height);
      context.clip();
      const chosen = this.pin || this.hovered;
      let left = 2000;
      for (const [lane, at, toLane, to] of data.arrows) {
        const ends = chosen && data.lanes[chosen.lane].slices[chosen.slice];
        const isChosen = chosen && ((lane === chosen.lane && at >= ends[0] && at <= ends[0] + ends[1])
          || (toLane === chosen.lane && to === ends[0]));
        if (!isChosen && (!this.arrows || Math.max(at, to) < this.left || Math.min(at, to) > this.right || left-- <= 0)) continue;
        context.globalAlpha = isChosen ? 1 : 0.35;
        const [y, toY] = [this.tops[lane] + 18, this.tops[toLane] + (toLane > lane ? 0 : 18)];
        this.curve(this.x(at), y, this.x(to), toY, colour('arrow'), isChosen ? 2 : 1);
        context.fillStyle = colour('arrow');
        context.beginPath();
        context.arc(this.x(to), toY, isChosen ? 4 : 2.5, 0, 7);
        context.fill();
      }
      context.restore();
    }
    find(x, y) {
      if (x < this.margin) return null;
      const at = this.at(x);
      const near = 2 / this.inner * this.span;
      for (let lane = 0; lane < data.lanes.length; lane++) {
        if (y < this.tops[lane] || y > this.tops[lane] + 20 * this.rows[lane]) continue;
        const [first, last] = this.visible(lane);
        let best = null;
        for (let place = first; place < last; place++) {
          const [start, length] = data.lanes[lane].slices[place];
          const top = this.row(lane, place);
          if (y < top || y > top + 20 || at < start - near || at > start + length + near) continue;
          const distance = Math.max(start - at, at - start - length, 0);
          if (!best || distance < best.distance) best = { lane, slice: place, distance };
        }
        return best && { lane: best.lane, slice: best.slice };
      }
      return null;
    }
    words({ lane, slice }) {
      const [start, length, kind, step, note] = data.lanes[lane].slices[slice];
      const what = data.kinds[kind][0] + (note >= 0 ? ': ' + data.notes[note] : '');
      const of = step >= 0 ? '\n' + wordsOfStep(step) : '';
      return what + '\n' + time(length) + ', from ' + time(start) + ' on ' + data.lanes[lane].name + of;
    }
  }

  // The transactions as early as their dependencies allow, with the critical path.
  class Graph extends Picture {
    constructor(canvas) {
      const { graph } = data;
      super(canvas, graph.times.reduce((most, time, number) => Math.max(most, graph.starts[number] + time), 1));
      this.margin = 8;
      this.critical = new Set(graph.critical);
      // Each in the first row that is free; the critical path has the first row for itself.
      const free = [0];
      this.rowOf = new Array(graph.times.length).fill(0);
      const order = graph.times.map((_, number) => number)
        .sort((one, other) => graph.starts[one] - graph.starts[other] || graph.times[other] - graph.times[one]);
      const heap = [];
      const push = (entry) => {
        let place = heap.push(entry) - 1;
        while (place > 0 && heap[(place - 1) >> 1][0] > heap[place][0]) {
          const parent = (place - 1) >> 1;
          [heap[parent], heap[place]] = [heap[place], heap[parent]];
          place = parent;
        }
      };
      const pop = () => {
        const [first, last] = [heap[0], heap.pop()];
        if (heap.length) {
          heap[0] = last;
          for (let place = 0; ;) {
            let child = 2 * place + 1;
            if (child >= heap.length) break;
            if (child + 1 < heap.length && heap[child + 1][0] < heap[child][0]) child++;
            if (heap[child][0] >= heap[place][0]) break;
            [heap[child], heap[place]] = [heap[place], heap[child]];
            place = child;
          }
        }
        return first;
      };
      for (const number of order) {
        if (this.critical.has(number)) continue;
        const row = heap.length && heap[0][0] <= graph.starts[number] ? pop()[1] : free.length;
        if (row === free.length) free.push(0);
        this.rowOf[number] = row;
        push([graph.starts[number] + graph.times[number], row]);
      }
      this.rows = free.length;
      this.rowHeight = Math.min(Math.max(420 / this.rows, 0.35), 16);
      this.byRow = Array.from({ length: this.rows }, () => []);
      order.forEach((number) => this.byRow[this.rowOf[number]].push(number));
      this.needs = graph.times.map(() => []);
      this.neededBy = graph.times.map(() => []);
      graph.edges.forEach((edge) => {
        this.needs[edge[1]].push(edge);
        this.neededBy[edge[0]].push(edge);
      });
      this.height = 60 + this.rows * this.rowHeight;
    }
    top(number) { return this.critical.has(number) ? 28 : 50 + (this.rowOf[number] - 1) * this.rowHeight; }
    heightOf(number) { return this.critical.has(number) ? 16 : Math.max(this.rowHeight - (this.rowHeight > 4 ? 1 : 0), 0.35); }
    draw() {
      this.begin(this.height);
      this.axis(24, this.height);
      const { graph } = data;
      const [plain, critical, faint] = ['run', 'critical', 'faint'].map(colour);
      for (const row of this.byRow) {
        let drawn = -1;
        for (const number of row) {
          const [x, end] = [this.x(graph.starts[number]), this.x(graph.starts[number] + graph.times[number])];
          if (end < 0 || x > this.width || end <= drawn) continue;
          drawn = Math.max(end, x + 0.5);
          this.box(x, this.top(number), end - x, this.heightOf(number), this.critical.has(number) ? critical : plain);
        }
      }
      const middle = (number) => this.top(number) + this.heightOf(number) / 2;
      const edge = ([from, to], stroke, width) => this.curve(
        this.x(graph.starts[from] + graph.times[from]), middle(from), this.x(graph.starts[to]), middle(to), stroke, width);
      this.context.globalAlpha = 0.3;
      graph.edges.slice(0, 3000).forEach((one) => edge(one, faint, 0.7));
      this.context.globalAlpha = 1;
      for (const found of [this.hovered, this.pin]) {
        if (!found) continue;
        const { number } = found;
        this.needs[number].concat(this.neededBy[number]).slice(0, 500).forEach((one) => edge(one, critical, 1.5));
        const x = this.x(graph.starts[number]);
        this.frame(x, this.top(number), this.x(graph.starts[number] + graph.times[number]) - x, this.heightOf(number));
      }
    }
    find(x, y) {
      const at = this.at(x);
      const near = 2 / this.inner * this.span;
      const row = y < 48 ? 0 : Math.round((y - 50 - this.rowHeight / 2) / this.rowHeight) + 1;
      const numbers = this.byRow[row];
      if (y < 26 || !numbers) return null;
      let best = null;
      for (const number of numbers) {
        const start = data.graph.starts[number];
        const distance = Math.max(start - at, at - start - data.graph.times[number], 0);
        if (distance <= near && (!best || distance < best.distance)) best = { number, distance };
      }
      return best && { number: best.number };
    }
    words({ number }) {
      const { graph } = data;
      const lines = [wordsOfStep(graph.steps[number])];
      const some = this.needs[number].slice(0, 6);
      some.forEach(([from, , location]) => lines.push('waits for ' + data.steps[graph.steps[from]][1] + (location >= 0 ? ': ' + data.notes[location] : '')));
      if (this.needs[number].length > some.length) lines.push('and ' + (this.needs[number].length - some.length) + ' more');
      if (this.neededBy[number].length) lines.push(this.neededBy[number].length + ' wait for it');
      return lines.join('\n');
    }
  }

  const start = (name, make) => {
    const canvas = document.getElementById(name);
    if (!canvas) return;
    const picture = pictures[name] = make(canvas);
    picture.draw();
    const on = (action, does) => {
      const button = document.querySelector('[data-of="' + name + '"][data-does="' + action + '"]');
      if (button) button.addEventListener('click', does);
    };
    on('in', () => picture.zoom(0.5));
    on('out', () => picture.zoom(2));
    on('all', () => picture.reset());
    on('arrows', () => {
      picture.arrows = !picture.arrows;
      picture.draw();
    });
  };
  start('lanes', (canvas) => new Lanes(canvas));
  start('graph', (canvas) => new Graph(canvas));
  // For the console of the browser.
  window.blockloom = { data, pictures };
})();
